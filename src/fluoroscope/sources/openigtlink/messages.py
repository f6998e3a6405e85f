"""The content of the messages this program sends and takes; others are skipped.

Transforms pass as they are: which coordinates they mean is agreed between the peers. 3D Slicer takes them as RAS, mm.
"""

import struct
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from fluoroscope.sources.openigtlink.wire import Buffer, WireError, encode

__all__ = [
    "Content",
    "Image",
    "Position",
    "Query",
    "Status",
    "Text",
    "ToolPlace",
    "TrackingData",
    "Transform",
    "decode_content",
    "encode_message",
    "is_known",
    "poses_of",
]

Matrix = NDArray[np.float64]

_IMAGE = struct.Struct(">HBBBB3H12f3H3H")
_STATUS = struct.Struct(">Hq20s")
_TOOL = struct.Struct(">20sBB")
_SCALARS: Mapping[int, str] = {2: "i1", 3: "u1", 4: "i2", 5: "u2", 6: "i4", 7: "u4", 10: "f4", 11: "f8"}
_SCALAR_OF = {np.dtype(code): number for number, code in _SCALARS.items()}
_ENDIAN = {1: ">", 2: "<"}
_LITTLE = 2
_SPACES: Mapping[int, Literal["RAS", "LPS"]] = {1: "RAS", 2: "LPS"}
_NOT_RIGID = 1e-3
"""How far a rotation may be from one: float32 on the way, and trackers that round."""


_FARTHEST_MM = 1e5
"""No tracker sees a tool 100 m away; numbers beyond are garbage."""


@dataclass(frozen=True, slots=True)
class Transform:
    """TRANSFORM: a rigid or affine (4, 4), mm."""

    matrix: Matrix


@dataclass(frozen=True, slots=True)
class Position:
    """POSITION: place (3,), mm, and orientation as a unit quaternion (x, y, z, w)."""

    position_mm: NDArray[np.float64]
    quaternion: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class ToolPlace:
    """One instrument of TDATA or QTDATA: its name, kind (1 tracker, 2 6D, 3 3D, 4 5D) and (4, 4) pose."""

    name: str
    kind: int
    matrix: Matrix


@dataclass(frozen=True, slots=True)
class TrackingData:
    """TDATA or QTDATA: several instruments at one moment."""

    tools: tuple[ToolPlace, ...]


@dataclass(frozen=True, slots=True)
class Status:
    """STATUS: code (1 is fine), the device's own code, an error's name, words."""

    code: int = 1
    subcode: int = 0
    name: str = ""
    text: str = ""


@dataclass(frozen=True, slots=True)
class Text:
    """STRING."""

    text: str


@dataclass(frozen=True, slots=True)
class Query:
    """A question (GET), or a wish to begin (STT) or end (STP) a stream; ``kind`` with its prefix."""

    kind: str


@dataclass(frozen=True, slots=True)
class Image:
    """IMAGE: pixels and where they lie.

    Attributes
    ----------
    pixels
        (rows, columns), (slices, rows, columns) or the same with components last.
    matrix
        (4, 4) from (column, row, slice) to mm, the origin at the centre of the first pixel. On the wire the place is
        that of the picture's middle; it is turned round here.
    space
        RAS or LPS.
    """

    pixels: NDArray[np.generic]
    matrix: Matrix = field(default_factory=lambda: np.eye(4))
    space: Literal["RAS", "LPS"] = "RAS"


Content = Transform | Position | TrackingData | Status | Text | Query | Image


def encode_message(content: Content, device: str, utc_ns: int, metadata: Mapping[str, str] | None = None) -> bytes:
    """Return the whole message of ``content``; see `wire.encode`."""
    kind, pieces = _encoded(content)
    return encode(kind, device, pieces, utc_ns=utc_ns, metadata=metadata)


def _encoded(content: Content) -> tuple[str, list[Buffer]]:
    match content:
        case Transform(matrix):
            return "TRANSFORM", [_packed_matrix(matrix)]
        case Position(place, turn):
            return "POSITION", [struct.pack(">7f", *place, *turn)]
        case TrackingData(tools):
            packed = [_TOOL.pack(one.name.encode("ascii"), one.kind, 0) + _packed_matrix(one.matrix) for one in tools]
            return "TDATA", [b"".join(packed)]
        case Status(code, subcode, name, text):
            return "STATUS", [_STATUS.pack(code, subcode, name.encode("ascii", "replace")[:19]), text.encode() + b"\0"]
        case Text(text):
            coded = text.encode()
            return "STRING", [struct.pack(">HH", 106, len(coded)), coded]
        case Query(kind):
            # A wish for tracking data says how often at least: 0 is as fast as possible.
            return kind, [struct.pack(">i32s", 0, b"")] if kind in ("STT_TDATA", "STT_QTDATA") else []
        case Image():
            return "IMAGE", _packed_image(content)


