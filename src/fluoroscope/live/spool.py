"""The raw spool: every picture of a press on disk while it is made, to be encoded after release.

A spool is a folder: ``index.jsonl`` with one checked line per picture, written after the pixels, and
``pixels-000.raw`` with the 16-bit pictures one after the other. When the size of the picture changes during
the press (another zoom field) the pixels go on in the next file. What was written before a crash or a full
disk stays readable.
"""

import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import overload

import numpy as np
from numpy.typing import NDArray

from fluoroscope.acquisition.event import IrradiationEvent
from fluoroscope.acquisition.frame import Frame, PixelIntensity, Provenance
from fluoroscope.live.encoding import (
    Json,
    collimation_from_json,
    decode_line,
    encode_line,
    kerma_from_json,
    optional_json,
    pose_from_json,
    table_from_json,
    technique_from_json,
    technique_to_json,
)
from fluoroscope.live.subscription import EventEnded, LivePicture, PictureKind, Subscription

__all__ = ["EventRecorder", "Spool", "SpoolWriter"]

PREALLOCATED_PICTURES = 32
INDEX_NAME = "index.jsonl"


class SpoolWriter:
    """Writes one spool. One thread.

    Parameters
    ----------
    folder
        A new folder; its parent exists.

    Raises
    ------
    OSError
        When the folder exists or cannot be made.
    """

    def __init__(self, folder: Path) -> None:
        folder.mkdir()
        self._folder = folder
        try:
            self._index = os.open(folder / INDEX_NAME, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except OSError:
            folder.rmdir()
            raise
        self._index_length = 0
        self._pixels: int | None = None
        self._segment = -1
        self._shape: tuple[int, ...] = (0, 0)
        self._end = 0
        self._allocated = 0
        self._count = 0

    @property
    def folder(self) -> Path:
        """The spool's folder."""
        return self._folder

    def __len__(self) -> int:
        return self._count

    def append(self, frame: Frame, window: tuple[float, float]) -> None:
        """Write one frame and the display window of its run.

        Raises
        ------
        OSError
            When the disk does not take it; the spool then ends before this frame and can still be closed and
            read.
        """
        if self._pixels is None or frame.pixels.shape != self._shape:
            self._next_segment(frame.pixels.shape)
        position = self._end
        self._write_pixels(np.ascontiguousarray(frame.pixels))
        line = encode_line(
            {
                "segment": self._segment,
                "position": position,
                "uid": frame.uid,
                "event_uid": frame.event_uid,
                "index": frame.index,
                "acquired_ns": frame.acquired_ns,
                "rows": frame.pixels.shape[0],
                "columns": frame.pixels.shape[1],
                "intensity": frame.intensity.value,
                "provenance": frame.provenance.value,
                "pitch_mm": frame.pitch_mm,
                "window": list(window),
                "pose": optional_json(frame.pose),
                "table": optional_json(frame.table),
                "technique": technique_to_json(frame.technique),
                "collimation": optional_json(frame.collimation),
                "kerma": optional_json(frame.kerma),
            }
        )
        written = os.write(self._index, line)
        if written != len(line):
            os.ftruncate(self._index, self._index_length)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self._folder / INDEX_NAME))
        self._index_length += written
        self._count += 1

    def close(self) -> None:
        """Sync and close; give back what was allocated and not used. May be called twice."""
        self._close_segment()
        if self._index >= 0:
            os.fsync(self._index)
            os.close(self._index)
            self._index = -1

    def _next_segment(self, shape: tuple[int, ...]) -> None:
        self._close_segment()
        self._segment += 1
        path = self._folder / f"pixels-{self._segment:03d}.raw"
        self._pixels = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        self._shape, self._end, self._allocated = shape, 0, 0

    def _close_segment(self) -> None:
        if self._pixels is not None:
            os.ftruncate(self._pixels, self._end)
            os.fsync(self._pixels)
            os.close(self._pixels)
            self._pixels = None

    def _write_pixels(self, pixels: NDArray[np.uint16]) -> None:
        if self._pixels is None:
            raise RuntimeError("no segment is open")
        length = pixels.nbytes
        if self._end + length > self._allocated and hasattr(os, "posix_fallocate"):
            chunk = PREALLOCATED_PICTURES * length
            try:
                os.posix_fallocate(self._pixels, self._end, chunk)
                self._allocated = self._end + chunk
            except OSError as error:
                # Less than a chunk is left, or the file system cannot allocate: then the write itself
                # decides.
                if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EOPNOTSUPP, errno.EINVAL):
                    raise
                self._allocated = self._end + length
        view, done = pixels.data.cast("B"), 0
        while done < length:
            done += os.pwrite(self._pixels, view[done:], self._end + done)
        self._end += length


