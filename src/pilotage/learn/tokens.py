"""Run times of token models: seconds = a + b x input tokens + c x output tokens, with the output not known before."""

from collections.abc import Mapping
from typing import Any

from msgspec import Struct

from pilotage.engine.routing.run_time import RunTime
from pilotage.learn.bins import Bins, is_number

INPUT = "input_tokens"
"""The key of a task's metadata with its number of input tokens."""


class TokenSpeed(Struct, frozen=True):
    """How fast a platform serves a model: seconds before anything, per input token, and per output token."""

    start_s: float
    input_s: float
    output_s: float

    def run_s(self, input_tokens: float, output_tokens: float) -> float:
        """Return the run time in seconds of a request whose tokens are known."""
        return self.start_s + self.input_s * input_tokens + self.output_s * output_tokens


class TokenPredictor:
    """Knows the speed of each platform and, per bin of input tokens, the distribution of output tokens."""

    version = 0

    def __init__(self, speeds: Mapping[str, TokenSpeed], outputs: Bins) -> None:
        self._speeds = speeds
        self._outputs = outputs

    def run_time(self, model: str, metadata: Mapping[str, Any], platform: str) -> RunTime | None:
        """None for an unknown platform and a task that does not say its input tokens."""
        speed, tokens = self._speeds.get(platform), metadata.get(INPUT)
        if speed is None or tokens is None or not is_number(tokens):
            return None
        return RunTime(self._outputs.of(tokens), speed.start_s + speed.input_s * tokens, speed.output_s)

    def observe(self, model: str, metadata: Mapping[str, Any], platform: str, run_s: float) -> None:
        """It was trained before and does not learn."""
