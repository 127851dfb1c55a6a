"""Summaries, forms and champion rates of real matches: equal on the stream, in batch, in plain Python."""

from __future__ import annotations

import itertools
import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs import history, session, sqlfile
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.schemas import for_topic
from streams.sources import sample
from streams.sources.lol_pro import LolPro
from streams.sources.oracles_elixir import OraclesElixir
from tests import recompute_forms as oracle
from tests.jobs.tables import topic_of

EVENTS = for_topic("live-matches")
FIRST, BEHIND, STEP = 6_250, 6_750, 2
"""Of lol-pro in the order of time: 250 matches over 41 days of its calendar: games leave the 30 days."""

WITH_DATES = 70
"""Games of Oracle's Elixir, the first."""

OUT_OF_ORDER = 25
"""So many matches in a row are sent in any order."""

Match = list[Record]


def _real_matches() -> list[Match]:
    """Matches in the order of their starts: with kills but no dates, then with dates but no kills."""
    data = get_settings().data
    if data is None:
        return sample.matches()
    by_kill = itertools.islice(LolPro(data).matches(), FIRST, BEHIND, STEP)
    return [*by_kill, *OraclesElixir(data, WITH_DATES).matches()]


def _log() -> list[Record]:
    """The matches one after the other, neighbours out of order, with a doubled, a remade and a second end."""
    chance = random.Random(20260108)  # noqa: S311
    matches = [[dict.fromkeys(f.name for f in EVENTS.fields) | event for event in m] for m in _real_matches()]
    matches[1][-1] |= {"event_type": "REMAKE", "winner": None}
    matches[2].append(matches[2][-1] | {"event_id": "again", "winner": "blue", "ordinal": 10_000})
    matches[3] += matches[3][:20]
    matches[4][0] |= {"blue_team": None}
    matches[5][0] |= {"blue_champions": None, "red_bans": None}
    log: list[Record] = []
    for block in range(0, len(matches), OUT_OF_ORDER):
        neighbours = matches[block : block + OUT_OF_ORDER]
        chance.shuffle(neighbours)
        log += itertools.chain.from_iterable(neighbours)
    return [
        event | {"source_partition": 0, "source_offset": offset, "kafka_ms": event["event_time"]}
        for offset, event in enumerate(log)
    ]


@pytest.fixture(scope="module")
def log() -> list[Record]:
    return _log()


@pytest.fixture(scope="module")
def expected(log: list[Record]) -> dict[str, list[Record]]:
    """What plain Python says, by topic's table; matches in the order in which they end in the log."""
    matches: dict[str, list[Record]] = defaultdict(list)
    seen = set()
    for event in log:
        if event["event_id"] not in seen:
            seen.add(event["event_id"])
            matches[event["match_id"]].append(event)
    completed = [found for found in map(oracle.summary, matches.values()) if found]
    completed.sort(key=lambda found: found[0]["source_offset"])
    summaries = [match for match, _ in completed]
    games = [game for _, players in completed for game in players]
    return {
        "match_summaries": summaries,
        "player_games": games,
        "player_stats": oracle.player_forms(games),
        "team_form": oracle.team_forms(summaries),
        "head_to_head": oracle.head_to_heads(summaries),
    }


def _streamed(name: str, topic: str, rows: Iterable[Record], folder: Path) -> dict[str, list[Record]]:
    """What a job writes when it hears these rows, by the topic's table, in the order of the log."""
    job = sqlfile.load(name)
    backend = job.settings["state.backend.type"]
    environment = session.environment(
        session.LOCAL, options=job.settings | {"state.backend.type": backend, "parallelism.default": "1"}
    )
    topic_of(environment, for_topic(topic), rows, folder)
    for statement in job.views.values():
        environment.execute_sql(statement)
    found = {}
    for target in job.targets:
        environment.execute_sql(f"CREATE TEMPORARY VIEW told_{target} AS {job.rows_of(target)}")
        found[target] = session.written(environment, f"told_{target}", folder / target).to_pylist()
    return found


