"""What has been read of a table so far: that names come once, models are known and the table is not empty."""

from pilotage.model.errors import InvalidInput
from pilotage.sim.traces.lines import Lines


class Census:
    """The names seen in one column of one file, with their lines."""

    def __init__(self, table: Lines, column: str) -> None:
        self._table = table
        self._column = column
        self._line_of: dict[str, int] = {}

    def enter(self, name: str) -> None:
        """Note ``name`` for the current line; raises `InvalidInput` if an earlier line has it."""
        first = self._line_of.setdefault(name, self._table.line)
        if first != self._table.line:
            raise InvalidInput(self._table.where(self._column), f"{name[:80]!r} stands on line {first} already")

    def check_models(self, column: str, wanted: tuple[str, ...], known: frozenset[str]) -> None:
        """Raise `InvalidInput` if a task accepts a GPU model that no node has."""
        for model in wanted:
            if model not in known:
                choice = f"known: {', '.join(sorted(known))}" if known else "the nodes name no model"
                raise InvalidInput(self._table.where(column), f"no node has a GPU of model {model[:80]!r}; {choice}")

    def close(self, things: str) -> None:
        """Raise `InvalidInput` if there was no line below the header."""
        if not self._line_of:
            raise InvalidInput(self._table.shown, f"holds no {things}, only a header")
