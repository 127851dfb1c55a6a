"""The text of match_pipeline.sql: live and in batch it says the same, and what plain Python says."""

from __future__ import annotations

import dataclasses
import itertools
import random
import re
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

import orjson
import pytest

from jobs import ddl, history, session, sqlfile
from riftstream.settings import Settings
from streams.schemas import for_topic
from streams.sources import sample
from tests import recompute

JOB = sqlfile.load("match_pipeline")
EVENTS = for_topic("live-matches")
MATCHES = 6
ENDS = 1_497_100_000_000

Record = dict[str, Any]


def _disturbed() -> list[Record]:
    """Real matches played at once, with what happens to a log: doubles, disorder, lateness, nonsense."""
    chance = random.Random(20160814)  # noqa: S311
    names = [field.name for field in EVENTS.fields]
    empty: dict[str, Any] = dict.fromkeys(names)
    playing = [[empty | event for event in match] for match in sample.matches()[:MATCHES]]
    playing[0].insert(28, playing[0].pop(30))
    playing[1].insert(7, playing[1].pop(5))
    playing[2][20]["event_time"] -= 60_000
    playing[3][10] |= {"event_type": "PAUSE_START", "player_id": None}
    playing[4][-1] |= {"event_type": "REMAKE", "winner": None}
    playing[5][25]["season"] = "2019 Spring"
    log = [event for group in itertools.zip_longest(*playing) for event in group if event]
    for _ in range(25):
        log.insert(chance.randrange(50, len(log)), log[chance.randrange(50)])
    for change in (
        {"match_id": None},
        {"event_type": "PENTAKILL"},
        {"game_time_ms": -1},
        {"event_time": 0},
        {"team": "green"},
    ):
        log.insert(chance.randrange(len(log)), log[0] | {"event_id": f"bad {change}"} | change)
    return [
        event | {"source_partition": 0, "source_offset": offset, "kafka_time": ENDS + offset}
        for offset, event in enumerate(log)
    ]


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Record], Path]:
    """The events of the log and a file that holds them."""
    events = _disturbed()
    file = tmp_path_factory.mktemp("log") / "events.jsonl"
    file.write_bytes(b"".join(orjson.dumps(event) + b"\n" for event in events))
    return events, file


@pytest.fixture(scope="module")
def streamed(
    streaming: Any, log: tuple[list[Record], Path], tmp_path_factory: Any
) -> dict[str, list[Record]]:
    """The rows of the job's views in streaming mode, in the order of the log."""
    folder = tmp_path_factory.mktemp("stream")
    history.from_file(EVENTS, log[1], history.ALL, folder)
    columns = [f"`{field.name}` {ddl.column_type(field)}" for field in EVENTS.fields]
    columns += ["decode_error STRING", "decode_detail STRING", "schema_id INT", "raw_value BYTES"]
    columns += ["record_key BYTES", "source_topic STRING", "source_partition INT", "source_offset BIGINT"]
    columns += ["kafka_ms BIGINT", "kafka_time AS TO_TIMESTAMP_LTZ(kafka_ms, 3)", "log_order AS PROCTIME()"]
    columns += ["ts AS TO_TIMESTAMP_LTZ(event_time, 3)"]
    streaming.execute_sql(f"""CREATE TEMPORARY TABLE live_matches ({", ".join(columns)}) WITH (
        'connector' = 'filesystem', 'path' = '{(folder / "events.jsonl").as_uri()}', 'format' = 'json')""")
    for statement in JOB.views.values():
        streaming.execute_sql(statement)
    streaming.execute_sql("""CREATE TEMPORARY VIEW rejected AS
        SELECT reject_reason, source_offset FROM checked WHERE reject_reason IS NOT NULL""")
    streaming.execute_sql("""CREATE TEMPORARY VIEW duplicates AS
        SELECT event_id, source_offset FROM marked WHERE duplicate""")
    views = ("features", "results", "player_windows", "rejected", "duplicates")
    return {view: session.written(streaming, view, folder / view).to_pylist() for view in views}


@pytest.fixture(scope="module")
def batched(batch: Any, log: tuple[list[Record], Path], tmp_path_factory: Any) -> list[Record]:
    """The features of the same events in batch mode."""
    folder = tmp_path_factory.mktemp("batch")
    rows = history.from_file(EVENTS, log[1], history.ALL, folder)
    table = session.batch(JOB, "features", EVENTS, rows, environment=batch, folder=folder / "out")
    found: list[Record] = table.to_pylist()
    return found


@pytest.fixture(scope="module")
def accepted(log: tuple[list[Record], Path]) -> dict[str, list[Record]]:
    """The events that are good and new, by match, in the log's order."""
    found: dict[str, list[Record]] = defaultdict(list)
    seen = set()
    for event in log[0]:
        if not event["event_id"].startswith("bad") and event["event_id"] not in seen:
            seen.add(event["event_id"])
            found[event["match_id"]].append(event)
    return found


def test_every_feature_of_the_stream_is_what_plain_python_says(
    streamed: dict[str, list[Record]], accepted: dict[str, list[Record]]
) -> None:
    expected = {
        record["source_offset"]: record
        for events in accepted.values()
        for record in recompute.match_features(events)
    }
    assert len(streamed["features"]) == len(expected)
    for row in streamed["features"]:
        wanted = expected[row["source_offset"]]
        assert {field: row[field] for field in wanted} == wanted


