"""Writes a record: the newest segment under the given name, full ones beside it as ``NAME.0001``, ``NAME.0002``..."""

import os
import zlib
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self

from pilotage.adapters.records.layout import FORMAT, LENGTHS, MARK, rotated
from pilotage.engine.record import block_of
from pilotage.model.errors import InvalidInput

BLOCK_BYTES = 128 * 1024
"""Items are packed once they come to this much."""

_LEVEL = 1


class RecordWriter:
    """A `RecordSink` on files that only their owner may read. Use it in a ``with`` block.

    ``segment_bytes`` bounds a segment, give or take a block and the checkpoint that it begins with; of full segments
    the newest ``keep`` stay (None: all). Raises `InvalidInput` where there is a file already, or none can be written.
    """

    def __init__(self, path: Path, *, segment_bytes: int, keep: int | None = None) -> None:
        self.path = path
        self.segment_bytes = segment_bytes
        self.keep = keep
        self.full = True
        self._segment = 0
        self._written = 0
        self._items: list[bytes] = []
        self._bytes = 0
        for taken in (path, rotated(path, 1)):
            if taken.exists():
                raise InvalidInput("--record", f"{taken} exists already: name another file, or remove that one")
        self._file: BinaryIO = self._opened()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        try:
            self.flush()
        finally:
            self._file.close()

    def begin(self, item: bytes) -> None:
        """Put the segment so far aside, if there is one, and begin another with its first item."""
        if self._segment:
            self.flush()
            self._file.close()
            try:
                self.path.rename(rotated(self.path, self._segment))
                if self.keep is not None and self._segment > self.keep:
                    rotated(self.path, self._segment - self.keep).unlink(missing_ok=True)
            except OSError as error:
                raise self._fault(error) from None
            self._file = self._opened()
        self._segment += 1
        self.add(item)
        self.flush()
        # A checkpoint may be larger than a segment is meant to be; what follows it gets its room all the same.
        self._written = 0
        self.full = False

    def add(self, item: bytes) -> None:
        """Add an item; it is in the file once its block is full, or after `flush`."""
        self._items.append(item)
        self._bytes += len(item)
        if self._bytes >= BLOCK_BYTES:
            self.flush()

    def flush(self) -> None:
        """Hand everything so far to the operating system."""
        if not self._items:
            return
        block = block_of(self._items)
        packed = zlib.compress(block, _LEVEL)
        try:
            self._file.write(LENGTHS.pack(len(packed), len(block)) + packed)
            self._file.flush()
        except OSError as error:
            raise self._fault(error) from None
        self._written += len(packed)
        self.full = self._written >= self.segment_bytes
        self._items, self._bytes = [], 0

    def _opened(self) -> BinaryIO:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            file = os.fdopen(descriptor, "wb")
            file.write(MARK + str(FORMAT).encode() + b"\n")
        except OSError as error:
            raise self._fault(error) from None
        return file

    def _fault(self, error: OSError) -> InvalidInput:
        return InvalidInput("--record", f"{self.path} can not be written: {error.strerror or error}")
