"""Bad input on the real stack: each kind lands where it should, the next good event is not touched by it."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from riftstream.settings import Settings
from streams.avro import Codec, Record
from streams.client import Producer, codec_for
from streams.schemas import for_topic
from tests.integration.tools import (
    event,
    new_match,
    newest_windows,
    now_ms,
    of_match,
    read_all,
    send,
    until,
    wait_for,
)

pytestmark = pytest.mark.stack

HOUR = 3_600_000


@dataclass(frozen=True)
class Bad:
    """One kind of bad input: how its bytes are made from a good event, and where they must land."""

    name: str
    make: Callable[[Settings, Codec, Record], bytes | None]
    stage: str
    reason: str


def changed(**fields: object) -> Callable[[Settings, Codec, Record], bytes]:
    return lambda _settings, codec, good: codec.encode({**good, **fields})


def another_record(settings: Settings, codec: Codec, good: Record) -> bytes:
    request = {
        "request_id": "r",
        "model_name": "m",
        "subject_type": "match",
        "subject_id": "s",
        "requested_at": now_ms(),
    }
    return codec_for("prediction-requests", settings).encode(request)


KINDS = [
    Bad("garbage", lambda s, c, g: b"\x17\x03 not avro at all \xff\xfe", "decode", "not_framed"),
    Bad("truncated", lambda s, c, g: c.encode(g)[:-7], "decode", "undecodable"),
    Bad("trailing", lambda s, c, g: c.encode(g) + b"\x00\x01", "decode", "undecodable"),
    Bad(
        "unknown-schema",
        lambda s, c, g: struct.pack(">bI", 0, 999_999) + c.encode(g)[5:],
        "decode",
        "unknown_schema_id",
    ),
    Bad("wrong-schema", another_record, "decode", "wrong_schema"),
    Bad("empty", lambda s, c, g: b"", "decode", "empty"),
    Bad("tombstone", lambda s, c, g: None, "decode", "tombstone"),
    Bad("oversized", changed(phase="x" * 70_000), "decode", "oversized"),
    Bad("null-match", changed(match_id=None), "validate", "missing_match_id"),
    Bad("no-event-id", changed(event_id=None), "validate", "missing_event_id"),
    Bad("unknown-type", changed(event_type="PENTAKILL_PARTY"), "validate", "unknown_event_type"),
    Bad("negative-clock", changed(game_time_ms=-1), "validate", "clock_negative"),
    Bad("clock-of-days", changed(game_time_ms=72 * HOUR), "validate", "clock_too_large"),
    Bad(
        "future",
        lambda s, c, g: c.encode({**g, "event_time": now_ms() + 24 * HOUR}),
        "validate",
        "event_time_in_future",
    ),
    Bad("ancient", changed(event_time=0), "validate", "event_time_too_old"),
    Bad("unknown-team", changed(team="green"), "validate", "unknown_team"),
    Bad("no-victim", changed(victim_id=None, team=None), "validate", "missing_victim"),
]


@pytest.fixture(scope="module")
def sent(stack: Settings) -> dict[str, tuple[str, bytes | None]]:
    """All kinds sent, each between two good events of a match of its own; match and bytes by kind."""
    codec = codec_for("live-matches", stack)
    matches = {}
    with Producer(stack) as producer:
        for kind in KINDS:
            match = new_match(kind.name)
            value = kind.make(stack, codec, event(match, 2))
            producer.send(event(match, 1))
            producer.send_bytes(value, match.encode())
            producer.send(event(match, 3))
            matches[kind.name] = match, value
    return matches


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_bad_input_is_a_dead_letter_with_its_reason_and_its_bytes(
    stack: Settings, sent: dict[str, tuple[str, bytes | None]], kind: Bad
) -> None:
    match, value = sent[kind.name]
    letters = wait_for(
        stack,
        "dead-letters",
        lambda letter: letter["record_key"] == match.encode(),
        identity="dead_letter_id",
    )
    assert [(letter["stage"], letter["reason"]) for letter in letters] == [(kind.stage, kind.reason)]
    assert letters[0]["record_value"] == value
    assert letters[0]["source_topic"] == "live-matches"


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_the_good_events_around_bad_input_are_counted_and_predicted(
    stack: Settings, sent: dict[str, tuple[str, bytes | None]], kind: Bad
) -> None:
    match, _ = sent[kind.name]
    features = wait_for(stack, "match-features", of_match(match), 2, identity="event_id")
    assert [row["kills_blue"] for row in sorted(features, key=lambda row: row["source_offset"])] == [1, 2]
    predictions = wait_for(stack, "predictions", of_match(match), 2, identity="event_id")
    assert {p["event_id"] for p in predictions} == {row["event_id"] for row in features}


def test_a_duplicate_changes_nothing_and_is_counted(stack: Settings) -> None:
    match = new_match("duplicate")
    first, second = event(match, 1), event(match, 2)
    send(stack, first, first, second, first)
    letters = wait_for(
        stack, "dead-letters", lambda letter: letter["match_id"] == match, 2, identity="dead_letter_id"
    )
    assert {(letter["stage"], letter["reason"]) for letter in letters} == {("deduplicate", "duplicate")}
    features = wait_for(stack, "match-features", of_match(match), 2, identity="source_offset")
    assert sorted(row["events"] for row in features) == [1, 2]


def test_a_late_event_is_applied_and_counted(stack: Settings) -> None:
    match = new_match("late")
    old = event(match, 2, event_time=now_ms() - 60_000)
    send(stack, event(match, 1), event(match, 3), old)
    rows = wait_for(stack, "match-features", of_match(match), 3, identity="event_id")
    last = max(rows, key=lambda row: row["source_offset"])
    assert (last["event_id"], last["kills_blue"], last["late_events"]) == (old["event_id"], 3, 1)


def test_a_late_event_reaches_its_players_windows(stack: Settings) -> None:
    match = new_match("late-window")
    player = f"Late {match}"
    send(stack, event(match, 1, player_id=player), event(match, 3, player_id=player))
    wait_for(stack, "match-features", of_match(match), 2, identity="event_id")
    send(stack, event(match, 2, player_id=player, event_time=now_ms() - 120_000))

    def kills() -> int:
        rows = [row for row in read_all(stack, "player-performance") if row["player_id"] == player]
        return sum(row["kills"] for row in newest_windows(rows).values())

    until(lambda: kills() == 3, "three kills in the player's windows")


def test_an_event_far_too_late_for_its_window_is_told_by_itself(stack: Settings) -> None:
    match = new_match("very-late-window")
    player = f"Late {match}"
    now = now_ms()
    times = [now - 3_600_000, now, now - 3_600_000]
    send(stack, *(event(match, n, player_id=player, event_time=at) for n, at in enumerate(times)))
    rows = wait_for(
        stack, "player-performance", lambda row: row["player_id"] == player, 3, identity="source_offset"
    )
    assert [(r["late"], r["events"]) for r in sorted(rows, key=lambda row: row["source_offset"])] == [
        (False, 1),
        (False, 1),
        (True, 1),
    ]


def test_an_event_behind_the_match_clock_is_applied_and_counted(stack: Settings) -> None:
    match = new_match("order")
    send(stack, event(match, 1), event(match, 5), event(match, 3))
    rows = wait_for(stack, "match-features", of_match(match), 3, identity="event_id")
    last = max(rows, key=lambda row: row["source_offset"])
    assert (last["clock_ms"], last["kills_blue"], last["out_of_order_events"]) == (300_000, 3, 1)


def test_a_remake_ends_the_match_without_a_winner(stack: Settings) -> None:
    match = new_match("remake")
    send(stack, event(match, 1), event(match, 2, "REMAKE"))
    results = wait_for(stack, "match-results", of_match(match), identity="event_id")
    assert [(row["status"], row["winner"]) for row in results] == [("remade", None)]


def test_a_pause_stops_the_match_clock_and_is_counted(stack: Settings) -> None:
    match = new_match("pause")
    send(
        stack,
        event(match, 1),
        event(match, 2, "PAUSE_START"),
        event(match, 2, "PAUSE_END", event_time=now_ms() + 1000),
        event(match, 2, victim_id="Meteos", event_time=now_ms() + 2000),
    )
    rows = wait_for(stack, "match-features", of_match(match), 4, identity="event_id")
    last = max(rows, key=lambda row: row["source_offset"])
    assert (last["clock_ms"], last["pauses"], last["kills_blue"], last["out_of_order_events"]) == (
        120_000,
        1,
        2,
        0,
    )


def test_a_schema_that_grows_while_the_job_runs_is_read(stack: Settings) -> None:
    import json

    from streams.registry import Registry
    from streams.schemas import RecordSchema

    schema = for_topic("live-matches")
    raw = json.loads(schema.text)
    raw["fields"].append(
        {"name": "viewers", "type": ["null", "long"], "default": None, "unit": "count", "doc": "Viewers."}
    )
    grown = RecordSchema(
        schema.name,
        schema.topic,
        schema.key,
        schema.doc,
        json.dumps(raw),
        (*schema.fields, schema.fields[4].__class__("viewers", "long", "", True, "count", "Viewers.")),
    )
    registry = Registry(stack.registry_url)
    newer = Codec(grown, registry.register(grown))
    match = new_match("evolution")
    with Producer(stack) as producer:
        producer.send(event(match, 1))
        producer.send_bytes(newer.encode({**event(match, 2), "viewers": 12}), match.encode())
        producer.send(event(match, 3))
    rows = wait_for(stack, "match-features", of_match(match), 3, identity="event_id")
    assert sorted(row["kills_blue"] for row in rows) == [1, 2, 3]


def test_what_was_read_is_what_was_accepted_plus_what_was_rejected(
    stack: Settings, sent: dict[str, tuple[str, bytes | None]]
) -> None:
    from lakehouse.catalog import connect
    from streams.status import topic_status

    def adds_up() -> bool:
        read = next(t.records for t in topic_status(stack) if t.name == "live-matches")
        letters = read_all(stack, "dead-letters")
        rejected = {d["dead_letter_id"] for d in letters if d["source_topic"] == "live-matches"}
        accepted = connect(stack).load_table("raw.match_events").scan().count()
        return read == accepted + len(rejected)

    until(adds_up, "read = accepted + rejected")
