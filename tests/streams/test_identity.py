"""Identity: stable for ever, different for different facts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from streams.identity import event_id, identify

NAMES = st.text(st.characters(codec="utf-8"), max_size=6)


def test_an_id_is_what_it_was_when_the_first_event_was_stored() -> None:
    """A changed id would double every event of the lake: this value may never change."""
    identity = event_id("lol-pro", "TRLH1/30030", 649_200, "CHAMPION_KILL", ["Bjergsen", "Hai"], 12)
    assert identity == "3313597c21ba7cfaa279a8fd1d542572"


@given(NAMES, NAMES, st.integers(0, 10**7), st.lists(NAMES, max_size=3), st.integers(0, 999))
def test_ids_are_32_hexadecimal_digits_and_repeat(
    source: str, match: str, clock: int, people: list[str], ordinal: int
) -> None:
    first = event_id(source, match, clock, "REMAKE", people, ordinal)
    assert first == event_id(source, match, clock, "REMAKE", list(people), ordinal)
    assert len(first) == 32
    assert set(first) <= set("0123456789abcdef")


@given(st.integers(0, 999), st.integers(0, 999))
def test_the_ordinal_tells_equal_events_apart(one: int, other: int) -> None:
    ids = {event_id("s", "m", 1, "t", [], ordinal) for ordinal in (one, other)}
    assert len(ids) == len({one, other})


def test_a_whole_event_is_identified_by_its_own_fields() -> None:
    event = {
        "source": "s",
        "match_id": "m",
        "game_time_ms": 1,
        "event_type": "CHAMPION_KILL",
        "player_id": "a",
        "victim_id": "b",
        "assist_ids": ["c", "d"],
        "ordinal": 3,
    }
    assert identify(event) == event_id("s", "m", 1, "CHAMPION_KILL", ["a", "b", "c", "d"], 3)
    assert identify(event | {"victim_id": None}) == event_id("s", "m", 1, "CHAMPION_KILL", ["a", "c", "d"], 3)
