"""Every vector that was served is the same made again from the lake, and a wrong definition is found."""

from __future__ import annotations

import itertools
import json
import time
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from features.online import OnlineReader, State
from jobs import sqlfile
from riftstream.cli import gather
from riftstream.cli.check import CheckLoop
from riftstream.cli.held import make_again
from riftstream.cli.served import Lake, Source, Topics
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer
from streams.replay import replay
from streams.sources import open_source, sample
from tests.integration.tools import new_match, now_ms, of_match, read_all, until, wait_for
from tests.recordings import recordings

pytestmark = pytest.mark.stack

DEFINITION = "kills_blue_3m - kills_red_3m AS kills_diff_3m"
BUG = "kills_blue_3m + kills_red_3m AS kills_diff_3m"
FEATURE = "kills_diff_3m"


@pytest.fixture(scope="module")
def played(stack: Settings) -> Counter[str]:
    """Real matches of every source at hand that were played and predicted: their events by match."""
    run = new_match("check")
    names: Counter[str] = Counter()
    others = recordings(stack.data) if stack.data else []
    if stack.data:
        others += itertools.islice(open_source("oracles-elixir", str(stack.data)).matches(), 20)
    with Producer(stack) as producer:
        for real in (*sample.matches(), *others):
            match = f"{run}/{real[0]['match_id']}"
            names[match] = len(real)
            for one in real:
                producer.send(one | {"match_id": match, "event_id": f"{run}/{one['event_id']}"})
    wait_for(
        stack,
        "predictions",
        lambda row: row["match_id"] in names,
        names.total(),
        patience=120,
        identity="prediction_id",
    )
    return names


def rift(*arguments: str) -> Any:
    return CliRunner().invoke(gather(), [*arguments], catch_exceptions=False)


def test_no_vector_of_real_matches_differs(stack: Settings, played: Counter[str]) -> None:
    chosen = itertools.chain.from_iterable(("--match", match) for match in played)
    found = rift("features", "check", "--json", "--wait", "60", *chosen)
    told = json.loads(found.stdout)
    assert (told["mismatches"], told["wrong"], told["not_recomputed"], told["not_served"]) == ({}, 0, 0, 0)
    assert (told["equal"], told["matches"], told["vectors"]) == (True, len(played), played.total())
    assert found.exit_code == 0
    checks = {row["match_id"]: row for row in read_all(stack, "feature-checks")}
    assert {match: checks[match]["vectors"] for match in played} == played
    assert {checks[match]["wrong"] for match in played} == {0}
    assert not [row for row in read_all(stack, "feature-mismatches") if row["match_id"] in played]


def test_the_lake_keeps_what_was_served_as_the_topics_do(stack: Settings, played: Counter[str]) -> None:
    match = next(iter(played))
    topics, lake = Topics(stack), Lake(stack)
    fields = (
        "subject_id",
        "prediction_id",
        "features_sha256",
        "event_time",
        "as_of",
        "feature_partition",
        "feature_offset",
    )

    def predictions(source: Source) -> list[Record]:
        found = source.predictions([match], fields)
        return sorted(found, key=lambda row: row["prediction_id"])

    until(lambda: len(predictions(lake)) == played[match], "the lake has the match's predictions")
    served = predictions(topics)
    assert predictions(lake) == served
    places: dict[int, set[int]] = {}
    for row in served:
        places.setdefault(row["feature_partition"], set()).add(row["feature_offset"])
    names = ("match_id", FEATURE, "gold_diff")
    told = topics.vectors(places, names)
    assert len(told) == played[match]
    until(lambda: len(lake.vectors(places, names)) == len(told), "the lake has the match's states")
    assert {at: {name: row[name] for name in names} for at, row in lake.vectors(places, names).items()} == {
        at: {name: row[name] for name in names} for at, row in told.items()
    }
    ends = {row["match_id"]: row["event_time"] for row in topics.ends()}
    until(lambda: match in {row["match_id"] for row in lake.ends()}, "the lake has the match's end")
    assert {row["match_id"]: row["event_time"] for row in lake.ends()}[match] == ends[match]


