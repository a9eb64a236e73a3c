"""Which deliveries of one channel may be acknowledged together: pure bookkeeping over delivery tags."""


class AckLedger:
    """Tags of one channel that are settled or given back, in any order; acknowledged up to the first gap.

    ``basic.ack`` with *multiple* settles every lower tag too, so it may only name a tag below which nothing is open;
    and it must name one that the broker still waits for, so never one that was given back.
    """

    def __init__(self) -> None:
        self._reached = 0
        """Up to here nothing is open."""
        self._done: dict[int, bool] = {}
        """Tags beyond, and whether each was settled (True) or given back."""

    def settled(self, tags: list[int]) -> int | None:
        """Note that ``tags`` are settled; return the tag to acknowledge with *multiple*, None if there is none yet."""
        return self._note(tags, settled=True)

    def given_back(self, tag: int) -> int | None:
        """Note that the broker was told to deliver ``tag`` again; return the tag to acknowledge, as `settled` does."""
        return self._note([tag], settled=False)

    def _note(self, tags: list[int], *, settled: bool) -> int | None:
        for tag in tags:
            if tag <= self._reached or tag in self._done:
                raise ValueError(f"delivery {tag} was settled or given back before")
            self._done[tag] = settled
        acknowledge = None
        while self._reached + 1 in self._done:
            self._reached += 1
            if self._done.pop(self._reached):
                acknowledge = self._reached
        return acknowledge
