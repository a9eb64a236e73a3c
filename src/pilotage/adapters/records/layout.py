"""How a segment lies in a file: a line that says what it is, then blocks.

::

    pilotage record 1\n | length | length unpacked | zlib stream | length | length unpacked | zlib stream | ...

Lengths are 32 bits, big endian. The checksum of a zlib stream shows damage, the last item that nothing is cut off.
"""

from pathlib import Path
from struct import Struct

FORMAT = 1
"""Raised when an old reader could not make sense of what is written."""

MARK = b"pilotage record "
"""How the first line of every segment begins; the format and a line end follow."""

LENGTHS = Struct(">II")

LARGEST_BLOCK = 2**30
"""Bytes of an unpacked block at most: a checkpoint of a million tasks fits."""


def rotated(path: Path, segment: int) -> Path:
    """Return where a segment goes once it is full."""
    return path.with_name(f"{path.name}.{segment:04}")
