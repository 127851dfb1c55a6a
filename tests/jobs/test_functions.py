"""The JVM aggregate functions against plain Python, on real Flink: batch, heap state, RocksDB state."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

MINUTES = (1, 3, 5)
MATCHES = 40
EVENTS = 60

Event = dict[str, Any]


def _events() -> list[Event]:
    """Matches with a clock that mostly advances, values that are often null, and ids that come again."""
    chance = random.Random(20170601)  # noqa: S311
    events = []
    for match in range(MATCHES):
        clock = 0
        for n in range(EVENTS):
            clock += chance.choice((0, 1, 500, 20_000, 60_000, 180_000, 300_000))
            behind = chance.choice((0, 0, 0, 1, 5_000, 60_000, 400_000))
            events.append(
                {
                    "match_id": f"m{match}",
                    "n": n,
                    "clock": max(0, clock - behind),
                    "value": chance.choice((None, 0, 1, 1, 250, -3)),
                    "id": f"event-{chance.randrange(30)}-" + "x" * chance.randrange(40),
                }
            )
    return events


EVENT_LIST = _events()


def _expected(history: list[Event]) -> dict[str, Any]:
    """What the functions must say after the last event, straight from their descriptions."""
    now = max(event["clock"] for event in history)
    told = [event for event in history if event["value"] is not None]
    by_clock = sorted(told, key=lambda event: (event["clock"], event["n"]))

    def newest(until: int) -> int | None:
        return next((event["value"] for event in reversed(by_clock) if event["clock"] <= until), None)

    latest = newest(now)
    deltas = [newest(now - minutes * 60_000) for minutes in MINUTES]
    behind = [sum(_behind(history, k, tolerance) for k in range(len(history))) for tolerance in (0, 5_000)]
    return {
        "sums": [
            sum(event["value"] for event in told if event["clock"] > now - minutes * 60_000)
            for minutes in MINUTES
        ],
        "deltas": [latest, *(None if then is None or latest is None else latest - then for then in deltas)],
        "behind": behind,
        "duplicate": history[-1]["id"] in {event["id"] for event in history[:-1]},
    }


def _behind(history: list[Event], k: int, tolerance: int) -> bool:
    return k > 0 and history[k]["clock"] < max(e["clock"] for e in history[:k]) - tolerance


def _query(order: str, source: str) -> str:
    return f"""
        SELECT match_id, n, sums.m1, sums.m3, sums.m5, deltas.newest, deltas.m1, deltas.m3, deltas.m5,
            behind_0, behind_5, duplicate
        FROM (
            SELECT match_id, n,
                ROLLING_SUMS(v, clock) OVER w AS sums,
                ROLLING_DELTA(v, clock) OVER w AS deltas,
                COUNT_BEHIND(clock, CAST(0 AS BIGINT)) OVER w AS behind_0,
                COUNT_BEHIND(clock, CAST(5000 AS BIGINT)) OVER w AS behind_5,
                IS_DUPLICATE(id) OVER w AS duplicate
            FROM {source}
            WINDOW w AS (PARTITION BY match_id ORDER BY {order}
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))"""  # noqa: S608


@pytest.fixture(scope="module")
def answers(
    batch: Any, streaming: Any, streaming_rocksdb: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[list[Any]]]:
    """The functions' answers on each engine, in order of match and event."""
    file = tmp_path_factory.mktemp("events") / "events.csv"
    lines = [
        f"{e['match_id']},{e['n']},{e['clock']},{'' if e['value'] is None else e['value']},{e['id']}\n"
        for e in EVENT_LIST
    ]
    file.write_text("".join(lines))
    found = {}
    for name, environment, order in (
        ("batch", batch, "n"),
        ("heap", streaming, "seen"),
        ("rocksdb", streaming_rocksdb, "seen"),
    ):
        seen = ", seen AS PROCTIME()" if order == "seen" else ""
        environment.execute_sql(f"""
            CREATE TEMPORARY TABLE IF NOT EXISTS function_events (
                match_id STRING, n INT, clock BIGINT, v BIGINT, id STRING{seen})
            WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'csv',
                'csv.null-literal' = '')""")
        with environment.execute_sql(_query(order, "function_events")).collect() as rows:
            found[name] = sorted(([*row] for row in rows), key=lambda row: (row[0], row[1]))
    return found


@pytest.fixture(scope="module")
def expected() -> list[list[Any]]:
    rows = []
    for match in range(MATCHES):
        history = [event for event in EVENT_LIST if event["match_id"] == f"m{match}"]
        for n in range(len(history)):
            wanted = _expected(history[: n + 1])
            flat = [*wanted["sums"], *wanted["deltas"], *wanted["behind"], wanted["duplicate"]]
            rows.append([f"m{match}", n, *flat])
    return sorted(rows, key=lambda row: (row[0], row[1]))


@pytest.mark.parametrize("engine", ["batch", "heap", "rocksdb"])
def test_functions_equal_their_descriptions_in_plain_python(
    answers: dict[str, list[list[Any]]], expected: list[list[Any]], engine: str
) -> None:
    assert len(answers[engine]) == MATCHES * EVENTS
    wrong = [(got, want) for got, want in zip(answers[engine], expected, strict=True) if got != want]
    assert not wrong, f"{len(wrong)} of {len(expected)} rows differ, first: {wrong[0]}"


def test_the_events_of_these_tests_reach_every_branch(expected: list[list[Any]]) -> None:
    assert {row[-1] for row in expected} == {True, False}
    assert any(row[8] is not None for row in expected)
    assert any(row[2] != row[3] != row[4] for row in expected)
    assert any(row[9] > row[10] > 0 for row in expected)


def test_epoch_millis_keeps_milliseconds(batch: Any, rows_of: Callable[[Any, str], list[list[Any]]]) -> None:
    found = rows_of(batch, "SELECT EPOCH_MILLIS(TO_TIMESTAMP_LTZ(1497000000123, 3))")
    assert found == [[1497000000123]]


@pytest.mark.parametrize("name", ["RollingSums", "RollingDelta", "IsDuplicate", "PlayerWindows"])
def test_a_state_serializer_is_found_again_by_its_snapshot(jvm: Any, name: str) -> None:
    serializer = getattr(jvm.riftstream, f"{name}$Serializer")()
    restored = serializer.snapshotConfiguration().restoreSerializer()
    assert restored.getClass().getName() == f"riftstream.{name}$Serializer"
