"""OpenIGTLink, versions 1 to 3: tracked tools and pictures in, pictures and poses out.

`wire` is the outer frame of a message (header, CRC-64, metadata, time), `messages` its content, `reader` takes a
stream of bytes apart within limits, `server` and `client` are the two ends of a connection, `images` makes a source of
frames of what a peer sends. Nothing here knows what a pose means: transforms pass as they are. See docs/adr/0019.
"""

from fluoroscope.sources.openigtlink.client import LinkAddress, LinkClient, LinkState, parse_address
from fluoroscope.sources.openigtlink.images import LinkFrameSource
from fluoroscope.sources.openigtlink.messages import (
    Content,
    Image,
    Position,
    Query,
    Status,
    Text,
    ToolPlace,
    TrackingData,
    Transform,
    poses_of,
)
from fluoroscope.sources.openigtlink.reader import POSE_KINDS, Arrived, Limits, MessageReader, ReaderStatus
from fluoroscope.sources.openigtlink.server import LinkServer, LinkServerStatus
from fluoroscope.sources.openigtlink.wire import Header, WireError, encode, pack_time, unpack_time

__all__ = [
    "POSE_KINDS",
    "Arrived",
    "Content",
    "Header",
    "Image",
    "Limits",
    "LinkAddress",
    "LinkClient",
    "LinkFrameSource",
    "LinkServer",
    "LinkServerStatus",
    "LinkState",
    "MessageReader",
    "Position",
    "Query",
    "ReaderStatus",
    "Status",
    "Text",
    "ToolPlace",
    "TrackingData",
    "Transform",
    "WireError",
    "encode",
    "pack_time",
    "parse_address",
    "poses_of",
    "unpack_time",
]
