"""The rules for an event are those of match_pipeline.sql, word for word: the SQL runs beside them."""

from __future__ import annotations

import re
from functools import lru_cache
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.identity import identify
from streams.rules import BUILDINGS, EVENT_TYPES, MONSTERS, OLDEST_MS, ROLES, SIDES, faults, identified
from streams.schemas import for_topic

SCHEMA = for_topic("live-matches")
NOW = 1_800_000_000_000
SQL = Path(__file__).parents[2] / "jobs" / "match_pipeline.sql"

GOOD: dict[str, Any] = {
    "event_id": "e",
    "match_id": "LEC/1",
    "event_type": "PAUSE_START",
    "event_time": NOW - 1_000,
    "game_time_ms": 1_000,
}


@lru_cache(maxsize=1)
def columns() -> pa.Schema:
    """The columns that the view reads, times as ms."""
    arrow = {
        "string": pa.string(),
        "int": pa.int32(),
        "long": pa.int64(),
        "array<string>": pa.list_(pa.string()),
    }
    return pa.schema(
        [(f.name, arrow[f.type]) for f in SCHEMA.fields]
        + [("decode_error", pa.string()), ("place", pa.int32())]
    )


@lru_cache(maxsize=1)
def case() -> str:
    """The CASE of the view ``checked``, with the present made a number."""
    text = re.sub(r"--[^\n]*", "", SQL.read_text())
    view = text[text.index("CREATE TEMPORARY VIEW checked") :]
    expression = view[view.index("CASE") : view.index("AS reject_reason")]
    assert "UNIX_TIMESTAMP() * 1000" in expression
    return expression.replace("UNIX_TIMESTAMP() * 1000", str(NOW))


@lru_cache(maxsize=1)
def engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


def sql_reasons(events: list[dict[str, Any]]) -> list[str | None]:
    """The reasons for which the job would reject events; None for those that it would not."""
    rows = [event | {"place": place} for place, event in enumerate(events)]
    engine().register("events", pa.Table.from_pylist(rows, schema=columns()))
    found = engine().execute(f"SELECT {case()} FROM events ORDER BY place").fetchall()  # noqa: S608 - the job's SQL
    return [reason for (reason,) in found]


def numbers(*edges: int) -> st.SearchStrategy[int | None]:
    near = [edge + step for edge in edges for step in (-1, 0, 1)]
    return st.sampled_from([None, None, *near])


def words(*known: str) -> st.SearchStrategy[str | None]:
    return st.sampled_from([None, "", "nonsense", *known, *known])


VALUES: dict[str, st.SearchStrategy[Any]] = {
    "event_id": st.sampled_from(["e", "e", "e", "", None]),
    "match_id": st.sampled_from(["LEC/1", "LEC/1", "LEC/1", "", None]),
    "event_type": words(*EVENT_TYPES),
    "event_time": numbers(OLDEST_MS, NOW - 1_000, NOW, NOW + 300_000),
    "game_time_ms": numbers(0, 1_000, 7_200_000),
    "team": words(*SIDES),
    "winner": words(*SIDES),
    "role": words(*ROLES),
    "victim_role": words(*ROLES),
    "victim_id": words("p2"),
    "player_id": words("p1"),
    "building": words(*BUILDINGS),
    "monster": words(*MONSTERS),
    "blue_gold": numbers(0, 1_000_000),
    "red_gold": numbers(0, 1_000_000),
    "gold": numbers(0, 1_000_000),
    "kills": numbers(0, 1_000),
    "deaths": numbers(0, 1_000),
    "assists": numbers(0, 1_000),
    "creep_score": numbers(0, 10_000),
    "level": numbers(1, 30),
    "ordinal": numbers(0),
    "map_number": numbers(1),
    "x": numbers(-1_000, 20_000),
    "y": numbers(-1_000, 20_000),
    "duration_ms": numbers(0, 7_200_000),
}


@st.composite
def events(draw: st.DrawFn) -> dict[str, Any]:
    """An event with some fields changed to values at and beside every bound that the rules know."""
    event = dict(GOOD)
    event["event_type"] = draw(st.sampled_from(EVENT_TYPES))
    for name in draw(st.lists(st.sampled_from(sorted(VALUES)), max_size=6, unique=True)):
        event[name] = draw(VALUES[name])
    return event


@settings(max_examples=60, deadline=None)
@given(st.lists(events(), min_size=20, max_size=40))
def test_the_first_fault_is_the_reason_of_the_sql(many: list[dict[str, Any]]) -> None:
    found = [[fault.reason for fault in faults(event, SCHEMA, NOW)] for event in many]
    assert [reasons[0] if reasons else None for reasons in found] == sql_reasons(many)


WRONG: dict[str, list[Any]] = {
    "string": [7, True, ["a"], {}],
    "int": ["7", 7.0, True, 2**31, [7]],
    "long": ["7", 7.5, False, 2**63, [7]],
    "array<string>": ["a", [1], ["a", None], {"a": 1}],
}


@pytest.mark.parametrize("name", [field.name for field in SCHEMA.fields])
def test_a_wrong_type_names_its_field(name: str) -> None:
    kind = next(field.type for field in SCHEMA.fields if field.name == name)
    for value in WRONG[kind]:
        found = faults(GOOD | {name: value}, SCHEMA, NOW)
        assert [(fault.field, fault.reason) for fault in found] == [(name, "wrong_type")], value


def test_an_unknown_field_is_named_and_all_that_is_wrong_is_listed() -> None:
    found = faults(GOOD | {"colour": "blue", "x": "left"}, SCHEMA, NOW)
    assert [(fault.field, fault.reason) for fault in found] == [
        ("colour", "unknown_field"),
        ("x", "wrong_type"),
    ]


def test_an_event_without_id_needs_what_its_id_is_made_of() -> None:
    bare = {name: value for name, value in GOOD.items() if name != "event_id"}
    assert [fault.reason for fault in faults(bare, SCHEMA, NOW)] == ["missing_event_id"]
    whole = bare | {"source": "test", "ordinal": 3}
    assert faults(whole, SCHEMA, NOW) == []
    assert identified(whole) == whole | {"event_id": identify(whole)}
    assert identified(GOOD) == GOOD
