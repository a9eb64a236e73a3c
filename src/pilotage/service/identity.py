"""Ids of tasks: UUIDs of version 7 (RFC 9562), so that they sort by time and new ones share the end of an index."""

import random
import secrets


class IdMaker:
    """Makes ids that rise within a process and are unique everywhere."""

    def __init__(self) -> None:
        self._random = random.Random(secrets.randbits(256))  # a call of the system for each id would cost more
        self._last = 0

    def make(self, now_s: float) -> str:
        """A new id: 48 bits of milliseconds, a counter of 12 bits that carries over, 62 random bits."""
        stamp = max(int(now_s * 1000) << 12, self._last + 1)
        self._last = stamp
        number = (stamp >> 12) << 80 | 0x7 << 76 | (stamp & 0xFFF) << 64 | 0x2 << 62 | self._random.getrandbits(62)
        text = f"{number:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"