def test_batch_says_the_same_as_the_stream(streamed: dict[str, list[Record]], batched: list[Record]) -> None:
    assert batched == streamed["features"]


def test_every_result_is_what_plain_python_says(
    streamed: dict[str, list[Record]], accepted: dict[str, list[Record]]
) -> None:
    expected = {match: recompute.match_result(events) for match, events in accepted.items()}
    assert {row["match_id"]: row for row in streamed["results"]} == expected
    assert Counter(row["status"] for row in streamed["results"]) == {"completed": MATCHES - 1, "remade": 1}


def test_the_newest_record_of_each_player_window_is_what_plain_python_says(
    streamed: dict[str, list[Record]], accepted: dict[str, list[Record]]
) -> None:
    expected = recompute.player_windows(list(itertools.chain.from_iterable(accepted.values())))
    windows: dict[tuple[str, str, int], Record] = {}
    for row in sorted(streamed["player_windows"], key=lambda r: (r["source_offset"], r["events"])):
        assert not row["late"]
        windows[row["player_id"], row["match_id"], row["window_start"]] = row
    assert windows.keys() == expected.keys()
    for key, wanted in expected.items():
        fields = (*recompute.SUMMED, *recompute.HIGHEST, *recompute.SO_FAR)
        assert {f: windows[key][f] for f in fields} == {f: wanted[f] for f in fields}


def test_what_is_read_is_accepted_rejected_or_a_duplicate(
    streamed: dict[str, list[Record]], log: tuple[list[Record], Path]
) -> None:
    assert Counter(row["reject_reason"] for row in streamed["rejected"]) == {
        "missing_match_id": 1,
        "unknown_event_type": 1,
        "clock_negative": 1,
        "event_time_too_old": 1,
        "unknown_team": 1,
    }
    assert len(streamed["duplicates"]) == 25
    counted = len(streamed["features"]) + len(streamed["rejected"]) + len(streamed["duplicates"])
    assert counted == len(log[0])


def test_the_log_of_these_tests_has_disorder_lateness_and_a_pause(batched: list[Record]) -> None:
    assert max(row["out_of_order_events"] for row in batched) >= 1
    assert max(row["late_events"] for row in batched) >= 1
    assert max(row["pauses"] for row in batched) == 1


@pytest.fixture(scope="module")
def plan() -> str:
    """Flink's plan of the whole job, the lake's table in memory."""
    environment = session.environment(session.LOCAL, options=JOB.settings)
    environment.execute_sql("CREATE CATALOG lake WITH ('type' = 'generic_in_memory')")
    environment.execute_sql("CREATE DATABASE lake.`raw`")
    kinds = {
        field.name: "TIMESTAMP_LTZ(6)" if field.logical else ddl.column_type(field) for field in EVENTS.fields
    }
    kinds |= {"source_topic": "STRING", "source_partition": "INT", "source_offset": "BIGINT"}
    kinds["kafka_time"] = "TIMESTAMP_LTZ(6)"
    columns = ", ".join(f"`{name}` {kind}" for name, kind in kinds.items())
    environment.execute_sql(
        f"CREATE TABLE lake.`raw`.match_events ({columns}) WITH ('connector' = 'blackhole')"
    )
    settings = Settings()
    for table, schema in ddl.topics().items():
        if table in JOB.targets:
            environment.execute_sql(ddl.sink(schema, settings))
    environment.execute_sql(ddl.source(EVENTS, settings, "plan"))
    for statement in JOB.views.values():
        environment.execute_sql(statement)
    # A table in memory knows no hint for Iceberg's writer.
    inserts = tuple(re.sub(r"/\*\+.*?\*/", "", insert) for insert in JOB.inserts)
    job = dataclasses.replace(JOB, inserts=inserts)
    return session.explain(environment, job).split("== Optimized Execution Plan ==")[1]


def test_records_are_read_validated_and_deduplicated_once_for_all_sinks(plan: str) -> None:
    assert plan.count("TableSourceScan(") == 1
    assert plan.count("MATCH_STATE(") == 1
    assert plan.count("Exchange(") == 1


def test_each_partition_has_its_own_watermark_and_idle_ones_hold_nothing_back(plan: str) -> None:
    scan = next(line for line in plan.splitlines() if "TableSourceScan(" in line)
    assert re.search(r"watermark=\[-\(.*5000:INTERVAL SECOND", scan)
    assert "idletimeout=[5000]" in scan
    assert "WatermarkAssigner" not in plan


def test_bytes_of_records_are_not_carried_through_the_shuffle(plan: str) -> None:
    exchanges = [n for n, line in enumerate(plan.splitlines()) if "Exchange(" in line]
    below = [plan.splitlines()[n + 1] for n in exchanges]
    assert below
    assert not any("raw_value" in line for line in below)


def test_views_of_the_job_hold_no_word_that_only_a_stream_knows() -> None:
    text = " ".join(JOB.views.values())
    assert not re.findall(r"CURRENT_WATERMARK|PROCTIME|TUMBLE|CURRENT_TIMESTAMP", text)


def test_a_view_that_a_job_lacks_is_told_with_those_that_it_has(batch: Any, tmp_path: Path) -> None:
    rows = history.Rows((), "")
    with pytest.raises(Exception, match=r"no view nonsense\. It has: checked"):
        session.batch(JOB, "nonsense", EVENTS, rows, environment=batch, folder=tmp_path)
