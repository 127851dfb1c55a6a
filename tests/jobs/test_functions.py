"""MATCH_STATE against plain Python, on real Flink: batch, heap state, RocksDB state."""

from __future__ import annotations

import itertools
import random
from collections.abc import Callable
from typing import Any

import pytest

MINUTES = (1, 3, 5)
MATCHES = 30
EVENTS = 60
KINDS = ("a", "b", "c")
PLAYERS = (None, "", "Faker", "Deft", "Bang")
ASKED = [
    *(f"{kind}{what}" for kind in KINDS for what in ("", "_1m", "_3m", "_5m", "_clock_ms", "_first")),
    "never",
    "never_first",
]
GOLD = [f"gold_{side}{ago}" for side in ("blue", "red") for ago in ("", "_1m", "_3m", "_5m")]
TOLD = ["duplicate", "clock_ms", "events", "out_of_order_events", "late_events", "league", "map_number"]
WINDOW = [
    *("player_id", "window_start", "late", "team", "champion"),
    *("events", "kills", "deaths", "assists", "items", "gold", "event_time"),
    *("match_kills", "match_deaths", "match_assists"),
]

Event = dict[str, Any]


def _events() -> list[Event]:
    """Matches with clocks that mostly advance, ids that come again, and values that are often null."""
    chance = random.Random(20170601)  # noqa: S311
    events = []
    for match in range(MATCHES):
        clock = 0
        time = 1_497_000_000_000
        for n in range(EVENTS):
            clock += chance.choice((0, 1, 500, 20_000, 60_000, 180_000, 300_000))
            time += chance.choice((0, 1, 2_000, 5_000, 60_000, 400_000))
            behind = chance.choice((0, 0, 0, 1, 5_000, 60_000, 400_000))
            late = chance.choice((0, 0, 0, 0, 4_000, 6_000, 900_000))
            gold = chance.choice((None, None, 2_500, 30_000))
            events.append(
                {
                    "match_id": f"m{match}",
                    "n": n,
                    "id": f"event-{chance.randrange(40)}-"
                    + "x" * (chance.randrange(40) if n % 7 == 0 else 3),
                    "clock": max(0, clock - behind),
                    "time": time - late,
                    "kind": chance.choice((None, *KINDS, "unasked")),
                    "sub_kind": chance.choice((None, None, "b")),
                    "blue_gold": gold,
                    "red_gold": None if gold is None else gold + chance.randrange(-900, 900),
                    "league": chance.choice((None, None, "LCK", "LPL")),
                    "map_number": chance.choice((None, 1, 2)),
                    "deed": chance.choice((None, "kills", "items")),
                    "team": chance.choice((None, "blue", "red")),
                    "player": chance.choice(PLAYERS),
                    "champion": chance.choice((None, "Azir")),
                    "victim": chance.choice(PLAYERS),
                    "assistants": chance.choice((None, "Bang", "Deft|Faker|", "Faker|Faker")),
                    "player_gold": chance.choice((None, 500, 9_000)),
                }
            )
    return events


EVENT_LIST = _events()


def _expected(history: list[Event]) -> list[Any]:
    """What the function must say after the last event, straight from its description."""
    seen: set[str] = set()
    new = []
    for event in history:
        if event["id"] not in seen:
            seen.add(event["id"])
            new.append(event)
    last = history[-1]
    duplicate = last["id"] in {event["id"] for event in history[:-1]}
    now = max(event["clock"] for event in new)
    told = [duplicate, now, len(new), _behind(new, "clock", 0), _behind(new, "time", 5_000)]
    told += [_newest(new, "league"), _newest(new, "map_number")]
    answers: list[Any] = []
    for kind in KINDS:
        things = [
            (nth, e["clock"])
            for nth, e in enumerate(new, 1)
            for name in (e["kind"], e["sub_kind"])
            if name == kind
        ]
        answers.append(len(things))
        answers += [sum(clock > now - minutes * 60_000 for _, clock in things) for minutes in MINUTES]
        answers += [max((clock for _, clock in things), default=None), things[0][0] if things else None]
    answers += [0, None]
    gold = [value for side in ("blue_gold", "red_gold") for value in _gold(new, side, now)]
    return told + answers + gold + [[] if duplicate else _windows(new)]


