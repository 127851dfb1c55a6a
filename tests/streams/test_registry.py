"""Schema compatibility: every kind of break is named, and nothing is named that readers survive."""

from __future__ import annotations

import io
import json
import uuid
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riftstream.errors import SchemaError, StackError
from riftstream.settings import Settings, get_settings
from streams import registry
from streams.registry import Registry, breaks
from streams.schemas import RecordSchema, all_schemas, for_topic

TIMESTAMP = {"type": "long", "logicalType": "timestamp-millis"}


def record(*fields: dict[str, Any], **more: Any) -> str:
    return json.dumps({"type": "record", "name": "Thing", "key": "a", "fields": fields} | more)


def column(name: str, kind: Any, **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind} | more


A = column("a", "string")

BROKEN = [
    ("new field without default", [A, column("b", "int")], [A], "b", "new and has no default"),
    (
        "nullable becomes required",
        [column("a", "string")],
        [column("a", ["null", "string"])],
        "a",
        "older nulls",
    ),
    ("type changed", [column("a", "int")], [column("a", "string")], "a", "was string and is int"),
    ("type narrowed", [column("a", "int")], [column("a", "long")], "a", "was long and is int"),
    (
        "branch dropped",
        [column("a", ["null", "int"])],
        [column("a", ["null", "int", "string"])],
        "a",
        "was string and is null or int",
    ),
    (
        "item type changed",
        [column("a", {"type": "array", "items": "int"})],
        [column("a", {"type": "array", "items": "string"})],
        "a",
        "was array of string and is array of int",
    ),
    ("logical type dropped", [column("a", "long")], [column("a", TIMESTAMP)], "a", "from timestamp-millis"),
    ("logical type added", [column("a", TIMESTAMP)], [column("a", "long")], "a", "to timestamp-millis"),
]


@pytest.mark.parametrize(
    ("new", "old", "field", "words"), [b[1:] for b in BROKEN], ids=[b[0] for b in BROKEN]
)
def test_a_break_names_its_field_and_why(
    new: list[dict[str, Any]], old: list[dict[str, Any]], field: str, words: str
) -> None:
    found = breaks(record(*new), record(*old))
    assert [reason.field for reason in found] == [field]
    assert words in str(found[0])


def test_every_broken_field_is_named_not_only_the_first() -> None:
    new = record(A, column("b", "int"), column("c", "int"))
    old = record(A, column("b", "string"))
    assert [reason.field for reason in breaks(new, old)] == ["b", "c"]


def test_another_record_name_or_key_is_a_break() -> None:
    assert "was named Thing" in str(breaks(record(A, name="Other"), record(A))[0])
    assert "had the key a and has b" in str(breaks(record(A, key="b"), record(A))[0])


SURVIVED = [
    ("same", [A], [A]),
    ("new nullable field", [A, column("b", ["null", "int"], default=None)], [A]),
    ("field dropped", [A], [A, column("b", "int")]),
    ("required becomes nullable", [column("a", ["null", "string"])], [A]),
    ("widened", [column("a", "double")], [column("a", "int")]),
    ("renamed with alias", [column("b", "string", aliases=["a"])], [A]),
    ("documented", [column("a", "string", doc="The a.")], [A]),
]


@pytest.mark.parametrize(("new", "old"), [s[1:] for s in SURVIVED], ids=[s[0] for s in SURVIVED])
def test_what_readers_survive_is_no_break(new: list[dict[str, Any]], old: list[dict[str, Any]]) -> None:
    assert breaks(record(*new), record(*old)) == []


VALUES: dict[str, Any] = {
    "string": "text",
    "bytes": b"bytes",
    "int": 7,
    "long": 2**40,
    "float": 0.5,
    "double": 0.25,
    "boolean": True,
    "null": None,
}
primitives = st.sampled_from([name for name in VALUES if name != "null"])
kinds = st.one_of(primitives, st.builds(lambda items: {"type": "array", "items": items}, primitives))


@st.composite
def field_types(draw: st.DrawFn) -> Any:
    kind = draw(kinds)
    return ["null", kind] if draw(st.booleans()) else kind


@st.composite
def columns(draw: st.DrawFn) -> list[dict[str, Any]]:
    names = draw(st.lists(st.sampled_from("abcde"), unique=True, min_size=1))
    return [column(name, draw(field_types())) for name in names]


@st.composite
def changed(draw: st.DrawFn) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """New and old columns that share some names, some of them with other types."""
    old, new = draw(columns()), draw(columns())
    before = {c["name"]: c for c in old}
    for place, c in enumerate(new):
        if c["name"] in before and draw(st.booleans()):
            new[place] = before[c["name"]]
        elif isinstance(c["type"], list) and draw(st.booleans()):
            new[place] = c | {"default": None}
    return new, old


def sample(kind: Any) -> Any:
    return [VALUES[kind["items"]]] if isinstance(kind, dict) else VALUES[kind]


def written(schema: str) -> Iterator[bytes]:
    """Records that between them take every branch of every field."""
    fields = json.loads(schema)["fields"]
    branches = {f["name"]: f["type"] if isinstance(f["type"], list) else [f["type"]] for f in fields}
    for turn in range(2):
        values = {name: sample(options[turn % len(options)]) for name, options in branches.items()}
        out = io.BytesIO()
        fastavro.schemaless_writer(out, fastavro.parse_schema(json.loads(schema)), values)
        yield out.getvalue()


