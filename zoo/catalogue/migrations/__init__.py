"""The schema, step by step; Alembic reads this directory."""
