"""The monitor: the fluoroscopy room in a browser, its web server and its stream of pictures.

Knows nothing of X-ray: what it shows and may ask for is the port `RoomControl`, implemented by ``app``.
The page itself is TypeScript in ``web/``, built into ``static/``.

- ``control``: the port; ``wire``: messages and the picture header; ``window``: the gray of a pixel value
- ``stream``: credits, the newest always, smaller pictures for slow pages; ``desk``: commands, dead-man
- ``hub``: pages, operator and viewers; ``access``: tokens, sessions, Host and Origin; ``server``: the door

The server is imported only when it is asked for: the web framework is slow to load.
"""

from typing import TYPE_CHECKING, Any

from fluoroscope.monitor.control import Asset, MonitorFrame, RefusedError, RoomControl

if TYPE_CHECKING:
    from fluoroscope.monitor.server import MonitorServer, MonitorSetupError

__all__ = ["Asset", "MonitorFrame", "MonitorServer", "MonitorSetupError", "RefusedError", "RoomControl"]


def __getattr__(name: str) -> Any:
    """Load the server on first use (PEP 562)."""
    if name in ("MonitorServer", "MonitorSetupError"):
        from fluoroscope.monitor import server

        return getattr(server, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