def readable(new: str, old: str) -> bool:
    """Whether fastavro's schema resolution reads what the old schema wrote."""
    writer, reader = (fastavro.parse_schema(json.loads(text)) for text in (old, new))
    try:
        for value in written(old):
            fastavro.schemaless_reader(io.BytesIO(value), writer, reader)
    except fastavro.read.SchemaResolutionError:
        return False
    return True


@given(changed())
def test_breaks_are_found_exactly_where_a_real_reader_fails(
    change: tuple[list[dict[str, Any]], list[dict[str, Any]]],
) -> None:
    new, old = (record(*fields) for fields in change)
    assert (breaks(new, old) == []) == readable(new, old)


@given(st.sampled_from(sorted(all_schemas())), st.data())
def test_a_required_field_added_to_any_record_of_ours_is_named(topic: str, data: st.DataObject) -> None:
    raw = json.loads(for_topic(topic).text)
    place = data.draw(st.integers(0, len(raw["fields"])))
    kind = data.draw(field_types())
    raw["fields"].insert(place, column("brand_new", kind, unit="none", doc="New."))
    assert [reason.field for reason in breaks(json.dumps(raw), for_topic(topic).text)] == ["brand_new"]


def test_a_registry_that_is_away_is_said_so_after_some_patience() -> None:
    with pytest.raises(StackError, match="does not answer") as caught:
        Registry("http://127.0.0.1:9/apis/ccompat/v7", patience=0.3).latest("live-matches-value")
    assert "rift up" in caught.value.hint


@pytest.fixture
def settings(stack: object) -> Settings:
    return get_settings()


@pytest.fixture
def schema() -> RecordSchema:
    """A record of ours under a subject that no other test uses."""
    raw = json.loads(for_topic("match-results").text)
    topic = f"registry-test-{uuid.uuid4().hex}"
    return replace(for_topic("match-results"), topic=topic, text=json.dumps(raw | {"topic": topic}))


def with_field(schema: RecordSchema, **more: Any) -> RecordSchema:
    raw = json.loads(schema.text)
    raw["fields"].append({"name": "extra", "unit": "none", "doc": "Extra."} | more)
    return replace(schema, text=json.dumps(raw))


def newest(client: Registry, schema: RecordSchema) -> tuple[int, int, Any]:
    """Id, version and content; registries are free to lay out the text anew."""
    found = client.latest(schema.subject)
    assert found is not None
    return found[0], found[1], json.loads(found[2])


@pytest.mark.stack
def test_a_schema_is_registered_once_and_kept_backward(settings: Settings, schema: RecordSchema) -> None:
    with Registry(settings.registry_url) as client:
        assert client.latest(schema.subject) is None
        assert [change.action for change in registry.plan(settings, [schema])] == ["create"]
        first = client.register(schema)
        assert client.register(schema) == first
        assert newest(client, schema) == (first, 1, json.loads(schema.text))
        assert json.loads(client.schema_by_id(first)) == json.loads(schema.text)
        assert client.compatibility(schema.subject) == "BACKWARD"
        assert registry.plan(settings, [schema]) == []


@pytest.mark.stack
def test_a_nullable_field_makes_a_new_version_and_the_old_one_stays_known(
    settings: Settings, schema: RecordSchema
) -> None:
    wider = with_field(schema, type=["null", "string"], default=None)
    with Registry(settings.registry_url) as client:
        first = client.register(schema)
        assert [c.detail for c in registry.plan(settings, [wider])] == ["register version 2: adds extra"]
        second = client.register(wider)
        assert second != first
        assert client.register(schema) == first
        assert newest(client, schema) == (second, 2, json.loads(wider.text))
        assert registry.plan(settings, [schema]) == registry.plan(settings, [wider]) == []


@pytest.mark.stack
def test_a_break_is_refused_by_us_with_its_field_and_by_the_registry_too(
    settings: Settings, schema: RecordSchema
) -> None:
    broken = with_field(schema, type="string")
    with Registry(settings.registry_url) as client:
        client.register(schema)
        plan = registry.plan(settings, [broken])
        assert [change.action for change in plan] == ["refuse"]
        assert plan[0].detail.startswith("extra is new and has no default")
        with pytest.raises(SchemaError, match="extra is new and has no default"):
            client.register(broken)
        assert len(client.refusal(broken)) == 1
        assert newest(client, schema) == (client.register(schema), 1, json.loads(schema.text))


@pytest.mark.stack
@pytest.mark.parametrize(
    ("new", "old"),
    [b[1:3] for b in BROKEN if "logical" not in b[0]] + [s[1:] for s in SURVIVED],
    ids=[b[0] for b in BROKEN if "logical" not in b[0]] + [s[0] for s in SURVIVED],
)
def test_the_registry_agrees_with_our_own_check(
    settings: Settings, schema: RecordSchema, new: list[dict[str, Any]], old: list[dict[str, Any]]
) -> None:
    before, after = (replace(schema, text=record(*fields)) for fields in (old, new))
    with Registry(settings.registry_url) as client:
        client.register(before)
        assert (client.refusal(after) == []) == (breaks(after.text, before.text) == [])
