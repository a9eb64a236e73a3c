"""The ledger against the broker's rules, said again in plain Python."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pilotage.adapters.rabbitmq.ledger import AckLedger


class Open:
    """What a broker keeps of one channel: the tags that it waits for."""

    def __init__(self, count: int) -> None:
        self.tags = set(range(1, count + 1))

    def ack_multiple(self, tag: int) -> set[int]:
        assert tag in self.tags, f"unknown delivery tag {tag}: the broker would close the channel"
        gone = {each for each in self.tags if each <= tag}
        self.tags -= gone
        return gone


@given(st.data())
def test_only_what_is_settled_is_acknowledged_and_all_of_it(data: st.DataObject) -> None:
    count = data.draw(st.integers(1, 30))
    order = data.draw(st.permutations(range(1, count + 1)))
    broker, ledger, settled = Open(count), AckLedger(), set()
    while order:
        some = [order.pop() for _ in range(min(len(order), data.draw(st.integers(1, 5))))]
        if data.draw(st.booleans()):
            settled |= set(some)
            acknowledge = ledger.settled(some)
        else:
            broker.tags.discard(some[0])
            order += some[1:]
            acknowledge = ledger.given_back(some[0])
        if acknowledge is not None:
            assert broker.ack_multiple(acknowledge) <= settled
    assert not broker.tags


@pytest.mark.parametrize("first", ["settled", "given back"])
def test_a_tag_is_done_with_once(first: str) -> None:
    ledger = AckLedger()
    if first == "settled":
        assert ledger.settled([2]) is None
    else:
        assert ledger.given_back(2) is None
    with pytest.raises(ValueError, match="delivery 2"):
        ledger.settled([2])
    assert ledger.settled([1]) == (2 if first == "settled" else 1)
    with pytest.raises(ValueError, match="delivery 1"):
        ledger.settled([1])