def _packed_image(image: Image) -> list[Buffer]:
    pixels = image.pixels if image.pixels.ndim > 2 else image.pixels[None]
    slices, rows, columns = pixels.shape[:3]
    components = pixels.shape[3] if pixels.ndim == 4 else 1
    dtype = pixels.dtype.newbyteorder("=")
    if dtype not in _SCALAR_OF or max(slices, rows, columns) > 0xFFFF or not 1 <= components <= 255:
        raise WireError(f"OpenIGTLink takes no picture of {pixels.dtype} {pixels.shape}")
    little = np.ascontiguousarray(pixels, dtype=dtype.newbyteorder("<"))
    middle = image.matrix @ np.array([(columns - 1) / 2.0, (rows - 1) / 2.0, (slices - 1) / 2.0, 1.0])
    size = (columns, rows, slices)
    numbers = [*image.matrix[:3, :3].T.ravel(), *middle[:3]]
    space = next(number for number, name in _SPACES.items() if name == image.space)
    head = _IMAGE.pack(1, components, _SCALAR_OF[dtype], _LITTLE, space, *size, *numbers, 0, 0, 0, *size)
    return [head, little.data.cast("B")]


def is_known(kind: str) -> bool:
    """Whether content of this type is taken; what else a peer sends is skipped."""
    return kind in _DECODERS or kind[:4] in ("GET_", "STT_", "STP_")


def decode_content(kind: str, content: memoryview) -> Content:
    """Return the content of a message of ``kind``.

    Raises
    ------
    WireError
        When lengths do not agree or a number is none.
    """
    decoder = _DECODERS.get(kind)
    if decoder is None:
        return Query(kind)
    try:
        return decoder(content)
    except struct.error as error:
        raise WireError(f"{kind} of {len(content)} bytes: {error}") from None


def poses_of(device: str, content: Content) -> tuple[tuple[str, Matrix | None], ...]:
    """Return (name, rigid (4, 4)) of every tool a message tells of; None for one whose numbers are no rigid pose.

    Parameters
    ----------
    device
        The message's device name: the tool's, unless the content names several.
    content
        Of the message; empty for one that holds no pose.
    """
    match content:
        case Transform(matrix):
            return ((device, _rigid(matrix)),)
        case Position(place, turn):
            return ((device, _rigid(_matrix_of(place, turn))),)
        case TrackingData(tools):
            return tuple((one.name, _rigid(one.matrix)) for one in tools)
        case _:
            return ()


def _rigid(matrix: Matrix) -> Matrix | None:
    """Return ``matrix`` with its rotation made exact; None when it is not finite, no rotation, or absurdly far."""
    turned = matrix[:3, :3]
    if not np.all(np.isfinite(matrix)) or np.abs(matrix).max() > _FARTHEST_MM:
        return None
    if np.abs(turned.T @ turned - np.eye(3)).max() > _NOT_RIGID:
        return None
    if np.linalg.det(turned) < 0.0:
        return None
    left, _, right = np.linalg.svd(turned)
    exact = matrix.copy()
    exact[:3, :3] = left @ right
    return exact


def _packed_matrix(matrix: Matrix) -> bytes:
    return struct.pack(">12f", *matrix[:3, :3].T.ravel(), *matrix[:3, 3])


def _unpacked_matrix(content: Buffer) -> Matrix:
    numbers = np.array(struct.unpack(">12f", content)).reshape(4, 3)
    matrix = np.eye(4)
    matrix[:3, :3], matrix[:3, 3] = numbers[:3].T, numbers[3]
    return matrix