def _behind(events: list[Event], field: str, tolerance: int) -> int:
    highest = itertools.accumulate((event[field] for event in events), max)
    return sum(e[field] < high - tolerance for e, high in zip(events[1:], highest, strict=False))


def _newest(events: list[Event], field: str) -> Any:
    return next((e[field] for e in reversed(events) if e[field] is not None), None)


def _gold(events: list[Event], side: str, now: int) -> list[int | None]:
    by_clock = sorted((e for e in events if e["blue_gold"] is not None), key=lambda e: e["clock"])

    def at(until: int) -> int | None:
        return next((e[side] for e in reversed(by_clock) if e["clock"] <= until), None)

    newest = at(now)
    then = [at(now - minutes * 60_000) for minutes in MINUTES]
    return [newest, *(None if t is None or newest is None else newest - t for t in then)]


def _parts(event: Event) -> list[tuple[str, str, Event]]:
    """Who took part: name, what that adds to, and what is newly known of the player."""
    other = {"blue": "red", "red": "blue"}.get(event["team"])
    own = {"team": event["team"], "champion": event["champion"], "gold": event["player_gold"]}
    kill = event["deed"] == "kills"
    found = [
        (event["player"], event["deed"], own),
        (event["victim"], "deaths" if kill else None, {"team": other}),
    ]
    names = (event["assistants"] or "").split("|")
    found += [(name, "assists" if kill else None, {"team": event["team"]}) for name in names]
    return [part for part in found if part[0]]


