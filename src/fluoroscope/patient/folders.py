"""Where Fluoroscope keeps things on disk."""

import os
from pathlib import Path

__all__ = ["cache_folder", "data_folder"]


def data_folder() -> Path:
    """Return the folder of lasting data: ``FLUOROSCOPE_HOME``, else the user data folder. Not created."""
    home = os.environ.get("FLUOROSCOPE_HOME")
    if home:
        return Path(home)
    import platformdirs

    return platformdirs.user_data_path("fluoroscope", appauthor=False)


def cache_folder() -> Path:
    """Return the folder of what can be made again: ``FLUOROSCOPE_HOME/cache``, else the user cache folder."""
    home = os.environ.get("FLUOROSCOPE_HOME")
    if home:
        return Path(home) / "cache"
    import platformdirs

    return platformdirs.user_cache_path("fluoroscope", appauthor=False)
