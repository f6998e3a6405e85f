"""How Alembic runs the migrations: on the connection it is handed, in that connection's transaction."""

from alembic import context

from fluoroscope.registry.tables import Base

context.configure(
    connection=context.config.attributes["connection"], target_metadata=Base.metadata, transactional_ddl=True
)
with context.begin_transaction():
    context.run_migrations()
