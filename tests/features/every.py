"""A view that has every type that a record may have, and records for it."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from features.views import View
from streams.avro import Codec
from streams.schemas import Field, RecordSchema

_TYPES = ("string", "int", "long", "double", "boolean", "bytes", "array<string>", "array<double>")
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=60),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1) | st.integers(-20_000, 20_000),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=60),
    "array<string>": st.lists(st.text(max_size=20), max_size=5),
    "array<double>": st.lists(st.floats(allow_nan=False), max_size=5),
}
TIMES = st.integers(0, 4_000_000_000_000)


def _fields() -> tuple[Field, ...]:
    fixed = (
        Field("player_id", "string", "", False, "none", "The player."),
        Field("event_time", "long", "timestamp-millis", False, "ms since the Unix epoch", "When."),
        Field("source_offset", "long", "", False, "none", "Offset."),
    )
    plain = [Field(f"plain_{place}", kind, "", False, "none", kind) for place, kind in enumerate(_TYPES)]
    nullable = [Field(f"null_{place}", kind, "", True, "none", kind) for place, kind in enumerate(_TYPES)]
    times = [Field(f"time_{n}", "long", "timestamp-millis", bool(n), "ms", "A time.") for n in range(2)]
    return (*fixed, *plain, *nullable, *times)


def _avro(field: Field) -> Any:
    kind: Any = field.type
    if kind.startswith("array"):
        kind = {"type": "array", "items": kind[6:-1]}
    if field.logical:
        kind = {"type": kind, "logicalType": field.logical}
    return ["null", kind] if field.nullable else kind


def _text(fields: tuple[Field, ...]) -> str:
    made = [
        {"name": field.name, "type": _avro(field), **({"default": None} if field.nullable else {})}
        for field in fields
    ]
    return json.dumps({"type": "record", "name": "Every", "fields": made})


SCHEMA = RecordSchema("Every", "every", "player_id", "Every type.", _text(_fields()), _fields())
CODEC = Codec(SCHEMA, 7)


class EveryView(View):
    """The view; its record is no file."""

    @property
    def schema(self) -> RecordSchema:
        return SCHEMA


EVERY = EveryView("every", "every", ("player",), timedelta(days=1))


@st.composite
def records(draw: st.DrawFn) -> dict[str, Any]:
    """A record of some player: few players and times, so that they meet."""
    record = {
        "player_id": draw(st.sampled_from(["Faker", "Perkz", "ナニカ", "a" * 200])),
        "event_time": draw(TIMES | st.integers(1_700_000_000_000, 1_700_000_000_005)),
        "source_offset": draw(st.integers(0, 5) | st.integers(0, 2**62)),
    }
    for field in SCHEMA.fields[3:]:
        values = TIMES if field.logical else VALUES[field.type]
        record[field.name] = draw(st.none() | values if field.nullable else values)
    return record


def newest(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Of each player the newest record; of equal places the last."""
    found: dict[str, dict[str, Any]] = {}
    for row in sorted(rows, key=lambda row: (row["event_time"], row["source_offset"])):
        found[row["player_id"]] = row
    return found