def _windows(events: list[Event]) -> list[list[Any]]:
    """The windows that the last event tells, each as it stands with that part of it."""
    parts = [(event["time"], *part) for event in events for part in _parts(event)]
    told = []
    for at in range(len(parts) - len(_parts(events[-1])), len(parts)):
        time, name, _, _ = parts[at]
        of_player = [part for part in parts[: at + 1] if part[1] == name]
        start = time // 5_000 * 5_000
        newest_start = max(part[0] // 5_000 * 5_000 for part in of_player)
        late = start < newest_start - 600_000
        rows = of_player[-1:] if late else [part for part in of_player if part[0] // 5_000 * 5_000 == start]
        gold: list[int] = [part[3]["gold"] for part in rows if part[3].get("gold") is not None]
        told.append(
            [
                *(name, start, late, _known(of_player, "team"), _known(of_player, "champion"), len(rows)),
                *(sum(part[2] == what for part in rows) for what in ("kills", "deaths", "assists", "items")),
                *(max(gold, default=None), max(part[0] for part in rows)),
                *(sum(part[2] == what for part in of_player) for what in ("kills", "deaths", "assists")),
            ]
        )
    return told


def _known(parts: list[tuple[int, str, str, Event]], field: str) -> Any:
    return next((part[3][field] for part in reversed(parts) if part[3].get(field) is not None), None)


def _query(order: str) -> str:
    columns = ", ".join(f"m.{name}" for name in (*TOLD, *ASKED, *GOLD))
    text = "CAST(NULL AS STRING)"
    asked = ", ".join(f"{name} INT" for name in ASKED)
    windows = ", ".join(f"m.player_windows[{n}].{field}" for n in range(1, 6) for field in WINDOW)
    return f"""
        SELECT match_id, n, {columns}, CARDINALITY(m.player_windows), {windows}
        FROM (
            SELECT match_id, n,
                MATCH_STATE(
                    CAST(NULL AS ROW<{asked}>), id, `time`, clock, kind, sub_kind, blue_gold, red_gold,
                    league, {text}, {text}, {text}, map_number, {text}, {text},
                    deed, team, player, {text}, champion, player_gold, CAST(NULL AS INT), CAST(NULL AS INT),
                    victim, {text}, {text}, SPLIT(assistants, '|')) OVER w AS m
            FROM function_events
            WINDOW w AS (PARTITION BY match_id ORDER BY {order}
                ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW))"""  # noqa: S608


def _read(row: list[Any]) -> list[Any]:
    """A row of the query with its windows as lists."""
    head = 2 + len(TOLD) + len(ASKED) + len(GOLD)
    count, flat = row[head] or 0, row[head + 1 :]
    return [
        *row[:head],
        [flat[n * len(WINDOW) : (n + 1) * len(WINDOW)] for n in range(count)],
    ]


@pytest.fixture(scope="module")
def answers(
    batch: Any, streaming: Any, streaming_rocksdb: Any, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, list[list[Any]]]:
    """The function's answers on each engine, in order of match and event."""
    file = tmp_path_factory.mktemp("events") / "events.csv"
    names = list(EVENT_LIST[0])
    lines = [",".join("~" if e[name] is None else str(e[name]) for name in names) + "\n" for e in EVENT_LIST]
    file.write_text("".join(lines))
    kinds = dict.fromkeys(("n", "blue_gold", "red_gold", "map_number", "player_gold"), "INT")
    kinds |= {"clock": "BIGINT", "time": "BIGINT"}
    columns = ", ".join(f"`{name}` {kinds.get(name, 'STRING')}" for name in names)
    found = {}
    for name, environment, order in (
        ("batch", batch, "n"),
        ("heap", streaming, "seen"),
        ("rocksdb", streaming_rocksdb, "seen"),
    ):
        seen = ", seen AS PROCTIME()" if order == "seen" else ""
        environment.execute_sql(f"""
            CREATE TEMPORARY TABLE function_events ({columns}{seen})
            WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'csv',
                'csv.null-literal' = '~')""")
        with environment.execute_sql(_query(order)).collect() as rows:
            found[name] = sorted((_read([*row]) for row in rows), key=lambda row: (row[0], row[1]))
        environment.execute_sql("DROP TEMPORARY TABLE function_events")
    return found


@pytest.fixture(scope="module")
def expected() -> list[list[Any]]:
    rows = []
    for match in range(MATCHES):
        history = [event for event in EVENT_LIST if event["match_id"] == f"m{match}"]
        rows += [[f"m{match}", n, *_expected(history[: n + 1])] for n in range(len(history))]
    return sorted(rows, key=lambda row: (row[0], row[1]))


@pytest.mark.parametrize("engine", ["batch", "heap", "rocksdb"])
def test_match_state_equals_its_description_in_plain_python(
    answers: dict[str, list[list[Any]]], expected: list[list[Any]], engine: str
) -> None:
    assert len(answers[engine]) == MATCHES * EVENTS
    wrong = [(got, want) for got, want in zip(answers[engine], expected, strict=True) if got != want]
    assert not wrong, f"{len(wrong)} of {len(expected)} rows differ, first: {wrong[0]}"


def test_the_events_of_these_tests_reach_every_branch(expected: list[list[Any]]) -> None:
    columns = {name: [row[2 + n] for row in expected] for n, name in enumerate((*TOLD, *ASKED, *GOLD))}
    assert set(columns["duplicate"]) == {True, False}
    assert max(columns["out_of_order_events"]) > max(columns["late_events"]) > 0
    assert any(
        one < three < five for one, three, five in zip(*(columns[f"b_{m}m"] for m in MINUTES), strict=True)
    )
    assert any(value not in (None, 0) for value in columns["gold_red_5m"])
    windows = [window for row in expected for window in row[-1]]
    assert {window[2] for window in windows} == {True, False}
    assert max(window[5] for window in windows) > 2


def test_epoch_millis_keeps_milliseconds(batch: Any, rows_of: Callable[[Any, str], list[list[Any]]]) -> None:
    found = rows_of(batch, "SELECT EPOCH_MILLIS(TO_TIMESTAMP_LTZ(1497000000123, 3))")
    assert found == [[1497000000123]]


def test_a_state_serializer_is_found_again_by_its_snapshot(jvm: Any) -> None:
    serializer = getattr(jvm.riftstream, "MatchState$Serializer")()
    restored = serializer.snapshotConfiguration().restoreSerializer()
    assert restored.getClass().getName() == "riftstream.MatchState$Serializer"
