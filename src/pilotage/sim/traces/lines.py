"""Text files read line by line, with one short error for whatever is wrong with them.

An error names the file, the line (counted as an editor does) and, where there is one, the column or field:
``pods.csv:17: cpu_milli``.
"""

import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import IO, Self, cast

from pilotage.model.errors import InvalidInput

MAX_LINE = 65_536
"""Longest line in bytes; a longer one is no table, and would only fill the memory."""


class Lines:
    """An open text file (``.gz``: compressed). Use it in a ``with`` block."""

    longest = MAX_LINE

    def __init__(self, path: Path) -> None:
        self.path = path
        self.shown = str(path) if str(path).isprintable() else repr(str(path))
        self.line = 0
        """Number of the line read last."""
        with self.faults():
            # Closed by __exit__; a `with` here would close it too early.
            self._file = cast("IO[bytes]", gzip.open(path) if path.suffix == ".gz" else path.open("rb"))  # noqa: SIM115

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def where(self, column: str = "") -> str:
        """Return how an error names the current line, or a column in it."""
        return f"{self.shown}:{self.line}" + (f": {column}" if column else "")

    def text(self) -> Iterator[str]:
        """Yield every line with its end."""
        while True:
            with self.faults():
                line = self._file.readline(self.longest + 1)
                if not line:
                    return
                self.line += 1
                if len(line) > self.longest:
                    raise InvalidInput(self.where(), f"the line is longer than {self.longest:,} bytes")
                # A byte order mark is what spreadsheets write in front of UTF-8.
                decoded = line.decode("utf-8-sig" if self.line == 1 else "utf-8")
            yield decoded

    @contextmanager
    def faults(self) -> Iterator[None]:
        """Turn what can go wrong in reading a file into the one error of bad input."""
        try:
            yield
        except EOFError:
            raise InvalidInput(self.shown, f"the compressed file ends too early, after line {self.line}") from None
        except (gzip.BadGzipFile, zlib.error):
            raise InvalidInput(
                self.shown, "is not a gzip file" if not self.line else f"is damaged after line {self.line}"
            ) from None
        except OSError as error:
            raise InvalidInput(self.shown, f"can not be read: {error.strerror or error}") from None
        except UnicodeDecodeError:
            raise InvalidInput(self.where(), "is not UTF-8 text") from None

    # -- fields of a line ----------------------------------------------------------------------------------------

    def number(self, text: str, field: str, *, least: float = 0, most: float = 1e15) -> float:
        """Return the number in a field; raises `InvalidInput` naming the field where there is none, or not in range."""
        try:
            value = float(text)
        except ValueError:
            raise InvalidInput(self.where(field), f"must be a number, got {text[:40]!r}") from None
        if not least <= value <= most:
            raise InvalidInput(self.where(field), f"must be from {least:g} to {most:g}, got {text[:40]!r}")
        return value

    def whole(self, text: str, field: str, *, least: int = 0, most: int = 2**53) -> int:
        """Return the whole number in a field; raises `InvalidInput` as `number` does."""
        value = self.number(text, field, least=least, most=most)
        if value != int(value):
            raise InvalidInput(self.where(field), f"must be a whole number, got {text[:40]!r}")
        return int(value)