@pytest.fixture(scope="module")
def streamed(log: list[Record], tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Record]]:
    """What the four jobs write, each hearing what the one before it wrote."""
    folder = tmp_path_factory.mktemp("stream")
    found = _streamed("match_summary", "live-matches", log, folder)
    found |= _streamed("player_form", "player-games", found["player_games"], folder)
    found |= _streamed("team_form", "match-summaries", found["match_summaries"], folder)
    return found | _streamed("champion_meta", "match-summaries", found["match_summaries"], folder)


@pytest.fixture(scope="module")
def in_batch(
    batch: Any, log: list[Record], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str, str], list[Record]]:
    """Gives what a job makes of the whole log in batch, by job and topic's table."""
    folder = tmp_path_factory.mktemp("batch")
    file = folder / "log.jsonl"
    file.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in log))
    rows = history.from_file(EVENTS, file, history.ALL, folder)

    def run(name: str, target: str) -> list[Record]:
        environment = session.environment(session.LOCAL, batch=True, options={"parallelism.default": "2"})
        job = sqlfile.load(name)
        table = session.batch(job, target, EVENTS, rows, environment=environment, folder=folder / target)
        found: list[Record] = table.to_pylist()
        return found

    return run


KEYS = {
    "match_summaries": ("match_id",),
    "player_games": ("player_id", "match_id"),
    "player_stats": ("player_id", "match_id"),
    "team_form": ("team", "match_id"),
    "head_to_head": ("pair", "match_id"),
}
JOBS = {
    "match_summaries": "match_summary",
    "player_games": "match_summary",
    "player_stats": "player_form",
    "team_form": "team_form",
    "head_to_head": "team_form",
}
PLACE = ("source_partition", "source_offset")


def _newest(rows: Iterable[Record], table: str) -> dict[Any, Record]:
    """Of the records of each key the one that was told last."""
    return {tuple(row[name] for name in KEYS[table]): row for row in rows}


def _without_place(row: Record) -> Record:
    return {name: value for name, value in row.items() if name not in PLACE}


def test_at_least_three_hundred_real_matches_are_held_against_the_oracle(
    expected: dict[str, list[Record]],
) -> None:
    assert len(expected["match_summaries"]) >= (300 if get_settings().data else 18)


@pytest.mark.parametrize("table", ["match_summaries", "player_games"])
def test_every_summary_on_the_stream_is_what_plain_python_says(
    table: str, streamed: dict[str, list[Record]], expected: dict[str, list[Record]]
) -> None:
    assert len(streamed[table]) == len(expected[table])
    found, wanted = _newest(streamed[table], table), _newest(expected[table], table)
    assert found.keys() == wanted.keys()
    assert [key for key, row in wanted.items() if found[key] != row] == []


def test_the_context_of_a_match_is_told_at_its_start_to_each_team_that_has_a_name(
    streamed: dict[str, list[Record]], log: list[Record]
) -> None:
    starts = {event["event_id"]: event for event in log if event["event_type"] == "MATCH_START"}.values()
    wanted = {}
    for event in starts:
        shared = (event["league"], event["phase"], event["event_time"])
        blue, red = event["blue_team"], event["red_team"]
        for side, team, opponent in (("blue", blue, red), ("red", red, blue)):
            if team:
                roster = (event[f"{side}_players"], event[f"{side}_champions"])
                wanted[event["match_id"], team] = (side, opponent, *shared, *roster)
    names = ("side", "opponent", "league", "stage", "event_time", "players", "champions")
    found = {(r["match_id"], r["team"]): tuple(r[name] for name in names) for r in streamed["match_context"]}
    assert any(players for *_, players, _ in wanted.values())
    assert found == wanted
    assert len(streamed["match_context"]) == len(wanted)
    assert len(wanted) == 2 * len(starts) - 1, "one team has no name"


