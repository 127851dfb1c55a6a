"""Our generated Avro code reads and writes exactly what the Avro specification says (fastavro as witness)."""

from __future__ import annotations

import io
import math
from typing import Any

import fastavro
import pytest
from hypothesis import given
from hypothesis import strategies as st

from riftstream.errors import SchemaError
from streams import avro
from streams.schemas import Field, RecordSchema, all_schemas, for_topic

VALUES: dict[str, st.SearchStrategy[Any]] = {
    "string": st.text(max_size=200),
    "int": st.integers(-(2**31), 2**31 - 1),
    "long": st.integers(-(2**63), 2**63 - 1),
    "double": st.floats(allow_nan=False),
    "boolean": st.booleans(),
    "bytes": st.binary(max_size=200),
    "array<string>": st.lists(st.text(max_size=20), max_size=6),
    "array<double>": st.lists(st.floats(allow_nan=False), max_size=6),
}


def value_of(field: Field) -> st.SearchStrategy[Any]:
    values = st.integers(-(2**45), 2**45) if field.logical else VALUES[field.type]
    return st.none() | values if field.nullable else values


@st.composite
def records(draw: st.DrawFn, schema: RecordSchema) -> dict[str, Any]:
    required = {f.name: value_of(f) for f in schema.fields if not f.nullable}
    optional = {f.name: value_of(f) for f in schema.fields if f.nullable}
    return dict(draw(st.fixed_dictionaries(required, optional=optional)))


def plain(schema: RecordSchema) -> Any:
    return avro.plain_schema(schema.text)


def by_fastavro(schema: RecordSchema, record: dict[str, Any], schema_id: int) -> bytes:
    body = io.BytesIO()
    fastavro.schemaless_writer(body, plain(schema), record)
    return b"\x00" + schema_id.to_bytes(4, "big") + body.getvalue()


def filled(schema: RecordSchema, record: dict[str, Any]) -> dict[str, Any]:
    return {field.name: record.get(field.name) for field in schema.fields}


@pytest.mark.parametrize("topic", sorted(all_schemas()))
@given(data=st.data())
def test_encoding_equals_fastavro_and_decoding_gives_the_record_back(topic: str, data: st.DataObject) -> None:
    schema = for_topic(topic)
    codec = avro.Codec(schema, 41)
    record = data.draw(records(schema))
    frame = codec.encode(record)
    assert frame == by_fastavro(schema, record, 41)
    assert codec.decode(frame) == filled(schema, record)


@given(data=st.data())
def test_projection_reads_the_same_values_as_a_full_decode(data: st.DataObject) -> None:
    schema = for_topic("live-matches")
    codec = avro.Codec(schema, 3)
    record = data.draw(records(schema))
    columns = data.draw(st.lists(st.sampled_from([f.name for f in schema.fields]), unique=True))
    assert codec.projection(columns)(codec.encode(record)) == tuple(record.get(name) for name in columns)


@given(data=st.data(), cut=st.integers(0, 400))
def test_a_truncated_frame_is_refused(data: st.DataObject, cut: int) -> None:
    schema = for_topic("match-features")
    codec = avro.Codec(schema, 3)
    frame = codec.encode(data.draw(records(schema)))
    if cut < len(frame):
        with pytest.raises(SchemaError, match="not a MatchFeatures"):
            codec.decode(frame[:cut])


@given(st.binary(max_size=300))
def test_garbage_is_refused_or_decodes_to_something_that_encodes_again(body: bytes) -> None:
    codec = avro.Codec(for_topic("live-matches"), 3)
    try:
        record = codec.decode(codec.header + body)
    except SchemaError:
        return
    assert codec.decode(codec.encode(record)) == record


def test_bytes_after_the_record_are_refused() -> None:
    codec = avro.Codec(for_topic("live-matches"), 3)
    with pytest.raises(SchemaError, match="ends elsewhere"):
        codec.decode(codec.encode({"match_id": "a"}) + b"\x00")


@pytest.mark.parametrize(
    ("record", "sentence"),
    [
        ({"matchid": "a"}, "no field matchid"),
        ({"match_id": 5}, "MatchEvent.match_id must be string, not 5"),
        ({"game_time_ms": "5"}, "MatchEvent.game_time_ms must be long, not '5'"),
        ({"game_time_ms": 1.5}, "MatchEvent.game_time_ms must be long, not 1.5"),
        ({"ordinal": 2**31}, "MatchEvent.ordinal must be int, not 2147483648"),
        ({"game_time_ms": 2**63}, "MatchEvent.game_time_ms must be long"),
        ({"kills": True}, "MatchEvent.kills must be int, not True"),
        ({"assist_ids": "abc"}, "MatchEvent.assist_ids must be array<string>, not 'abc'"),
        ({"assist_ids": ["a", None]}, "MatchEvent.assist_ids must be array<string>"),
    ],
)
def test_a_bad_record_is_refused_with_its_field_named(record: dict[str, Any], sentence: str) -> None:
    with pytest.raises(SchemaError) as refused:
        avro.Codec(for_topic("live-matches"), 1).encode(record)
    assert sentence in str(refused.value)


def test_a_missing_required_field_is_named() -> None:
    with pytest.raises(SchemaError, match="DeadLetter needs the field dead_letter_id"):
        avro.Codec(for_topic("dead-letters"), 1).encode({"source_topic": "x"})


def test_a_null_in_a_required_field_is_named() -> None:
    codec = avro.Codec(for_topic("predictions"), 1)
    record = {f.name: None for f in codec.schema.fields}
    with pytest.raises(SchemaError, match=r"Prediction\.prediction_id must not be null"):
        codec.encode(record)


def test_a_frame_of_another_schema_version_is_resolved() -> None:
    older = (
        '{"type": "record", "name": "MatchEvent", "namespace": "riftstream", "fields": ['
        '{"name": "gone", "type": "string"}, {"name": "match_id", "type": ["null", "string"]}]}'
    )
    body = io.BytesIO()
    fastavro.schemaless_writer(
        body, fastavro.parse_schema(__import__("json").loads(older)), {"gone": "x", "match_id": "m"}
    )
    codec = avro.Codec(for_topic("live-matches"), 9, {8: older}.__getitem__)
    frame = b"\x00" + (8).to_bytes(4, "big") + body.getvalue()
    assert codec.decode(frame)["match_id"] == "m"
    assert codec.projection(["winner", "match_id"])(frame) == (None, "m")


def test_a_frame_of_an_unknown_version_is_refused_where_no_registry_is_at_hand() -> None:
    with pytest.raises(SchemaError, match="schema id 8"):
        avro.Codec(for_topic("live-matches"), 9).decode(b"\x00\x00\x00\x00\x08abc")


def test_doubles_keep_nan() -> None:
    codec = avro.Codec(for_topic("model-quality"), 1)
    record = {f.name: {"string": "a", "int": 1, "long": 1}.get(f.type) for f in codec.schema.fields}
    record["brier"] = math.nan
    assert math.isnan(codec.decode(codec.encode(record))["brier"])
