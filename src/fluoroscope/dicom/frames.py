"""Frames of a DICOM file's pixel data, found once and decoded one at a time."""

import io
import struct
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from fluoroscope.dicom.errors import DicomFileError
from fluoroscope.dicom.layout import Layout

__all__ = ["FrameStore", "PixelFormat", "check_sizes"]

_UNCOMPRESSED = frozenset(["1.2.840.10008.1.2", "1.2.840.10008.1.2.1"])
_JPEG_BASELINE = "1.2.840.10008.1.2.4.50"
_JPEG_LS = frozenset(["1.2.840.10008.1.2.4.80", "1.2.840.10008.1.2.4.81"])
_RLE = "1.2.840.10008.1.2.5"
# Read when a package outside the core set is installed.
_WITH_PACKAGE = {
    "1.2.840.10008.1.2.4.51": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.57": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.70": "pylibjpeg pylibjpeg-libjpeg",
    "1.2.840.10008.1.2.4.90": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.91": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.201": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.202": "pylibjpeg pylibjpeg-openjpeg",
    "1.2.840.10008.1.2.4.203": "pylibjpeg pylibjpeg-openjpeg",
}
_LARGEST_FRAME_PIXELS = 2**26
_MOST_FRAMES = 200_000
_DECODER_ERRORS = (
    ValueError,
    RuntimeError,
    OSError,
    SyntaxError,
    IndexError,
    EOFError,
    struct.error,
    MemoryError,
)


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How pixels are stored, as the header says: sizes, bits, and whether small values are bright."""

    rows: int
    columns: int
    frames: int
    bits_allocated: int
    bits_stored: int
    high_bit: int
    small_is_bright: bool

    @property
    def frame_bytes(self) -> int:
        """Bytes of one frame uncompressed."""
        return self.rows * self.columns * self.bits_allocated // 8

    @property
    def largest(self) -> int:
        """The largest value a pixel can have."""
        return int((1 << self.bits_stored) - 1)


def check_sizes(form: PixelFormat, name: str) -> None:
    """Refuse a header whose numbers cannot be those of an X-ray run, before anything is sized by them.

    Raises
    ------
    DicomFileError
        One line: what is wrong, in which file (``name``), and what to do.
    """
    again = "get the file again from its source"
    if form.bits_allocated not in (8, 16):
        raise DicomFileError(f"{name}: {form.bits_allocated} bits allocated; 8 and 16 are read, convert it first")
    if not (1 <= form.bits_stored <= form.bits_allocated and form.high_bit < form.bits_allocated):
        raise DicomFileError(f"{name}: bits stored do not fit the bits allocated; {again}")
    if form.high_bit + 1 < form.bits_stored:
        raise DicomFileError(f"{name}: high bit is below the bits stored; {again}")
    if form.rows < 1 or form.columns < 1 or form.frames < 1:
        raise DicomFileError(f"{name}: an image without pixels; choose another file")
    if form.rows * form.columns > _LARGEST_FRAME_PIXELS or form.frames > _MOST_FRAMES:
        size = f"{form.frames} frames of {form.rows} × {form.columns} pixels"
        raise DicomFileError(f"{name}: {size}, more than any X-ray run has; {again}")


class FrameStore:
    """Frames of one file, read when asked for; safe to use from several threads.

    Raises
    ------
    DicomFileError
        When the file does not hold the frames it claims, or pixels are coded in a way not read here.

    The format must have passed `check_sizes`.
    """

    def __init__(self, path: Path, layout: Layout, pixel_format: PixelFormat) -> None:
        self._name = path.name
        self._format = pixel_format
        self._syntax = layout.transfer_syntax_uid
        self._lock = threading.Lock()
        self._check_decoder()
        self._file: BinaryIO = path.open("rb")
        try:
            self._parts = self._find_frames(layout)
        except BaseException:
            self._file.close()
            raise

    def close(self) -> None:
        """Close the file. May be called twice."""
        self._file.close()

    def frame(self, index: int) -> NDArray[np.uint16]:
        """Return frame ``index`` (from 0), uint16 (rows, columns), larger brighter, values as stored."""
        if not 0 <= index < self._format.frames:
            raise IndexError(f"frame {index} of a clip of {self._format.frames}")
        coded = bytearray()
        with self._lock:
            for offset, length in self._parts[index]:
                self._file.seek(offset)
                coded += self._file.read(length)
        raw = self._decode(bytes(coded), index)
        shift = self._format.high_bit + 1 - self._format.bits_stored
        values = raw.astype(np.uint16)
        if shift:
            values >>= np.uint16(shift)
        values &= np.uint16(self._format.largest)
        if self._format.small_is_bright:
            values = np.uint16(self._format.largest) - values
        return values

    def _check_decoder(self) -> None:
        known = self._syntax in _UNCOMPRESSED or self._syntax in _JPEG_LS or self._syntax in (_JPEG_BASELINE, _RLE)
        if known:
            return
        from pydicom.uid import UID

        name = UID(self._syntax).name
        package = _WITH_PACKAGE.get(self._syntax)
        if package is None:
            raise self._refuse(f"pixels coded as {name} are not read", "convert it first, to uncompressed")
        from pydicom.pixels.decoders.base import get_decoder

        if not get_decoder(UID(self._syntax)).is_available:
            raise self._refuse(f"pixels coded as {name} need a decoder", f"pip install {package}")

    def _find_frames(self, layout: Layout) -> list[tuple[tuple[int, int], ...]]:
        """Return, for every frame, the file parts (offset, length) it consists of."""
        part = layout.pixel_data
        if part is None:
            raise self._refuse("no pixel data in it", "choose an X-ray run or image")
        form = self._format
        if part.length is None:
            if self._syntax in _UNCOMPRESSED:
                raise self._refuse("encapsulated pixels in an uncompressed syntax", "get the file again")
            table, fragments = self._fragments(part.offset, layout.file_bytes)
            grouped = _group(table, fragments, form.frames)
            if grouped is None:
                raise self._refuse(
                    f"truncated or damaged: {len(fragments)} compressed parts for {form.frames} frames",
                    "get the file again from its source",
                )
            return grouped
        if self._syntax not in _UNCOMPRESSED:
            raise self._refuse("compressed pixels must be encapsulated", "get the file again from its source")
        needed = form.frame_bytes * form.frames
        if part.length < needed:
            raise self._refuse(
                f"truncated: {form.frames} frames need {needed} bytes, the file holds {part.length}",
                "get the file again from its source",
            )
        return [((part.offset + i * form.frame_bytes, form.frame_bytes),) for i in range(form.frames)]

    def _fragments(self, offset: int, file_bytes: int) -> tuple[list[int], list[tuple[int, int]]]:
        """Return the basic offset table and the fragments, each (offset of its value, length)."""
        self._file.seek(offset)
        table: list[int] | None = None
        found: list[tuple[int, int]] = []
        while True:
            head = self._file.read(8)
            if len(head) < 8:
                raise self._refuse("truncated in its pixel data", "get the file again from its source")
            group, element, length = struct.unpack("<HHI", head)
            if (group, element) == (0xFFFE, 0xE0DD):
                return table or [], found
            at = self._file.tell()
            if (group, element) != (0xFFFE, 0xE000) or at + length > file_bytes:
                raise self._refuse("damaged or truncated pixel data", "get the file again from its source")
            if table is None:
                if length > 4 * _MOST_FRAMES:
                    raise self._refuse("an offset table longer than any run", "get the file again")
                table = list(struct.unpack(f"<{length // 4}I", self._file.read(length // 4 * 4)))
            else:
                found.append((at, length))
                if len(found) > 4 * _MOST_FRAMES:
                    raise self._refuse("more fragments than any run has", "get the file again from its source")
            self._file.seek(at + length)

    def _decode(self, coded: bytes, index: int) -> NDArray[np.generic]:
        form = self._format
        try:
            if self._syntax in _UNCOMPRESSED:
                pixels: NDArray[np.generic] = np.frombuffer(coded, dtype=f"<u{form.bits_allocated // 8}")
            else:
                self._check_coded_size(coded, index)
                pixels = self._decompress(coded)
        except _DECODER_ERRORS as error:
            if isinstance(error, DicomFileError):
                raise
            raise self._refuse(f"frame {index + 1} cannot be decoded ({error})", "get the file again") from error
        if pixels.size != form.rows * form.columns:
            raise self._refuse(f"frame {index + 1} has {pixels.size} pixels, not as its header says", "get it again")
        return pixels.reshape(form.rows, form.columns)

    def _decompress(self, coded: bytes) -> NDArray[np.generic]:
        if self._syntax in _JPEG_LS:
            from jpeg_ls import CharLS

            decoded: NDArray[np.generic] = CharLS.jlsread(coded)
            return decoded
        if self._syntax == _JPEG_BASELINE:
            from PIL import Image

            with Image.open(io.BytesIO(coded), formats=("JPEG",)) as picture:
                if picture.mode != "L":
                    raise self._refuse("colour JPEG", "X-ray clips are monochrome; choose another file")
                return np.asarray(picture)
        from pydicom.encaps import encapsulate
        from pydicom.pixels.decoders.base import get_decoder
        from pydicom.uid import UID

        form = self._format
        options: dict[str, Any] = {
            "rows": form.rows,
            "columns": form.columns,
            "number_of_frames": 1,
            "samples_per_pixel": 1,
            "bits_allocated": form.bits_allocated,
            "bits_stored": form.bits_stored,
            "pixel_representation": 0,
            "photometric_interpretation": "MONOCHROME2",
            "pixel_keyword": "PixelData",
        }
        pixels, _ = get_decoder(UID(self._syntax)).as_array(encapsulate([coded]), raw=True, **options)
        decompressed: NDArray[np.generic] = pixels
        return decompressed

    def _check_coded_size(self, coded: bytes, index: int) -> None:
        """Refuse a picture that claims another size than the header before any of it is decoded."""
        size = _coded_size(coded)
        if size is not None and size != (self._format.rows, self._format.columns):
            said = f"{self._format.rows} × {self._format.columns}"
            raise self._refuse(
                f"frame {index + 1} is {size[0]} × {size[1]} pixels inside, the header says {said}",
                "get the file again from its source",
            )

    def _refuse(self, what: str, what_to_do: str) -> DicomFileError:
        return DicomFileError(f"{self._name}: {what}; {what_to_do}")


def _group(table: list[int], fragments: list[tuple[int, int]], frames: int) -> list[tuple[tuple[int, int], ...]] | None:
    """Return the fragments of every frame: one each, all of a single frame, or by the offset table."""
    if len(fragments) == frames:
        return [(fragment,) for fragment in fragments]
    if frames == 1 and fragments:
        return [tuple(fragments)]
    if not fragments or len(table) != frames or table[0] != 0 or table != sorted(set(table)):
        return None
    first_item = fragments[0][0] - 8
    grouped: list[list[tuple[int, int]]] = []
    for fragment in fragments:
        if len(grouped) < frames and fragment[0] - 8 - first_item == table[len(grouped)]:
            grouped.append([])
        grouped[-1].append(fragment)
    return [tuple(parts) for parts in grouped] if len(grouped) == frames else None


def _coded_size(coded: bytes) -> tuple[int, int] | None:
    """Return (rows, columns) a JPEG, JPEG-LS or JPEG 2000 picture claims; None without such a header."""
    if coded[:4] == b"\xff\x4f\xff\x51" and len(coded) >= 24:  # JPEG 2000: SOC, SIZ (ISO/IEC 15444-1 A.5.1)
        width, height, left, top = struct.unpack(">IIII", coded[8:24])
        return height - top, width - left
    if coded[:2] != b"\xff\xd8":
        return None
    at = 2
    while at + 9 <= len(coded):
        if coded[at] != 0xFF:
            return None
        marker = coded[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        is_frame_header = 0xC0 <= marker <= 0xCF and marker not in (0xC4, 0xC8, 0xCC)
        if is_frame_header or marker == 0xF7:  # SOFn (ISO/IEC 10918-1 B.2.2), SOF55 (ISO/IEC 14495-1 C.2.2)
            rows, columns = struct.unpack(">HH", coded[at + 5 : at + 9])
            return rows, columns
        at += 2 + struct.unpack(">H", coded[at + 2 : at + 4])[0]
    return None