@pytest.mark.parametrize("table", ["player_stats", "team_form", "head_to_head"])
def test_the_newest_form_of_each_match_is_what_plain_python_says_whatever_the_order(
    table: str, streamed: dict[str, list[Record]], expected: dict[str, list[Record]]
) -> None:
    found, wanted = _newest(streamed[table], table), _newest(expected[table], table)
    assert len(streamed[table]) > len(wanted), "some came out of order, and were told again"
    assert found.keys() == wanted.keys()
    wrong = [key for key, row in wanted.items() if _without_place(found[key]) != _without_place(row)]
    assert wrong == []


@pytest.mark.parametrize("table", JOBS)
def test_batch_says_the_same_once(
    table: str, in_batch: Callable[[str, str], list[Record]], expected: dict[str, list[Record]]
) -> None:
    rows = in_batch(JOBS[table], table)
    assert len(rows) == len(expected[table])
    found, wanted = _newest(rows, table), _newest(expected[table], table)
    assert [key for key, row in wanted.items() if found[key] != row] == []


def _by_champion(rows: Iterable[Record]) -> dict[Any, Record]:
    return {(row["champion"], row["scope"], row["match_id"]): row for row in rows}


def test_champion_rates_on_the_stream_are_over_the_matches_heard_so_far(
    streamed: dict[str, list[Record]], expected: dict[str, list[Record]]
) -> None:
    wanted = oracle.champion_metas(expected["match_summaries"])
    assert len(streamed["champion_meta"]) == len(wanted)
    assert _by_champion(streamed["champion_meta"]) == _by_champion(wanted)


def test_champion_rates_in_batch_are_in_the_order_of_time(
    in_batch: Callable[[str, str], list[Record]], expected: dict[str, list[Record]]
) -> None:
    rows = in_batch("champion_meta", "champion_meta")
    wanted = oracle.champion_metas(sorted(expected["match_summaries"], key=lambda m: m["event_time"]))
    assert _by_champion(rows) == _by_champion(wanted)


def test_a_form_knows_no_match_that_ends_after_it(streamed: dict[str, list[Record]]) -> None:
    ends = {match["match_id"]: match["event_time"] for match in streamed["match_summaries"]}
    starts = {match["match_id"]: match["started"] for match in streamed["match_summaries"]}
    for table in ("player_stats", "team_form", "head_to_head", "champion_meta"):
        for row in streamed[table]:
            assert row["event_time"] == row["as_of"] >= ends[row["match_id"]] > starts[row["match_id"]]


@pytest.mark.parametrize("name", ["match_summary", "player_form", "team_form", "champion_meta"])
def test_views_of_forms_hold_no_word_that_only_a_stream_knows(name: str) -> None:
    job = sqlfile.load(name)
    text = " ".join([*job.views.values(), *job.inserts])
    for word in ("CURRENT_WATERMARK", "PROCTIME", "TUMBLE", "CURRENT_TIMESTAMP"):
        assert word not in text


def test_state_of_forms_lies_in_rocksdb() -> None:
    backends = {name: sqlfile.load(name).settings["state.backend.type"] for name in sqlfile.names()}
    assert {name for name, backend in backends.items() if backend == "rocksdb"} == {
        "player_form",
        "team_form",
        "champion_meta",
    }


@pytest.fixture(scope="module")
def plan() -> str:
    """Flink's plan of match_summary."""
    job = sqlfile.load("match_summary")
    environment = session.environment(session.LOCAL, options=job.settings)
    session.declare(environment, job, Settings())
    return session.explain(environment, job).split("== Optimized Execution Plan ==")[1]


def test_events_are_read_and_deduplicated_once_for_both_topics(plan: str) -> None:
    assert plan.count("TableSourceScan(") == 1
    assert plan.count("IS_DUPLICATE(") == 1
    assert plan.count("LINE_UP(") == 1


def test_no_bytes_and_no_column_that_nobody_needs_go_through_the_shuffle(plan: str) -> None:
    lines = plan.splitlines()
    carried = [lines[number + 1] for number, line in enumerate(lines) if "Exchange(" in line]
    assert carried
    assert not [line for line in carried if "raw_value" in line or "item_id" in line]
