"""Strategies by name: what is learned under one serves the next."""

from pilotage.app.tasks.strategies import DEFAULT_MODE, Strategies
from pilotage.model.routing import Instance, RoutedTask


def expected_end(strategies: Strategies) -> float:
    """When a task of 900 tokens, submitted at 0 to a fresh `pilotage` with one instance, is expected to end."""
    strategy = strategies.make("pilotage", DEFAULT_MODE)
    strategy.instance_changed(Instance(id="i", model="m", platform="p"), 0.0)
    strategy.submitted(RoutedTask(id="t", model="m", metadata={"input_tokens": 900}), 0.0)
    (made,) = strategy.decide(0.0)
    assert made.expected_s is not None
    return made.expected_s


def test_run_times_are_learned_under_every_strategy() -> None:
    strategies = Strategies()
    assert expected_end(strategies) > 1, "nothing is known"
    strategies.make("least-outstanding", DEFAULT_MODE)
    for at in range(200):
        tokens = 100 if at % 2 else 900
        strategies.observe("m", {"input_tokens": tokens}, "p", "i", tokens / 10_000)
    assert 0.08 < expected_end(strategies) < 0.1


def test_what_the_strategy_learns_itself_is_not_learned_twice() -> None:
    strategies = Strategies()
    strategies.make("pilotage", DEFAULT_MODE)
    for _ in range(200):
        strategies.observe("m", {}, "p", "i", 0.01)
    assert expected_end(strategies) > 1
