"""The simulator: load that says what it is."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.avro import Codec
from streams.identity import identify
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources import Options, open_source, sample
from streams.sources.simulator import Simulated, copied, frames, preload

Event = dict[str, Any]

SCHEMA = for_topic("live-matches")
CODEC = Codec(SCHEMA, 7)
REAL = sample.matches()


@given(seed=st.integers(), count=st.integers(0, 3))
@settings(max_examples=20, deadline=None)
def test_same_seed_same_events_and_every_event_is_labelled_and_valid(seed: int, count: int) -> None:
    source = Simulated(count, seed)
    matches = list(source.matches())
    assert matches == list(Simulated(count, seed).matches())
    assert source.account.balanced
    assert len(matches) == len(source) == count
    for match in matches:
        assert {event["source"] for event in match} == {"simulator"}
        assert {event["league"] for event in match} == {"SIMULATED"}
        assert match[0]["match_id"].startswith("SIM/")
        assert all(name.startswith("sim-") for name in match[0]["blue_players"])
        assert [event["ordinal"] for event in match] == list(range(len(match)))
        clocks = [event["game_time_ms"] for event in match]
        assert clocks == sorted(clocks)
        assert match[-1]["event_type"] == "MATCH_END"
        assert not any(faults(event, SCHEMA) for event in match)
        assert all(event["event_id"] == identify(event) for event in match)


def test_other_seeds_give_other_matches() -> None:
    assert list(Simulated(1, 1).matches()) != list(Simulated(1, 2).matches())


def test_no_tower_falls_twice() -> None:
    for match in Simulated(20, 3).matches():
        towers = [
            (e["team"], e["lane"], e["tower_type"]) for e in match if e["event_type"] == "BUILDING_KILL"
        ]
        assert len(towers) == len(set(towers))


def test_copies_have_ids_of_their_own_and_are_labelled() -> None:
    source = open_source("simulator", "sample", Options(limit=2, copies=3))
    matches = list(source.matches())
    assert len(matches) == len(source) == 6
    ids = [event["event_id"] for match in matches for event in match]
    assert len(set(ids)) == len(ids)
    assert not set(ids) & {event["event_id"] for match in REAL for event in match}
    assert {event["source"] for match in matches for event in match} == {"simulator"}
    assert matches[2][0]["match_id"] == f"{REAL[0][0]['match_id']}#copy-2"
    assert all(event["event_id"] == identify(event) for match in matches for event in match)
    assert source.account.balanced


@pytest.mark.parametrize("concurrent", [1, 3, 50])
def test_fast_frames_hold_the_same_records_as_copies_encoded_one_by_one(concurrent: int) -> None:
    got = [(key, CODEC.decode(value)) for key, value in frames(REAL, 2, CODEC, concurrent=concurrent)]
    wanted = {
        (event["match_id"], event["ordinal"]): event
        for number in (1, 2)
        for match in REAL
        for event in (copied(event, number) for event in match)
    }
    assert len(got) == len(wanted)
    for key, record in got:
        expected = wanted[record["match_id"], record["ordinal"]]
        told = {name: value for name, value in record.items() if value is not None}
        assert key == record["match_id"].encode()
        assert told | {"event_time": 0} == expected | {"event_time": 0}


def test_event_time_goes_on_through_all_copies_and_fits_the_match_clock() -> None:
    start = 1_600_000_000_000
    records = [CODEC.decode(value) for _, value in frames(REAL, 2, CODEC, concurrent=4, start_ms=start)]
    times = [record["event_time"] for record in records]
    assert times[0] == start
    assert times == sorted(times)
    zero: dict[str, int] = {}
    ordinals: dict[str, int] = {}
    for record in records:
        match_id = record["match_id"]
        begin = zero.setdefault(match_id, record["event_time"])
        assert record["event_time"] - begin == record["game_time_ms"]
        assert record["ordinal"] == ordinals.get(match_id, -1) + 1
        ordinals[match_id] = record["ordinal"]


def test_preload_sends_whole_copies_until_there_are_enough() -> None:
    sent: list[tuple[bytes, bytes]] = []
    each = sum(len(match) for match in REAL)
    count = preload(REAL, each + 1, CODEC, lambda value, key: sent.append((key, value)))
    assert count == len(sent) == 2 * each
    assert len({CODEC.decode(value)["event_id"] for _, value in sent}) == count


@pytest.mark.stack
def test_preloaded_frames_are_read_back_from_kafka(stack: Any) -> None:
    from streams.client import Producer

    with Producer(stack) as producer:
        sent = preload(REAL, 1, producer.codec, producer.send_bytes)
        report = producer.flush()
    assert report.delivered == sent == sum(len(match) for match in REAL)
