"""Forms on the real platform equal plain Python: on topics, in the lake, backfilled, in training sets."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.online import OnlineReader
from features.training_set import Part, training_set
from lakehouse.catalog import connect
from riftstream.cli import training
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer, Subscriber
from streams.sources import sample
from streams.sources.lol_pro import LolPro
from tests import recompute_forms as oracle
from tests.integration.tools import new_match, read_all, until, wait_for

pytestmark = pytest.mark.stack

FIRST, BEHIND = 6_200, 6_520
"""Of lol-pro in the order of time: 320 matches in a row, 27 days of its calendar."""

NAMES = ("match_id", "event_id", "player_id", "victim_id", "blue_team", "red_team", "season")
LISTS = ("assist_ids", "blue_players", "red_players")
FORMS = {
    "player-stats": ("player_id", oracle.player_forms),
    "team-form": ("team", oracle.team_forms),
    "head-to-head": ("pair", oracle.head_to_heads),
}
TABLES = {
    "player-stats": "features.player_form",
    "team-form": "features.team_form",
    "head-to-head": "features.head_to_head",
}
PLACE = ("source_partition", "source_offset")


def _real_matches(settings: Settings) -> Iterator[list[Record]]:
    if settings.data is None:
        return iter(sample.matches())
    return itertools.islice(LolPro(settings.data).matches(), FIRST, BEHIND)


def _renamed(event: Record, run: str) -> Record:
    """An event with names of its own, so that no other test's matches are in the same forms."""
    own = {name: f"{run}/{event[name]}" for name in NAMES if event.get(name)}
    lists = {
        name: [f"{run}/{one}" if one else "" for one in event[name]] for name in LISTS if event.get(name)
    }
    return event | own | lists


class Played:
    """What was played, and what plain Python makes of it."""

    def __init__(self, log: dict[str, list[Record]], run: str) -> None:
        self.run = run
        completed = [found for found in map(oracle.summary, log.values()) if found]
        self.summaries = [match for match, _ in completed]
        self.games = [game for _, players in completed for game in players]
        self.matches = {match["match_id"] for match in self.summaries}
        ends = [match["event_time"] for match in self.summaries]
        self.first, self.last = min(ends), max(ends)

    def forms(self, topic: str) -> dict[tuple[str, str], Record]:
        key, make = FORMS[topic]
        rows = make(self.games if topic == "player-stats" else self.summaries)
        return {(row[key], row["match_id"]): row for row in rows}


@pytest.fixture(scope="module")
def played(stack: Settings) -> Played:
    """Real matches in a row, sent one after the other, as the log has them."""
    run = new_match("forms")
    with Producer(stack, linger_ms=20) as producer:
        for match in _real_matches(stack):
            for event in match:
                producer.send(_renamed(event, run))
    log: dict[str, list[Record]] = defaultdict(list)
    with Subscriber("live-matches", stack, start="earliest", stop_at_end=True, skip_broken=True) as reader:
        for received in reader:
            if (received.record["match_id"] or "").startswith(run):
                place = {"source_partition": received.partition, "source_offset": received.offset}
                log[received.record["match_id"]].append(received.record | place)
    return Played(log, run)


def _without_place(row: Record) -> Record:
    return {name: value for name, value in row.items() if name not in PLACE}


def test_at_least_three_hundred_real_matches_are_held_against_the_oracle(
    stack: Settings, played: Played
) -> None:
    assert len(played.summaries) >= (300 if stack.data else 20)


def test_every_summary_and_player_game_equals_the_recomputation(stack: Settings, played: Played) -> None:
    rows = wait_for(
        stack,
        "match-summaries",
        lambda row: row["match_id"] in played.matches,
        len(played.matches),
        patience=120,
        identity="match_id",
    )
    assert {row["match_id"]: row for row in rows} == {row["match_id"]: row for row in played.summaries}

    def games() -> dict[Any, Record]:
        kept = (row for row in read_all(stack, "player-games") if row["match_id"] in played.matches)
        return {(row["player_id"], row["match_id"]): row for row in kept}

    until(lambda: len(games()) == len(played.games), "all player games")
    assert games() == {(row["player_id"], row["match_id"]): row for row in played.games}


@pytest.mark.parametrize("topic", FORMS)
def test_the_newest_form_of_each_match_equals_the_recomputation(
    stack: Settings, played: Played, topic: str
) -> None:
    wanted = {key: _without_place(row) for key, row in played.forms(topic).items()}
    key = FORMS[topic][0]

    def newest() -> dict[Any, Record]:
        kept = (row for row in read_all(stack, topic) if row["match_id"] in played.matches)
        return {(row[key], row["match_id"]): _without_place(row) for row in kept}

    until(lambda: newest() == wanted, f"all of {topic} equal to the recomputation", patience=90)


def test_champion_rates_end_as_the_recomputation_does(stack: Settings, played: Played) -> None:
    in_order = sorted(played.summaries, key=lambda match: match["event_time"])
    wanted = {(r["champion"], r["scope"]): r for r in oracle.champion_metas(in_order)}

    def counts(row: Record) -> list[Any]:
        return [row[name] for name in ("as_of", "games", "picks", "bans", "wins", "pick_rate", "win_rate")]

    def newest() -> dict[Any, list[Any]]:
        rows = (row for row in read_all(stack, "champion-meta") if row["scope"].startswith(played.run))
        return {(row["champion"], row["scope"]): counts(row) for row in rows}

    expected = {key: counts(row) for key, row in wanted.items()}
    until(lambda: newest() == expected, "all champion rates equal to the recomputation", patience=90)


