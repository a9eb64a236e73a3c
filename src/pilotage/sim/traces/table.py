"""Tables: CSV files read row by row into typed structs, with one short error for whatever is wrong with them.

An error names the file, the line (counted as an editor does) and, where there is one, the column:
``pods.csv:17: cpu_milli``.
"""

import csv
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import msgspec
from msgspec import Struct

from pilotage.model.errors import InvalidInput
from pilotage.sim.traces.lines import Lines

Row = TypeVar("Row", bound=Struct)

_AT = re.compile(r" - at `\$\.?(?P<column>[^`]*)`$")
_MISSING = re.compile(r"^Object missing required field `(?P<column>[^`]*)`")
_WORDS = (
    ("`int`", "a whole number"),
    ("`float`", "a number"),
    ("`str`", "text"),
    ("Expected ", "must be "),
)


class Table(Lines):
    """An open CSV file (``.gz``: compressed) whose header has been read. Use it in a ``with`` block."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        try:
            self._reader = csv.reader(self.text(), strict=True)
            self.columns = self._header()
        except BaseException:
            self.close()
            raise

    def rows(self, row_type: type[Row], *, extra: bool) -> Iterator[Row]:
        """Yield every row; `where` then says where it stands. ``extra``: columns of no meaning to us are fine.

        Empty cells count as not given. Blank lines are passed over.
        """
        self._check_columns(row_type, extra)
        while True:
            with self.faults():
                cells = next(self._reader, None)
            if cells is None:
                return
            if not cells:
                continue
            if len(cells) != len(self.columns):
                raise InvalidInput(
                    self.where(), f"has {len(cells)} cells where the header names {len(self.columns)} columns"
                )
            given = {column: cell for column, cell in zip(self.columns, cells, strict=True) if cell}
            try:
                row = msgspec.convert(given, row_type, strict=False)
            except msgspec.ValidationError as error:
                raise self._bad_cell(given, str(error)) from None
            yield row

    @contextmanager
    def blaming(self, columns: dict[str, str]) -> Iterator[None]:
        """Turn what the model says about a field into the file, line and column that the value came from."""
        try:
            yield
        except InvalidInput as error:
            field = error.field if error.field in columns else error.field.partition(".")[0].partition(" ")[0]
            raise InvalidInput(self.where(columns.get(field, error.field)), error.reason) from None

    # -- inside --------------------------------------------------------------------------------------------------

    def _header(self) -> tuple[str, ...]:
        with self.faults():
            header = next(self._reader, None)
        if not header:
            raise InvalidInput(self.shown, "is empty; its first line must name the columns")
        columns = tuple(column.strip() for column in header)
        twice = sorted({column for column in columns if columns.count(column) > 1})
        if twice:
            raise InvalidInput(self.where(twice[0][:60]), "the header names this column twice")
        return columns

    def _check_columns(self, row_type: type[Struct], extra: bool) -> None:
        fields = msgspec.structs.fields(row_type)
        known = [field.name for field in fields]
        for field in fields:
            if field.required and field.name not in self.columns:
                raise InvalidInput(f"{self.shown}:1: {field.name}", "the header has no such column")
        for column in self.columns:
            if not extra and column not in known:
                raise InvalidInput(f"{self.shown}:1: {column[:60]!r}", f"is no column; known: {', '.join(known)}")

    @contextmanager
    def faults(self) -> Iterator[None]:
        """As of any file; besides, lines that are no CSV."""
        try:
            with super().faults():
                yield
        except csv.Error as error:
            raise InvalidInput(self.where(), f"is not CSV: {error}") from None

    def _bad_cell(self, given: dict[str, str], message: str) -> InvalidInput:
        missing = _MISSING.match(message)
        if missing:
            return InvalidInput(self.where(missing["column"]), "is missing")
        at = _AT.search(message)
        column = at["column"] if at else ""
        reason = _AT.sub("", message).removesuffix(", got `str`")
        for word, plain in _WORDS:
            reason = reason.replace(word, plain)
        cell = given.get(column, "")
        return InvalidInput(self.where(column), f"{reason}, got {cell if len(cell) <= 40 else cell[:37] + '...'!r}")