class Spool(Sequence[Frame]):
    """The frames of a spool, read when asked for: pixels are mapped, not loaded.

    Parameters
    ----------
    folder
        As written by `SpoolWriter`, also when the program was killed while writing: without an index the
        spool is empty.

    Raises
    ------
    OSError
        When there is no spool.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._entries: list[Json] = []
        sizes: dict[int, int] = {}
        for line in self._index_lines():
            entry = decode_line(line)
            if entry is None:
                break
            segment = entry["segment"]
            if segment not in sizes:
                path = self._path(segment)
                sizes[segment] = path.stat().st_size if path.exists() else 0
            if entry["position"] + 2 * entry["rows"] * entry["columns"] > sizes[segment]:
                break
            self._entries.append(entry)
        self._maps: dict[int, NDArray[np.uint8]] = {}

    @classmethod
    def open(cls, folder: Path) -> "Spool":
        """Return the spool in ``folder``."""
        return cls(folder)

    @property
    def folder(self) -> Path:
        """The spool's folder."""
        return self._folder

    def hold(self) -> None:
        """Map all pixels now: the frames stay readable when the folder is removed (not on Windows).

        Raises
        ------
        OSError
            When the folder was removed before.
        """
        for segment in {entry["segment"] for entry in self._entries}:
            self._mapped(segment)

    @property
    def window(self) -> tuple[float, float]:
        """Display window (centre, width) of the run, pixel values.

        Raises
        ------
        ValueError
            When the spool is empty.
        """
        if not self._entries:
            raise ValueError(f"{self._folder} holds no frame")
        center, width = self._entries[0]["window"]
        return center, width

    def __len__(self) -> int:
        return len(self._entries)

    @overload
    def __getitem__(self, index: int) -> Frame: ...
    @overload
    def __getitem__(self, index: slice) -> list[Frame]: ...
    def __getitem__(self, index: int | slice) -> Frame | list[Frame]:
        """Return a frame, or a list of them."""
        if isinstance(index, slice):
            return [self._frame(entry) for entry in self._entries[index]]
        return self._frame(self._entries[index])

    def __iter__(self) -> Iterator[Frame]:
        return (self._frame(entry) for entry in self._entries)

    def _index_lines(self) -> list[bytes]:
        try:
            content = (self._folder / INDEX_NAME).read_bytes()
        except FileNotFoundError:
            # The folder is made first: the program may have been killed in between.
            if not self._folder.is_dir():
                raise
            content = b""
        return content.split(b"\n")[:-1]

    def _mapped(self, segment: int) -> NDArray[np.uint8]:
        if segment not in self._maps:
            self._maps[segment] = np.memmap(self._path(segment), dtype=np.uint8, mode="r")
        return self._maps[segment]

    def _path(self, segment: int) -> Path:
        return self._folder / f"pixels-{segment:03d}.raw"

    def _frame(self, entry: Json) -> Frame:
        segment, rows, columns = entry["segment"], entry["rows"], entry["columns"]
        start = entry["position"]
        stored = np.asarray(self._mapped(segment)[start : start + 2 * rows * columns])
        return Frame(
            uid=entry["uid"],
            event_uid=entry["event_uid"],
            index=entry["index"],
            acquired_ns=entry["acquired_ns"],
            pixels=stored.view(np.uint16).reshape(rows, columns),
            intensity=PixelIntensity(entry["intensity"]),
            provenance=Provenance(entry["provenance"]),
            pitch_mm=entry["pitch_mm"],
            pose=pose_from_json(entry["pose"]),
            table=table_from_json(entry["table"]),
            technique=technique_from_json(entry["technique"]),
            collimation=collimation_from_json(entry["collimation"]),
            kerma=kerma_from_json(entry["kerma"]),
        )


class EventRecorder:
    """Spools every picture, as shown, of a LOSSLESS subscription in a thread of its own.

    Parameters
    ----------
    subscription
        LOSSLESS; the recorder takes all of it.
    parent
        Existing folder in which each press gets its own, ``event-0001`` and so on.
    on_recorded
        Called in the recorder's thread with the event and its finished spool; also when the disk filled up
        on the way and the spool holds only the beginning.
    """

    def __init__(
        self,
        subscription: Subscription,
        parent: Path,
        on_recorded: Callable[[IrradiationEvent, Spool], None],
    ) -> None:
        self._subscription = subscription
        self._parent = parent
        self._on_recorded = on_recorded
        self._writer: SpoolWriter | None = None
        self._failed_event: str | None = None
        self._thread = threading.Thread(target=self._record, name="event recorder", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Finish what is queued and end the thread."""
        self._subscription.close()
        self._thread.join()

    def _record(self) -> None:
        while True:
            item = self._subscription.get(timeout_s=0.5)
            if item is None:
                if self._subscription.closed:
                    break
            elif isinstance(item, EventEnded):
                self._finish(item.event)
            elif item.kind is PictureKind.LIVE:
                self._take(item)
        if self._writer is not None:
            self._writer.close()

    def _take(self, picture: LivePicture) -> None:
        frame = picture.shown
        if frame.event_uid == self._failed_event:
            return
        try:
            if self._writer is None:
                self._writer = SpoolWriter(self._parent / f"event-{picture.event_number:04d}")
            self._writer.append(frame, picture.window)
        except OSError as error:
            self._failed_event = frame.event_uid
            reason = os.strerror(error.errno) if error.errno else str(error)
            self._subscription.fail(
                f"recording to {self._parent} stopped ({reason}): what was written is kept; free some space"
            )

    def _finish(self, event: IrradiationEvent) -> None:
        writer, self._writer = self._writer, None
        if writer is None:
            return
        try:
            writer.close()
        except OSError as error:
            self._subscription.fail(f"recording {writer.folder} could not be closed ({error}): check the disk")
        try:
            spool = Spool.open(writer.folder)
        except OSError as error:
            self._subscription.fail(f"recording {writer.folder} cannot be read ({error}): check the disk")
            return
        self._on_recorded(event, spool)