def test_the_context_of_each_match_is_in_the_online_store_as_each_team_sees_it(
    stack: Settings, played: Played
) -> None:
    wanted: dict[tuple[str, str], list[Any]] = {}
    for match in played.summaries:
        shared = [match[name] for name in ("league", "season", "phase", "patch", "map_number")]
        blue, red = match["blue_team"], match["red_team"]
        wanted |= {
            (match["match_id"], team): [opponent, side, *shared]
            for team, opponent, side in ((blue, red, "blue"), (red, blue, "red"))
            if team
        }
    assert len(wanted) > len(played.matches)
    matches, teams = zip(*wanted, strict=True)
    names = ("opponent", "side", "league", "season", "stage", "patch", "map_number")
    reader = OnlineReader(stack)

    def online() -> list[list[Any]]:
        found = reader.get("match_context", {"match_id": matches[:500], "team": teams[:500]})
        return [[row[name] for name in names] for row in found.rows]

    until(lambda: online() == list(wanted.values())[:500], "contexts online", patience=90)
    reader.close()


def _in_lake(stack: Settings, table: str, matches: Iterable[str]) -> pa.Table:
    listed = ", ".join(f"'{match}'" for match in matches)
    return connect(stack).load_table(table).scan(row_filter=f"match_id IN ({listed})").to_arrow()


@pytest.mark.parametrize(
    ("topic", "table"),
    [
        *TABLES.items(),
        ("match-features", "features.match_state"),
        ("player-performance", "features.player_window"),
        ("champion-meta", "features.champion_meta"),
        ("match-context", "features.match_context"),
        ("match-results", "raw.match_results"),
        ("match-summaries", "raw.match_summaries"),
        ("player-games", "raw.player_games"),
        ("predictions", "predictions.predictions"),
    ],
)
def test_every_record_of_a_topic_is_one_row_of_its_table(
    stack: Settings, played: Played, topic: str, table: str
) -> None:
    some = sorted(played.matches)[:40]

    def told() -> list[tuple[int, int]]:
        with Subscriber(topic, stack, start="earliest", stop_at_end=True, skip_broken=True) as reader:
            return [(one.partition, one.offset) for one in reader if one.record["match_id"] in some]

    def kept() -> list[tuple[int, int]]:
        rows = _in_lake(stack, table, some)
        return list(zip(rows["log_partition"].to_pylist(), rows["log_offset"].to_pylist(), strict=True))

    def equal() -> bool:
        # The topic may still grow: what the lake holds is read before it.
        rows = sorted(kept())
        return len(rows) > 0 and rows == sorted(told())

    until(equal, f"{table} holds {topic} once")


def _days(played: Played) -> tuple[datetime, datetime]:
    day = timedelta(days=1)
    first = datetime.fromtimestamp(played.first / 1000, UTC).replace(
        hour=0, minute=0, second=0, microsecond=0
    )
    last = datetime.fromtimestamp(played.last / 1000, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    return first, last + day


def _milliseconds(rows: pa.Table, fields: Iterable[str]) -> list[Record]:
    found = rows.select(list(fields)).to_pylist()
    return [
        {n: round(v.timestamp() * 1000) if isinstance(v, datetime) else v for n, v in row.items()}
        for row in found
    ]


def test_a_backfill_puts_the_same_history_in_the_place_of_what_the_stream_wrote(
    stack: Settings, played: Played
) -> None:
    history = next(one for one in training.HISTORIES if one.table == "features.player_form")
    events = sum(match["source_offset"] >= 0 for match in played.summaries)
    until(
        lambda: (
            len(set(_in_lake(stack, "raw.match_summaries", played.matches)["match_id"].to_pylist())) == events
        ),
        "all matches in the lake",
    )
    wanted = played.forms("player-stats")
    training.backfill(history, *_days(played), stack)
    rows = _in_lake(stack, history.table, played.matches)
    assert rows.num_rows == len(wanted)
    assert set(rows["log_offset"].to_pylist()) == {None}
    fields = next(iter(wanted.values())).keys()
    found = {(row["player_id"], row["match_id"]): row for row in _milliseconds(rows, fields)}
    assert found == wanted


def test_a_training_set_from_the_lake_holds_the_form_before_each_match_and_reads_little(
    stack: Settings, played: Played, tmp_path: Path
) -> None:
    features = ("games", "wins", "kills_mean", "form")
    part = Part(
        "features.player_form",
        ("player_id",),
        {name: name for name in features},
        ttl=timedelta(days=60),
        order=("games", "log_offset"),
    )
    spine = pa.Table.from_pylist(
        [{name: game[name] for name in ("player_id", "match_id", "started", "won")} for game in played.games]
    )
    out = tmp_path / "set.parquet"
    report = training_set([part], spine, training.lake_scan(stack), out, time="started")
    forms: dict[str, list[Record]] = defaultdict(list)
    for row in played.forms("player-stats").values():
        forms[row["player_id"]].append(row)
    newest: Callable[[Record], int] = lambda form: int(form["as_of"])  # noqa: E731
    compared = 0
    for row in pq.read_table(out).to_pylist():
        before = [form for form in forms[row["player_id"]] if form["as_of"] <= row["started"]]
        wanted = max(before, key=newest, default=dict.fromkeys(features))
        assert {name: row[name] for name in features} == {name: wanted[name] for name in features}
        compared += bool(before)
    assert report.rows == len(played.games)
    assert report.missing[part.table] == len(played.games) - compared
    assert 0 < report.bytes_read[part.table] < report.bytes_in_tables[part.table]
