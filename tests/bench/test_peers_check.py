"""The recomputation that contenders are held against: right by the oracle, and blind to nothing."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from bench import peers, peers_check
from bench.peer_programs import shared
from streams.avro import Codec
from streams.schemas import for_topic
from streams.sources import sample
from tests import recompute

MATCHES = sample.matches()[:3]
NOTHING = {field.name: None for field in for_topic("live-matches").fields}
START_MS = 1_700_000_000_000
STATES, WINDOWS = Codec(peers.STATES, 1), Codec(peers.WINDOWS, 2)
WRITTEN_MS = 1_000_000


@dataclass(frozen=True)
class Written:
    """A record as it comes from Kafka."""

    name: bytes
    frame: bytes
    ms: int = WRITTEN_MS

    def key(self) -> bytes:
        return self.name

    def value(self) -> bytes:
        return self.frame

    def timestamp(self) -> tuple[int, int]:
        return 2, self.ms


def numbered(match: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Events with every field, as the oracle reads them."""
    return [NOTHING | event | {"source_partition": 0, "source_offset": n} for n, event in enumerate(match)]


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: match[0]["match_id"])
def test_states_are_those_of_the_oracle_of_match_features(match: list[dict[str, Any]]) -> None:
    wanted = recompute.match_features(numbered(match))
    found = peers_check.states(match)
    assert len(found) == len(match)
    for state, features in zip(found, wanted, strict=True):
        assert state == {field: features[field] for field in state}


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: match[0]["match_id"])
def test_windows_are_those_of_the_oracle_of_player_performance(match: list[dict[str, Any]]) -> None:
    wanted = recompute.player_windows(numbered(match))
    found = peers_check.windows(match)
    assert found == {
        (player, start): tuple(window[name] for name in ("events", "kills", "deaths", "assists"))
        for (player, _, start), window in wanted.items()
    }


@pytest.mark.parametrize("match", MATCHES, ids=lambda match: match[0]["match_id"])
def test_the_arithmetic_that_the_programs_share_gives_the_recomputed_states(match: list[Any]) -> None:
    state, found = None, []
    for event in match:
        state = shared.advance(state, NOTHING | event)
        found.append({name: state[name] for name in peers_check.states(match[:1])[0]})
    assert found == peers_check.states(match)


def test_the_programs_read_and_write_the_frames_of_our_codecs() -> None:
    schema = for_topic("live-matches")
    codec = Codec(schema, 7)
    job = shared.Job(
        *("kafka", "in", "out", "out", schema.text, peers.STATES.text, peers.WINDOWS.text),
        *(1, 2, "group", "folder", 1, [], 0),
    )
    assert json.loads(job.events_schema)["name"] == "MatchEvent"
    for event in MATCHES[0]:
        read = job.decoder()(codec.encode(event))
        assert read == {name: event.get(name) for name in read}
    state = peers_check.states(MATCHES[0])[-1]
    assert job.state_encoder()(state) == STATES.encode(state)
    frames = job.window_encoder()("match", 5_000, {"Hai": [4, 1, 2, 1]})
    record = {"player_id": "Hai", "match_id": "match", "window_start": 5_000}
    record |= {"events": 4, "kills": 1, "deaths": 2, "assists": 1}
    assert frames == [(b"Hai", WINDOWS.encode(record))]


LOAD = peers_check.Load(MATCHES, START_MS)
COPIES = 2


def right_output() -> tuple[list[Written], list[Written]]:
    """What a program that makes no mistake writes for two copies of each match."""
    states, windows = [], []
    for copy in range(1, COPIES + 1):
        for match in MATCHES:
            match_id = f"{match[0]['match_id']}#copy-{copy}"
            for state in peers_check.states(match):
                states.append(Written(match_id.encode(), STATES.encode({**state, "match_id": match_id})))
            shift = LOAD.begin_ms(copy) - match[0]["event_time"]
            for (player, start), counts in peers_check.windows(match, shift).items():
                windows.append(Written(player.encode(), window(player, match_id, start, counts)))
    return states, windows


def window(player: str, match_id: str, start: int, counts: tuple[int, int, int, int]) -> bytes:
    return WINDOWS.encode(shared.window_record(player, match_id, start, list(counts)))


def checked(states: list[Any], windows: list[Any]) -> peers_check.Checked:
    checker = peers_check.Checker(LOAD, STATES, WINDOWS)
    return checker.check(states, windows, WRITTEN_MS + 1000 * peers_check.SETTLED_SECONDS)


def test_right_output_is_right_in_every_state_and_window() -> None:
    found = checked(*right_output())
    assert found.wrong == []
    assert found.states == COPIES * sum(map(len, MATCHES))
    all_windows = COPIES * sum(len(peers_check.windows(match)) for match in MATCHES)
    assert 0.9 * all_windows < found.windows <= all_windows


def test_what_is_not_read_yet_is_not_missed() -> None:
    states, windows = right_output()
    half = {match[0]["match_id"]: len(match) // 2 for match in MATCHES}
    begun: dict[bytes, int] = {}
    kept = []
    for record in states:
        begun[record.name] = begun.get(record.name, 0) + 1
        name, _, copy = record.name.decode().rpartition("#copy-")
        if copy == "1" and begun[record.name] <= half[name]:
            kept.append(record)
    ids = {record.name.decode() for record in kept}
    early = [w for w in windows if WINDOWS.decode(w.frame)["match_id"] in ids]
    assert checked(kept, early).wrong == []


def _lost_state(states: list[Written], windows: list[Written]) -> None:
    del states[10]


def _doubled_state(states: list[Written], windows: list[Written]) -> None:
    states.insert(10, states[10])


def _wrong_count(states: list[Written], windows: list[Written]) -> None:
    record = STATES.decode(states[40].frame)
    record["kills_red_3m"] += 1
    states[40] = replace(states[40], frame=STATES.encode(record))


def _lost_window(states: list[Written], windows: list[Written]) -> None:
    del windows[0]


def _window_of_nobody(states: list[Written], windows: list[Written]) -> None:
    first = WINDOWS.decode(windows[0].frame)
    windows.append(Written(b"Nobody", WINDOWS.encode({**first, "player_id": "Nobody"})))


def _wrong_window(states: list[Written], windows: list[Written]) -> None:
    first = WINDOWS.decode(windows[0].frame)
    windows.append(replace(windows[0], frame=WINDOWS.encode({**first, "events": 99})))


def _window_of_no_match(states: list[Written], windows: list[Written]) -> None:
    first = WINDOWS.decode(windows[0].frame)
    windows.append(replace(windows[0], frame=WINDOWS.encode({**first, "match_id": "X#copy-1"})))


def _nothing(states: list[Written], windows: list[Written]) -> None:
    states.clear()
    windows.clear()


@pytest.mark.parametrize(
    "mistake",
    [
        *(_lost_state, _doubled_state, _wrong_count, _lost_window, _window_of_nobody, _wrong_window),
        *(_window_of_no_match, _nothing),
    ],
)
def test_every_mistake_is_seen(mistake: Callable[[list[Written], list[Written]], None]) -> None:
    states, windows = right_output()
    mistake(states, windows)
    assert checked(states, windows).wrong
