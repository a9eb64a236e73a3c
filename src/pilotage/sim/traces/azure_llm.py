"""The format of Azure's LLM inference traces: when a request came, its input tokens, its output tokens."""

from datetime import datetime
from pathlib import Path

import numpy as np
from msgspec import Struct

from pilotage.kernel.arrays import FloatArray
from pilotage.model.errors import InvalidInput
from pilotage.sim.traces.table import Table

MAX_TOKENS = 10_000_000
LEAST_ROWS = 100
"""A fifth of the rows trains the predictor; with fewer there is nothing to learn from."""

CONVERSATION = "azure-llm:conv"
BUNDLED: dict[str, Path] = {
    CONVERSATION: Path(__file__).parent.parent / "data" / "azure-llm-2023" / "AzureLLMInferenceTrace_conv.csv.gz"
}
"""Request traces that come with Pilotage, by the name they go by on the command line."""

MARK = "ContextTokens"
"""The column that tells this format."""


class Requests(Struct, frozen=True):
    """Requests in the order of their arrival: seconds since the first, input tokens, output tokens; float64[n] each."""

    name: str
    arrival_s: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray

    def __len__(self) -> int:
        return len(self.arrival_s)


class _Row(Struct):
    TIMESTAMP: str
    ContextTokens: int
    GeneratedTokens: int


def load_requests(trace: str) -> Requests:
    """Return the trace called ``trace``: a bundled name, or the path of a file (``.csv``, ``.csv.gz``).

    Raises `InvalidInput` naming file, line and column.
    """
    arrivals, inputs, outputs = [], [], []
    with Table(BUNDLED.get(trace) or Path(trace)) as table:
        for row in table.rows(_Row, extra=True):
            arrivals.append(_seconds(row.TIMESTAMP, table))
            inputs.append(_tokens(row.ContextTokens, "ContextTokens", table))
            outputs.append(_tokens(row.GeneratedTokens, "GeneratedTokens", table))
        if len(arrivals) < LEAST_ROWS:
            raise InvalidInput(table.shown, f"has {len(arrivals)} requests; at least {LEAST_ROWS} are needed")
    at = np.array(arrivals)
    order = at.argsort(kind="stable")
    at = at[order] - at[order[0]]
    if not at[-1] > 0:
        raise InvalidInput(f"{table.shown}: TIMESTAMP", "all requests came at the same moment")
    return Requests(trace, at, np.array(inputs, float)[order], np.array(outputs, float)[order])


def _seconds(text: str, table: Table) -> float:
    """Seconds since some fixed moment, to the microsecond; the trace has more digits than a clock can mean."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise InvalidInput(
            f"{table.where()}: TIMESTAMP", f"must be a date and time like 2023-11-16 18:15:46.68, got {text!r:.60}"
        ) from None
    return moment.toordinal() * 86_400.0 + (
        moment.hour * 3600 + moment.minute * 60 + moment.second + moment.microsecond / 1e6
    )


def _tokens(count: int, column: str, table: Table) -> int:
    if not 0 <= count <= MAX_TOKENS:
        raise InvalidInput(f"{table.where()}: {column}", f"must be a number from 0 to {MAX_TOKENS:,}, got {count}")
    return count
