"""Asks the oracle: what would kube-scheduler of the pinned release do?"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Object = dict[str, Any]


class Oracle:
    """One process that answers one question a line; see `oracle/main.go` for the words of questions and answers."""

    def __init__(self, program: Path, *arguments: str) -> None:
        self._process = subprocess.Popen([program, *arguments], stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()

    def ask(self, **question: Any) -> dict[str, Any]:
        """Put a question; an error in it, or in the oracle, is raised."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(question).encode() + b"\n")
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        assert line, "the oracle ended"
        answer: dict[str, Any] = json.loads(line)
        if answer.get("error"):
            raise ValueError(answer["error"])
        return answer

    def probe(self, objects: Sequence[Object], pods: Sequence[Object], **options: Any) -> dict[str, Any]:
        """What is said about each of ``pods`` on the cluster as it stands."""
        return self.ask(objects=list(objects), probes=list(pods), **options)

    def run(self, objects: Sequence[Object], steps: Sequence[Object], **options: Any) -> dict[str, Any]:
        """What comes of ``steps``, carried out in turn."""
        return self.ask(objects=list(objects), steps=list(steps), **options)

    def complaints(self, config: Object) -> list[str]:
        """Everything that is wrong with a configuration."""
        told: list[str] = self.ask(config=config, validate=True).get("errors", [])
        return told