@pytest.fixture(scope="module")
def asked(stack: Settings, played: Counter[str]) -> list[Record]:
    """Answers about players, asked for again and again while their matches are played a second time."""
    matches = list(sample.matches())[:6]
    players = sorted(
        {
            name
            for match in matches
            for side in ("blue", "red")
            for name in match[0][f"{side}_players"]
            if name
        }
    )[:40]
    reader = OnlineReader(stack)
    until(lambda: bool((reader.get("player_form", players).state != State.MISSING).all()), "their forms")
    reader.close()
    run = new_match("asked")
    names = [f"{run}/{number}" for number in range(5 * len(players))]
    questions = [
        {
            **{"request_id": name, "model_name": "player_props", "subject_type": "player"},
            **{"subject_id": players[number % len(players)], "statistic": "kills", "requested_at": now_ms()},
        }
        for number, name in enumerate(names)
    ]
    share = -(-len(questions) // len(matches))
    with Producer(stack) as events, Producer(stack, topic="prediction-requests") as requests:
        for match in matches:
            replay([match], events.send, speed=float("inf"), label=run.rpartition("/")[2])
            events.flush()
            time.sleep(1)
            requests.send_batch(questions[:share])
            questions = questions[share:]
    wanted = set(names)
    return wait_for(
        stack, "predictions", lambda row: row["request_id"] in wanted, len(wanted), 60, "request_id"
    )


def test_no_vector_of_players_differs_from_what_their_forms_were_then(
    stack: Settings, asked: list[Record]
) -> None:
    players = sorted({record["subject_id"] for record in asked})
    found = rift(
        "features", "check", "--json", *itertools.chain.from_iterable(("--player", p) for p in players)
    )
    told = json.loads(found.stdout)
    vectors = {(record["prediction_id"], record["features_sha256"]) for record in asked}
    assert told["players"] == len(players)
    assert told["vectors_of_players"] == told["vectors"] >= len(vectors)
    assert (told["mismatches"], told["wrong"], told["not_recomputed"], told["unchecked"]) == ({}, 0, 0, {})
    assert (told["equal"], found.exit_code) == (True, 0)


def test_a_vector_of_a_player_that_is_not_that_of_its_moment_is_found_and_told(
    stack: Settings, asked: list[Record]
) -> None:
    first: dict[str, Record] = {}
    changed: list[Record] = []
    for record in sorted(asked, key=lambda one: one["as_of"]):
        earlier = first.setdefault(record["subject_id"], record)
        if record["features_sha256"] != earlier["features_sha256"]:
            changed.append(record | {"as_of": earlier["as_of"] - 500})
    assert changed, "forms changed while questions were asked"
    lost = changed[0] | {"as_of": 0}
    foreign = changed[0] | {"degraded": True}
    made = make_again([*changed, lost, foreign], stack)
    assert all(one.differs for one in made[:-2])
    assert [(one.sha256, bool(one.why)) for one in made[-2:]] == [(None, False), (None, True)]


def test_a_planted_bug_is_found_in_matches_that_ended_and_its_feature_is_named(
    stack: Settings, played: Counter[str], tmp_path: Path
) -> None:
    text = (sqlfile.FOLDER / "match_pipeline.sql").read_text()
    assert text.count(DEFINITION) == 1
    changed = tmp_path / "match_pipeline.sql"
    changed.write_text(text.replace(DEFINITION, BUG))
    # A recording that tells no end is never looked at by who waits for ends.
    ended = played.keys() & {row["match_id"] for row in read_all(stack, "match-results")}
    assert len(ended) >= len(list(sample.matches()))
    loop = CheckLoop(stack, group=new_match("check"), gather_seconds=5, job_file=changed)
    loop.run(until=lambda: ended <= {match for report in loop.reports for match in report.matches})
    # Matches of other tests that ended are among these: nothing but what was changed differs in any of them.
    assert {feature for report in loop.reports for feature in report.by_feature} == {FEATURE}
    states = {
        (row["match_id"], row["event_id"]): row
        for row in read_all(stack, "match-features")
        if row["match_id"] in ended
    }
    expected = {
        key: (str(row[FEATURE]), str(row["kills_blue_3m"] + row["kills_red_3m"]))
        for key, row in states.items()
        if row["kills_red_3m"] != 0
    }
    found = {
        (row["match_id"], row["event_id"]): row
        for row in wait_for(stack, "feature-mismatches", lambda row: row["match_id"] in ended, len(expected))
    }
    assert {key: (row["served"], row["recomputed"]) for key, row in found.items()} == expected
    one = next(iter(found.values()))
    served = {
        row["prediction_id"]: row
        for row in wait_for(stack, "predictions", of_match(one["match_id"]), played[one["match_id"]])
    }[one["prediction_id"]]
    assert one["served_sha256"] == served["features_sha256"] != one["recomputed_sha256"]
    provenance = ("source_partition", "source_offset", "feature_partition", "feature_offset")
    assert {name: one[name] for name in provenance} == {name: served[name] for name in provenance}
    assert one["snapshot_id"] is not None