def _matrix_of(place: NDArray[np.float64], turn: NDArray[np.float64]) -> Matrix:
    """Return (4, 4) of a place and a quaternion (x, y, z, w); one of no length gives numbers that are none."""
    length = float(np.linalg.norm(turn))
    x, y, z, w = turn / length if length > 0.0 else np.full(4, np.nan)
    matrix = np.eye(4)
    matrix[:3, :3] = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
        [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
        [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
    ]
    matrix[:3, 3] = place
    return matrix


def _transform(content: memoryview) -> Transform:
    return Transform(_unpacked_matrix(content))


def _position(content: memoryview) -> Position:
    if len(content) not in (12, 24, 28):
        raise WireError(f"POSITION of {len(content)} bytes: 12, 24 or 28 are expected")
    numbers = np.array(struct.unpack(f">{len(content) // 4}f", content))
    turn = np.array([0.0, 0.0, 0.0, 1.0])
    if len(numbers) == 7:
        turn = numbers[3:]
    elif len(numbers) == 6:
        # Three of a unit quaternion; the fourth is what is left of its length.
        turn = np.append(numbers[3:], np.sqrt(max(0.0, 1.0 - float(numbers[3:] @ numbers[3:]))))
    return Position(numbers[:3], turn)


def _tools(content: memoryview, pose_bytes: int, pose: Callable[[Buffer], Matrix]) -> TrackingData:
    each = _TOOL.size + pose_bytes
    if len(content) % each:
        raise WireError(f"tracking data of {len(content)} bytes: each tool takes {each}")
    tools = []
    for at in range(0, len(content), each):
        name, kind, _ = _TOOL.unpack(content[at : at + _TOOL.size])
        text = name.split(b"\0", 1)[0].decode("ascii", "replace")
        tools.append(ToolPlace(text, kind, pose(content[at + _TOOL.size : at + each])))
    return TrackingData(tuple(tools))


def _tdata(content: memoryview) -> TrackingData:
    return _tools(content, 48, _unpacked_matrix)


def _qtdata(content: memoryview) -> TrackingData:
    def pose(packed: Buffer) -> Matrix:
        numbers = np.array(struct.unpack(">7f", packed))
        return _matrix_of(numbers[:3], numbers[3:])

    return _tools(content, 28, pose)


def _status(content: memoryview) -> Status:
    if len(content) < _STATUS.size:
        raise WireError(f"STATUS of {len(content)} bytes: at least {_STATUS.size} are expected")
    code, subcode, name = _STATUS.unpack(content[: _STATUS.size])
    words = bytes(content[_STATUS.size :]).split(b"\0", 1)[0].decode("utf-8", "replace")
    return Status(code, subcode, name.split(b"\0", 1)[0].decode("ascii", "replace"), words)


def _string(content: memoryview) -> Text:
    if len(content) < 4:
        raise WireError(f"STRING of {len(content)} bytes: at least 4 are expected")
    _, length = struct.unpack(">HH", content[:4])
    if length > len(content) - 4:
        raise WireError("STRING: it ends beyond the message")
    return Text(bytes(content[4 : 4 + length]).decode("utf-8", "replace"))


def _image(content: memoryview) -> Image:
    if len(content) < _IMAGE.size:
        raise WireError(f"IMAGE of {len(content)} bytes: at least {_IMAGE.size} are expected")
    version, components, scalar, endian, space, *rest = _IMAGE.unpack(content[: _IMAGE.size])
    size, numbers, offset, part = rest[:3], np.array(rest[3:15]), rest[15:18], rest[18:]
    if version not in (1, 2) or scalar not in _SCALARS or endian not in _ENDIAN or space not in _SPACES:
        raise WireError(f"IMAGE: version {version}, scalar {scalar}, endian {endian}, space {space} mean nothing known")
    if any(offset) or part != size:
        raise WireError("IMAGE: only a part of the picture was sent; whole pictures are taken")
    dtype = np.dtype(_ENDIAN[endian] + _SCALARS[scalar])
    columns, rows, slices = size
    if not columns * rows * slices * components or not np.all(np.isfinite(numbers)):
        raise WireError(f"IMAGE of {columns}×{rows}×{slices} with {components} components: there is nothing in it")
    if len(content) - _IMAGE.size != columns * rows * slices * components * dtype.itemsize:
        raise WireError(f"IMAGE of {columns}×{rows}×{slices}: {len(content)} bytes do not agree with its size")
    pixels = np.frombuffer(content[_IMAGE.size :], dtype).reshape(slices, rows, columns, components)
    native = np.asarray(pixels, dtype=dtype.newbyteorder("="))
    native = native[..., 0] if components == 1 else native
    matrix = np.eye(4)
    matrix[:3, :3] = numbers[:9].reshape(3, 3).T
    matrix[:3, 3] = numbers[9:] - matrix[:3, :3] @ ((np.array(size) - 1.0) / 2.0)
    return Image(native[0] if slices == 1 else native, matrix, _SPACES[space])


_DECODERS: Mapping[str, Callable[[memoryview], Content]] = {
    "TRANSFORM": _transform,
    "POSITION": _position,
    "QTRANS": _position,
    "TDATA": _tdata,
    "QTDATA": _qtdata,
    "STATUS": _status,
    "STRING": _string,
    "IMAGE": _image,
}
