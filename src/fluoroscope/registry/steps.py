"""The migrations, run from the program: nobody needs Alembic's own command."""

from functools import cache
from importlib.resources import files
from typing import cast

from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

__all__ = ["known_steps", "newest_step", "run_steps"]


def _config() -> Config:
    config = Config()
    config.set_main_option("script_location", str(files("fluoroscope.registry") / "migrations"))
    config.set_main_option("path_separator", "os")
    return config


@cache
def known_steps() -> frozenset[str]:
    """Return the names of all steps."""
    return frozenset(step.revision for step in ScriptDirectory.from_config(_config()).walk_revisions())


def newest_step() -> str:
    """Return the name of the last step."""
    return cast("str", ScriptDirectory.from_config(_config()).get_current_head())


def run_steps(connection: Connection, target: str = "head") -> None:
    """Bring the tables up to date, in the connection's transaction."""
    config = _config()
    config.attributes["connection"] = connection
    command.upgrade(config, target)
