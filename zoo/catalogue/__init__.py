"""What is published, in a database: tables, engine, queries, migrations."""
