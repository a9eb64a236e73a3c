"""Who lives, by rules and by a state machine that is told the truth."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule

from pilotage.registry.entities import ACTIVE, INACTIVE, Scheduler
from pilotage.registry.liveness import LEASE_INTERVALS, LONGEST_SWEEP_GAP_S, Liveness

KEY = (Scheduler, 1)
LEASE = LEASE_INTERVALS * 5.0


def member(owner: str = "", generation: int = 1, state: Any = ACTIVE, row_id: int = 1) -> Scheduler:
    return Scheduler(row_id, "s", "1.1.1.1", 8002, 1, state=state, owner=owner, generation=generation)


def swept(live: Liveness, until_s: float, since_s: float = 0.0) -> list[tuple[float, Any]]:
    """Sweep every second; who died when."""
    found, now = [], since_s
    while now <= until_s:
        found += [(now, key) for key in live.sweep(now)]
        now += 1.0
    return found


def test_a_silent_stream_dies_after_three_intervals_and_no_sooner() -> None:
    live = Liveness("me")
    live.opened("a", KEY, 5.0, 0.0)
    assert swept(live, 40) == [(LEASE, KEY)]
    assert live.ticked("a", 41.0) is None, "it is over; the stream must be opened anew"


def test_each_message_prolongs_the_lease() -> None:
    live = Liveness("me")
    live.opened("a", KEY, 5.0, 0.0)
    assert swept(live, 14) == []
    assert live.ticked("a", 14.0) == KEY
    assert live.expires_in("a", 20.0) == 14.0 + LEASE - 20.0
    assert swept(live, 40, since_s=15) == [(29, KEY)]


def test_the_end_of_an_older_stream_changes_nothing() -> None:
    live = Liveness("me")
    live.opened("old", KEY, 5.0, 0.0)
    live.opened("new", KEY, 5.0, 1.0)
    assert live.closed("old") is None
    assert live.holds(KEY)
    assert live.closed("new") == KEY


def test_an_older_stream_that_has_spoken_since_takes_over() -> None:
    live = Liveness("me")
    live.opened("old", KEY, 5.0, 0.0)
    live.opened("new", KEY, 5.0, 0.0)
    assert live.ticked("old", 1.0) is None, "the newest speaks for the member"
    assert live.closed("new") is None
    assert live.ticked("old", 2.0) == KEY
    assert live.closed("old") == KEY


def test_a_connection_left_behind_does_not_keep_a_member_alive() -> None:
    live = Liveness("me")
    live.opened("left", KEY, 5.0, 0.0)
    live.opened("new", KEY, 5.0, 1.0)
    assert live.closed("new") == KEY
    assert live.ticked("left", 2.0) == KEY, "it was not left behind after all"


def test_a_process_that_slept_blames_nobody() -> None:
    live = Liveness("me")
    live.opened("a", KEY, 5.0, 0.0)
    live.saw_beats({"other": 1}, 0.0)
    assert live.orphans([(member("other"), 5.0)], 0.5) == []
    assert live.sweep(1.0) == []
    assert live.sweep(101.0) == []
    assert live.orphans([(member("other", row_id=2), 5.0)], 101.0) == []
    assert swept(live, 130, since_s=102) == [(115.0, KEY)]


def test_a_short_delay_is_no_sleep() -> None:
    live = Liveness("me")
    live.opened("a", KEY, 0.5, 0.0)
    assert live.sweep(0.0) == []
    assert live.sweep(LONGEST_SWEEP_GAP_S) == [KEY]


def test_members_of_a_manager_that_stopped_are_orphans_after_their_lease() -> None:
    live = Liveness("me")
    live.saw_beats({"other": 7, "me": 1}, 0.0)
    orphan, mine = member("other"), member("me", row_id=2)
    live.opened("a", (Scheduler, 2), 5.0, 0.0)
    for now in (0.0, LEASE - 1):
        live.saw_beats({"other": 7, "me": 2}, now)
        assert live.orphans([(orphan, 5.0), (mine, 5.0)], now) == []
    assert live.orphans([(orphan, 5.0), (mine, 5.0)], LEASE) == [orphan]
    live.saw_beats({"other": 8}, LEASE)
    assert live.orphans([(orphan, 5.0)], LEASE) == [], "it was only slow"


def test_a_member_that_came_back_here_is_no_orphan() -> None:
    live = Liveness("me")
    live.saw_beats({"other": 7}, 0.0)
    live.opened("a", KEY, 5.0, LEASE)
    assert live.orphans([(member("other"), 5.0)], 2 * LEASE) == []


def test_who_only_registered_has_one_lease_from_when_it_was_seen() -> None:
    live = Liveness("me")
    assert live.orphans([(member(""), 5.0)], 100.0) == []
    assert live.orphans([(member(""), 5.0)], 100.0 + LEASE - 1) == []
    assert live.orphans([(member("", generation=2), 5.0)], 100.0 + LEASE) == [], "it registered again"
    assert live.orphans([(member("", generation=2), 5.0)], 100.0 + 2 * LEASE) == [member("", generation=2)]
    assert live.orphans([(member("", state=INACTIVE), 5.0)], 1000.0) == []


def test_a_database_that_was_away_says_nothing_about_other_managers() -> None:
    live = Liveness("me")
    live.saw_beats({"other": 7}, 0.0)
    live.database_was_away(100.0)
    live.saw_beats({"other": 7}, 100.0)
    assert live.orphans([(member("other"), 5.0)], 100.0 + LEASE - 1) == []
    assert live.orphans([(member("other"), 5.0)], 100.0 + LEASE) == [member("other")]


class Truth(RuleBasedStateMachine):
    """Streams of three members open, speak, end and fall silent; a member lives while its newest voice is fresh."""

    streams = Bundle("streams")

    def __init__(self) -> None:
        super().__init__()
        self.live = Liveness("me")
        self.now = 0.0
        self.names = 0
        self.voices: dict[int, tuple[int, float]] = {}  # stream -> member, last heard
        self.dead: set[int] = set()  # members told dead, until a voice comes back
        self.live.sweep(0.0)

    @rule(target=streams, of=st.integers(1, 3))
    def opens(self, of: int) -> int:
        self.names += 1
        self.live.opened(self.names, (Scheduler, of), 1.0, self.now)
        self.voices[self.names] = (of, self.now)
        self.dead.discard(of)
        return self.names

    @rule(stream=streams)
    def speaks(self, stream: int) -> None:
        told = self.live.ticked(stream, self.now)
        if stream in self.voices:
            of = self.voices[stream][0]
            self.voices[stream] = (of, self.now)
            if told is not None:
                assert told == (Scheduler, of)
                self.dead.discard(of)
        else:
            assert told is None

    @rule(stream=consumes(streams))
    def ends(self, stream: int) -> None:
        told = self.live.closed(stream)
        gone = self.voices.pop(stream, None)
        if told is not None:
            assert gone is not None
            assert told == (Scheduler, gone[0])
            self.dead.add(gone[0])

    @rule(by=st.sampled_from([0.25, 0.5, 1.0]))
    def time_passes(self, by: float) -> None:
        self.now += by
        died = self.live.sweep(self.now)
        for stream, (_, heard) in list(self.voices.items()):
            if self.now - heard >= LEASE_INTERVALS * 1.0:
                del self.voices[stream]
        self.dead |= {row for _, row in died}

    @invariant()
    def silence_is_death_and_speech_is_life(self) -> None:
        for of in (1, 2, 3):
            voices = [stream for stream, (who, _) in self.voices.items() if who == of]
            if not voices:
                assert not self.live.holds((Scheduler, of)), "nobody speaks for it"
            elif of not in self.dead:
                assert self.live.holds((Scheduler, of)), "somebody speaks for it and nobody called it dead"
        assert len(self.live) == len(self.voices)


TestTruth = Truth.TestCase
