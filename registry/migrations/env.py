"""Alembic's entry: run the migrations on the connection that ``registry.migrations`` hands over."""

from alembic import context

from registry.migrations import VERSION_TABLE
from registry.tables import Row

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Row.metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
)
context.run_migrations()
