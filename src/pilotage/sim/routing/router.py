"""A strategy of the service as a router of the simulated world: positions here, ids there."""

from collections.abc import Mapping, Sequence
from typing import Any

from pilotage.engine.routing.late_binding import LateBinding
from pilotage.engine.taskqueue.strategy import Strategy
from pilotage.model.routing import Instance, RoutedTask
from pilotage.sim.routing.instances import Server
from pilotage.sim.routing.world import Sent

MODEL = "model"


class StrategyRouter:
    """Tells a strategy what it would be told in production; ``metadata`` has what is known of each task beforehand."""

    def __init__(self, strategy: Strategy, pool: Sequence[Server], metadata: Sequence[Mapping[str, Any]]) -> None:
        self._strategy = strategy
        self._metadata = metadata
        self._ids = [server.name for server in pool]
        self._position = {name: at for at, name in enumerate(self._ids)}
        self._at: dict[int, int] = {}
        self.decisions = 0
        """How often the strategy was asked."""
        for server in pool:
            strategy.instance_changed(
                Instance(id=server.name, model=MODEL, slots=server.slots, platform=server.platform), 0.0
            )

    def arrived(self, task: int, now: float) -> Sent:
        """Submit it."""
        routed = RoutedTask(id=str(task), model=MODEL, metadata=self._metadata[task], arrival_s=now)
        self._strategy.submitted(routed, now)
        return self._decide(now)

    def ended(self, task: int, server: int, run_s: float, now: float) -> Sent:
        """It left its instance."""
        self._strategy.left(str(task), run_s, now)
        return self._decide(now)

    def reported(self, ended: list[tuple[int, int, float]], running: list[tuple[int, float]], now: float) -> Sent:
        """Everything that the reports say, then one decision."""
        for task, _, run_s in ended:
            self._strategy.left(str(task), run_s, now)
        for task, start in running:
            self._strategy.started(str(task), start)
        if isinstance(self._strategy, LateBinding):
            for name in self._ids:
                self._strategy.reported(name, now)
        return self._decide(now)

    def _decide(self, now: float) -> Sent:
        self.decisions += 1
        return [(int(made.task_id), self._position[made.instance]) for made in self._strategy.decide(now)]
