"""What was streamed equals a plain recomputation of the same events: every field of real matches."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest

from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer, Subscriber
from streams.sources import sample
from streams.sources.lol_pro import LolPro
from tests import recompute
from tests.integration.tools import new_match, newest_windows, read_all, until, wait_for

pytestmark = pytest.mark.stack

Matches = dict[str, list[Record]]

EVERY = 20
"""Every 20th match of the whole data set: 343 matches of all years, with and without gold."""

TOGETHER = 16
"""Matches that are played at once."""


def real_matches(settings: Settings) -> Iterator[list[Record]]:
    if settings.data is None:
        yield from sample.matches()
        return
    yield from itertools.islice(LolPro(settings.data).matches(), 0, None, EVERY)


def interleaved(matches: Iterator[list[Record]]) -> Iterator[Record]:
    """Events of several matches in turn; each match's own order is kept."""
    playing: list[Iterator[Record]] = []
    while True:
        playing += [iter(match) for match in itertools.islice(matches, TOGETHER - len(playing))]
        if not playing:
            return
        for match in list(playing):
            following = next(match, None)
            if following is None:
                playing.remove(match)
            else:
                yield following


@pytest.fixture(scope="module")
def played(stack: Settings) -> Matches:
    """The events of each match as the log has them, with partition and offset, after all were processed."""
    run = new_match("equal")
    with Producer(stack) as producer:
        names = set()
        for event in interleaved(real_matches(stack)):
            event = event | {
                "match_id": f"{run}/{event['match_id']}",
                "event_id": f"{run}/{event['event_id']}",
            }
            names.add(event["match_id"])
            producer.send(event)
    log: Matches = defaultdict(list)
    log_reader = Subscriber("live-matches", stack, start="earliest", stop_at_end=True, skip_broken=True)
    with log_reader as subscriber:
        for received in subscriber:
            if received.record["match_id"] in names:
                position = {"source_partition": received.partition, "source_offset": received.offset}
                log[received.record["match_id"]].append(received.record | position)
    return log


@pytest.fixture(scope="module")
def streamed(stack: Settings, played: Matches) -> dict[str, dict[int, Record]]:
    """MatchFeatures by match and source offset."""
    count = sum(map(len, played.values()))
    rows = wait_for(
        stack,
        "match-features",
        lambda row: row["match_id"] in played,
        count,
        patience=180,
        identity="event_id",
    )
    found: dict[str, dict[int, Record]] = defaultdict(dict)
    for row in rows:
        found[row["match_id"]][row["source_offset"]] = row
    return found


def test_at_least_three_hundred_real_matches_are_held_against_the_oracle(
    stack: Settings, played: Matches
) -> None:
    assert len(played) >= (300 if stack.data else 20)


def test_every_feature_after_every_event_equals_the_recomputation(
    played: Matches, streamed: dict[str, dict[int, Record]]
) -> None:
    mismatches: list[tuple[Any, ...]] = []
    compared = 0
    for match, events in played.items():
        for happened, expected in zip(events, recompute.match_features(events), strict=True):
            row = streamed[match][happened["source_offset"]]
            for field, value in expected.items():
                compared += 1
                if row[field] != value:
                    mismatches.append((match, happened["ordinal"], field, row[field], value))
    assert not mismatches, f"{len(mismatches)} of {compared} values differ, first: {mismatches[:5]}"


def test_every_match_result_equals_the_recomputation(stack: Settings, played: Matches) -> None:
    expected = {match: recompute.match_result(events) for match, events in played.items()}
    ended = {match: result for match, result in expected.items() if result is not None}
    rows = wait_for(
        stack, "match-results", lambda row: row["match_id"] in ended, len(ended), identity="match_id"
    )
    assert {row["match_id"]: row for row in rows} == ended


def _windows(rows: list[Record]) -> dict[tuple[str, str, int], Record]:
    """The truth of each window by (player, match, start): its newest record."""
    fields = ("window_end", *recompute.SUMMED, *recompute.HIGHEST, *recompute.SO_FAR)
    return {key: {field: row[field] for field in fields} for key, row in newest_windows(rows).items()}


def test_every_player_window_equals_the_recomputation(stack: Settings, played: Matches) -> None:
    expected = recompute.player_windows(list(itertools.chain.from_iterable(played.values())))

    def complete() -> bool:
        rows = [row for row in read_all(stack, "player-performance") if row["match_id"] in played]
        return _windows(rows) == expected

    until(complete, "all player windows equal to the recomputation", patience=60)
