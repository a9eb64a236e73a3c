"""Reads a record, segment by segment, and refuses what is cut off, damaged, foreign, newer or out of order."""

import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from msgspec import MsgspecError
from msgspec.structs import replace

from pilotage.adapters.records.layout import FORMAT, LARGEST_BLOCK, LENGTHS, MARK
from pilotage.engine.record import Closed, Header, Item, Opened, items_of
from pilotage.model.errors import InvalidInput

_LONGEST_MARK = 64


def segments_of(path: Path) -> list[Path]:
    """Return the files of a record in order: full segments, then the newest under the name itself.

    A full segment that is named itself is a record of its own.
    """
    numbered = re.compile(re.escape(path.name) + r"\.([0-9]{4,})")
    try:
        beside = [(int(match[1]), file) for file in path.parent.iterdir() if (match := numbered.fullmatch(file.name))]
    except OSError as error:
        raise InvalidInput(str(path), f"can not be read: {error.strerror or error}") from None
    return [*(file for _, file in sorted(beside)), path]


def read_record(path: Path, *, partial: bool = False) -> Iterator[Item]:
    """Yield the items of a record: every segment begins with `Opened`, and the last ends with `Closed`.

    The oldest segments may be missing. ``partial``: the end may be, too, and the record then goes as far as it is
    whole. Raises `InvalidInput` that says which file and what is wrong, when reading gets there.
    """
    header: Header | None = None
    closed: Closed | None = None
    files = segments_of(path)
    for file in files:
        newest = file == files[-1]
        for item in _segment(file, partial=partial and newest):
            if isinstance(item, Opened):
                if header is not None and closed is not None:
                    _check_follows(file, header, closed, item.header)
                header = item.header
            elif isinstance(item, Closed):
                closed = item
            yield item


def _check_follows(file: Path, before: Header, closed: Closed, header: Header) -> None:
    expected = replace(before, segment=before.segment + 1, digest=closed.digest, decisions=closed.decisions)
    if closed.last or header != expected:
        raise InvalidInput(str(file), "does not follow the segment before it: one is missing, or of another record")


def _segment(path: Path, *, partial: bool) -> Iterator[Item]:
    opened = closed = False
    try:
        with path.open("rb") as file:
            _check_mark(path, file)
            for block in _blocks(path, file, partial=partial):
                for item in _items(path, block):
                    if closed or isinstance(item, Opened) == opened:
                        raise InvalidInput(str(path), "is damaged: its items are out of order")
                    opened, closed = True, isinstance(item, Closed)
                    yield item
    except OSError as error:
        raise InvalidInput(str(path), f"can not be read: {error.strerror or error}") from None
    if not opened or not (closed or partial):
        raise _cut_off(path)


def _check_mark(path: Path, file: BinaryIO) -> None:
    line = file.readline(_LONGEST_MARK)
    form = line.removeprefix(MARK).rstrip(b"\n")
    if not line.startswith(MARK) or not line.endswith(b"\n") or not re.fullmatch(rb"[1-9][0-9]{0,9}", form):
        raise InvalidInput(str(path), "is not a record of Pilotage")
    if int(form) > FORMAT:
        raise InvalidInput(
            str(path), f"is a record in format {int(form)}; this version reads up to {FORMAT}: take a newer one"
        )


def _blocks(path: Path, file: BinaryIO, *, partial: bool) -> Iterator[bytes]:
    count = 0
    while lengths := file.read(LENGTHS.size):
        if len(lengths) == LENGTHS.size:
            length, unpacked = LENGTHS.unpack(lengths)
            if max(length, unpacked) > LARGEST_BLOCK:
                raise InvalidInput(str(path), f"is damaged after block {count}")
            packed = file.read(length)
            if len(packed) == length:
                yield _unpacked(path, packed, unpacked, count)
                count += 1
                continue
        if partial:
            return
        raise _cut_off(path)


def _unpacked(path: Path, packed: bytes, length: int, count: int) -> bytes:
    """Unpack a block, but not further than to the length that it states."""
    unpacker = zlib.decompressobj()
    try:
        block = unpacker.decompress(packed, length or 1)
        # What is left may hold the end mark and the checksum only.
        rest = unpacker.decompress(unpacker.unconsumed_tail, 1)
    except zlib.error:
        raise InvalidInput(str(path), f"is damaged after block {count}") from None
    if len(block) != length or rest or not unpacker.eof:
        raise InvalidInput(str(path), f"is damaged after block {count}")
    return block


def _items(path: Path, block: bytes) -> list[Item]:
    try:
        return items_of(block)
    except (MsgspecError, RecursionError, UnicodeDecodeError) as error:
        raise InvalidInput(str(path), f"holds what this version does not know: {error}"[:300]) from None


def _cut_off(path: Path) -> InvalidInput:
    return InvalidInput(str(path), "is cut off: its end is missing (--partial takes it as far as it goes)")
