"""What Alembic runs: the migrations, on the connection that zoo/catalogue/engine.py opened."""

from __future__ import annotations

from alembic import context

from zoo.catalogue.tables import Table

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Table.metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
    transactional_ddl=False,  # the caller's transaction is around all of it
)
context.run_migrations()
