"""The format rift-avro: what the Python codec writes it reads; whatever else comes is told apart."""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from jobs import ddl
from streams.avro import Codec, Record
from streams.schemas import Field, RecordSchema, for_topic
from tests.jobs.conftest import FakeRegistry

EVENT = for_topic("live-matches")
PREDICTION = for_topic("predictions")
RESERVED = ("decode_error", "decode_detail", "schema_id", "raw_value")
ID = 7

GOOD: Record = {field.name: None for field in EVENT.fields} | {
    "event_id": "e1",
    "match_id": "TRLH1/30030",
    "event_type": "CHAMPION_KILL",
    "event_time": 1497000000123,
    "game_time_ms": 61_000,
    "player_id": "Bjergsen Å 김",
    "assist_ids": ["Doublelift", "", "Sven"],
    "x": -5,
}


class Decoder:
    """The format's reader in the JVM, as Kafka's connector calls it."""

    def __init__(
        self, jvm: Any, schema: RecordSchema, url: str, columns: list[Field], max_bytes: int
    ) -> None:
        types = jvm.org.apache.flink.table.api.DataTypes
        kinds = {
            "string": types.STRING(),
            "int": types.INT(),
            "long": types.BIGINT(),
            "double": types.DOUBLE(),
            "boolean": types.BOOLEAN(),
            "bytes": types.BYTES(),
            "array<string>": types.ARRAY(types.STRING()),
            "array<double>": types.ARRAY(types.DOUBLE()),
        }
        reserved = [types.STRING(), types.STRING(), types.INT(), types.BYTES()]
        own = {field.name for field in columns}
        self._reserved = [name for name in RESERVED if name not in own]
        fields = [types.FIELD(field.name, kinds[field.type]) for field in columns]
        fields += [
            types.FIELD(name, kind) for name, kind in zip(RESERVED, reserved, strict=True) if name not in own
        ]
        java_list = jvm.java.util.ArrayList()
        for field in fields:
            java_list.add(field)
        options = jvm.org.apache.flink.configuration.Configuration()
        options.setString("url", url)
        options.setString("schema", schema.text)
        options.setString("max-bytes", str(max_bytes))
        context = jvm.org.apache.flink.table.runtime.connector.source.ScanRuntimeProviderContext.INSTANCE
        decoding = jvm.riftstream.RiftAvroFormat().createDecodingFormat(None, options)
        self._decoder = decoding.createRuntimeDecoder(context, types.ROW(java_list))
        self._decoder.open(None)
        self._columns = columns

    def __call__(self, value: bytes | None) -> tuple[Record, Record]:
        """The record's fields and the reserved columns of the row that a value becomes."""
        row = self._decoder.deserialize(value)
        names = [field.name for field in self._columns]
        record = {name: _python(row.getField(place)) for place, name in enumerate(names)}
        reserved = {name: _python(row.getField(len(names) + n)) for n, name in enumerate(self._reserved)}
        return record, reserved


def _python(value: Any) -> Any:
    if value is None or isinstance(value, (int, float, bool, bytes, str)):
        return value
    if value.getClass().getSimpleName() == "GenericArrayData":
        return [_python(item) for item in value.toObjectArray()]
    return str(value)


def decoder(
    jvm: Any, registry: FakeRegistry, schema: RecordSchema = EVENT, *, max_bytes: int = 65_536
) -> Decoder:
    return Decoder(jvm, schema, registry.url, list(schema.fields), max_bytes)


def changed(schema: RecordSchema, change: Any) -> RecordSchema:
    """A schema after a change of its raw JSON."""
    raw = json.loads(schema.text)
    change(raw)
    return RecordSchema(schema.name, schema.topic, schema.key, schema.doc, json.dumps(raw), schema.fields)


def written_with(raw: dict[str, Any], record: Record, schema_id: int = ID) -> bytes:
    """A record's frame by an independent writer."""
    import io

    import fastavro

    out = io.BytesIO()
    fastavro.schemaless_writer(out, fastavro.parse_schema(raw), record)
    return struct.pack(">bI", 0, schema_id) + out.getvalue()


@pytest.fixture
def known(registry: FakeRegistry) -> FakeRegistry:
    """A registry that knows MatchEvent."""
    registry.schemas[ID] = EVENT.text
    return registry


@pytest.fixture(scope="module")
def readers(jvm: Any) -> Any:
    """Readers of MatchEvent and Prediction that outlive single examples."""
    registry = FakeRegistry()
    registry.schemas = {ID: EVENT.text, ID + 1: PREDICTION.text}
    yield decoder(jvm, registry), decoder(jvm, registry, PREDICTION)
    registry.close()


def _values(field: Field) -> st.SearchStrategy[Any]:
    of = {
        "string": st.text(max_size=40),
        "int": st.integers(-(2**31), 2**31 - 1),
        "long": st.integers(-(2**63), 2**63 - 1),
        "double": st.floats(allow_nan=False),
        "boolean": st.booleans(),
        "array<string>": st.lists(st.text(max_size=9), max_size=5),
        "array<double>": st.lists(st.floats(allow_nan=False), max_size=5),
    }[field.type]
    return st.none() | of if field.nullable else of


def _records(schema: RecordSchema) -> st.SearchStrategy[Record]:
    return st.fixed_dictionaries({field.name: _values(field) for field in schema.fields})


EXAMPLES = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))


@EXAMPLES
@given(record=_records(EVENT))
def test_a_match_event_of_the_python_codec_is_read_whole(readers: Any, record: Record) -> None:
    value = Codec(EVENT, ID).encode(record)
    if len(value) <= 65_536:
        found, reserved = readers[0](value)
        assert reserved == {"decode_error": None, "decode_detail": None, "schema_id": ID, "raw_value": value}
        assert found == record


@EXAMPLES
@given(record=_records(PREDICTION))
def test_doubles_booleans_and_their_lists_are_read_too(readers: Any, record: Record) -> None:
    found, reserved = readers[1](Codec(PREDICTION, ID + 1).encode(record))
    assert reserved["decode_error"] is None
    assert found == record


@EXAMPLES
@given(tail=st.binary(max_size=300))
def test_no_bytes_make_the_reader_throw(readers: Any, tail: bytes) -> None:
    for value in (tail, struct.pack(">bI", 0, ID) + tail):
        _, reserved = readers[0](value)
        assert reserved["raw_value"] == value


def test_a_record_cut_off_anywhere_is_undecodable_and_the_next_one_is_read(
    jvm: Any, known: FakeRegistry
) -> None:
    read = decoder(jvm, known)
    value = Codec(EVENT, ID).encode(GOOD)
    for length in range(5, len(value)):
        record, reserved = read(value[:length])
        assert reserved["decode_error"] == "undecodable", length
        assert set(record.values()) == {None}
    assert read(value)[0] == GOOD


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (None, "tombstone"),
        (b"", "empty"),
        (b"\x00", "not_framed"),
        (b"\x00\x00\x00\x07", "not_framed"),
        (b"\x01\x00\x00\x00\x07rest", "not_framed"),
        (b"not avro at all", "not_framed"),
        (b"\x00\x00\x00\x00\x63", "unknown_schema_id"),
        (b"\x00\xff\xff\xff\xff", "unknown_schema_id"),
        (Codec(EVENT, ID).encode(GOOD) + b"\x00", "undecodable"),
        (b"\x00\x00\x00\x00\x07" + b"\xff" * 40, "undecodable"),
        (b"\x00\x00\x00\x00\x07\x02\xfe\xff\xff\xff\x0f", "undecodable"),
        (b"\x00\x00\x00\x00\x07\x02\x04\xff\xfe" + b"\x00" * 45, "undecodable"),
    ],
    ids=lambda case: repr(case)[:40],
)
def test_what_is_not_a_record_is_told_apart_by_a_word(
    jvm: Any, known: FakeRegistry, value: bytes | None, reason: str
) -> None:
    read = decoder(jvm, known)
    record, reserved = read(value)
    assert reserved["decode_error"] == reason
    assert reserved["decode_detail"]
    assert reserved["raw_value"] == value
    assert set(record.values()) == {None}
    assert read(Codec(EVENT, ID).encode(GOOD))[0] == GOOD


def test_the_longest_value_that_is_read_can_be_set(jvm: Any, known: FakeRegistry) -> None:
    value = Codec(EVENT, ID).encode(GOOD)
    assert decoder(jvm, known, max_bytes=len(value))(value)[1]["decode_error"] is None
    assert decoder(jvm, known, max_bytes=len(value) - 1)(value)[1]["decode_error"] == "oversized"


def test_a_schema_is_asked_for_once(jvm: Any, known: FakeRegistry) -> None:
    read = decoder(jvm, known)
    for _ in range(5):
        read(Codec(EVENT, ID).encode(GOOD))
        read(b"\x00\x00\x00\x00\x63")
    assert known.asked == [f"/schemas/ids/{ID}", "/schemas/ids/99"]


def test_a_broken_registry_stops_the_reader_and_puts_no_good_record_aside(
    jvm: Any, known: FakeRegistry
) -> None:
    known.failure = 500
    read = decoder(jvm, known)
    value = Codec(EVENT, ID).encode(GOOD)
    with pytest.raises(Exception, match="answered 500"):
        read(value)
    known.failure = 0
    assert read(value)[0] == GOOD


def test_another_404_than_that_of_an_unknown_schema_stops_the_reader(jvm: Any, known: FakeRegistry) -> None:
    known.failure = 404
    with pytest.raises(Exception, match="answered 404"):
        decoder(jvm, known)(Codec(EVENT, ID).encode(GOOD))


def test_a_registry_that_is_away_stops_the_reader(jvm: Any, known: FakeRegistry) -> None:
    read = decoder(jvm, known)
    known.close()
    with pytest.raises(Exception, match="does not answer"):
        read(Codec(EVENT, ID).encode(GOOD))


def test_a_field_that_a_newer_writer_added_is_stepped_over(jvm: Any, registry: FakeRegistry) -> None:
    kinds: list[Any] = [
        "float",
        ["null", {"type": "map", "values": "long"}],
        {
            "type": "array",
            "items": {"type": "record", "name": "P", "fields": [{"name": "x", "type": "double"}]},
        },
        {"type": "fixed", "name": "F", "size": 3},
        {"type": "enum", "name": "E", "symbols": ["A", "B"]},
        ["null", "bytes", "string", "int"],
    ]
    samples: list[Any] = [1.5, {"a": 1, "b": -9}, [{"x": 0.5}, {"x": 2.5}], b"abc", "B", "text"]
    raw = json.loads(EVENT.text)
    for n, kind in enumerate(kinds):
        raw["fields"].insert(2 * n, {"name": f"new_{n}", "type": kind})
    registry.schemas[ID] = json.dumps(raw)
    record = GOOD | {f"new_{n}": sample for n, sample in enumerate(samples)}
    assert decoder(jvm, registry)(written_with(raw, record))[0] == GOOD


def test_fields_in_another_order_or_missing_are_found_by_name(jvm: Any, registry: FakeRegistry) -> None:
    raw = json.loads(EVENT.text)
    raw["fields"] = [field for field in reversed(raw["fields"]) if field["name"] != "x"]
    registry.schemas[ID] = json.dumps(raw)
    assert decoder(jvm, registry)(written_with(raw, GOOD))[0] == GOOD | {"x": None}


def test_types_that_avro_promotes_are_read(jvm: Any, registry: FakeRegistry) -> None:
    raw = json.loads(EVENT.text)
    by_name = {field["name"]: field for field in raw["fields"]}
    for name in ("game_time_ms", "player_id", "event_type"):
        del by_name[name]["default"]
    by_name["game_time_ms"]["type"] = "int"
    by_name["player_id"]["type"] = ["string", "null"]
    by_name["event_type"]["type"] = "bytes"
    registry.schemas[ID] = json.dumps(raw)
    value = written_with(raw, GOOD | {"event_type": b"CHAMPION_KILL"})
    assert decoder(jvm, registry)(value)[0] == GOOD


@pytest.mark.parametrize(
    ("change", "word"),
    [
        (lambda raw: raw.update(name="Other"), "Other"),
        (lambda raw: raw["fields"].pop(1), "match_id"),
        (lambda raw: raw["fields"][4].update(type="string"), "game_time_ms"),
        (lambda raw: raw["fields"][19].update(type={"type": "array", "items": "int"}), "assist_ids"),
    ],
    ids=["another name", "no match_id", "another type", "other items"],
)
def test_a_writer_whose_record_is_not_ours_is_a_wrong_schema(
    jvm: Any, registry: FakeRegistry, change: Any, word: str
) -> None:
    registry.schemas[ID] = changed(EVENT, change).text
    _, reserved = decoder(jvm, registry)(Codec(EVENT, ID).encode(GOOD))
    assert reserved["decode_error"] == "wrong_schema"
    assert word in reserved["decode_detail"]


def test_what_flink_writes_the_python_codec_reads(batch: Any, registry: FakeRegistry, tmp_path: Path) -> None:
    record = {
        "prediction_id": "p€",
        "probability": 0.625,
        "distribution": [0.5, 0.25, -0.0],
        "source_partition": 2**31 - 1,
        "source_offset": -(2**63),
        "degraded": True,
        "watermark": None,
    }
    filled = {field.name: _sample(field) for field in PREDICTION.fields if not field.nullable} | record
    literals = ", ".join(_literal(field, filled.get(field.name)) for field in PREDICTION.fields)
    columns = ", ".join(f"`{field.name}` {ddl.column_type(field)}" for field in PREDICTION.fields)
    batch.execute_sql(f"""CREATE TEMPORARY TABLE written_predictions ({columns}) WITH (
        'connector' = 'filesystem', 'path' = '{tmp_path.as_uri()}', 'format' = 'rift-avro',
        'rift-avro.url' = '{registry.url}', 'rift-avro.subject' = 'predictions-value',
        'rift-avro.schema' = {ddl.literal(PREDICTION.text)})""")
    batch.execute_sql(f"INSERT INTO written_predictions VALUES ({literals})").wait()  # noqa: S608
    batch.execute_sql("DROP TEMPORARY TABLE written_predictions")
    (value,) = (file.read_bytes()[:-1] for file in tmp_path.rglob("part-*"))
    (schema_id,) = registry.schemas
    assert Codec(PREDICTION, schema_id).decode(value) == {f.name: None for f in PREDICTION.fields} | filled


def test_null_in_a_field_that_must_not_be_null_is_an_error_that_names_it(
    batch: Any, registry: FakeRegistry, tmp_path: Path
) -> None:
    batch.execute_sql(f"""CREATE TEMPORARY TABLE nulls (request_id STRING, model_name STRING,
        subject_type STRING, subject_id STRING, requested_at BIGINT) WITH (
        'connector' = 'filesystem', 'path' = '{tmp_path.as_uri()}', 'format' = 'rift-avro',
        'rift-avro.url' = '{registry.url}', 'rift-avro.subject' = 'prediction-requests-value',
        'rift-avro.schema' = {ddl.literal(for_topic("prediction-requests").text)})""")
    with pytest.raises(Exception, match=r"PredictionRequest\.subject_id must not be null"):
        batch.execute_sql("INSERT INTO nulls VALUES ('r', 'm', 's', CAST(NULL AS STRING), 1)").wait()
    batch.execute_sql("DROP TEMPORARY TABLE nulls")


def _sample(field: Field) -> Any:
    return {"string": field.name, "int": 5, "long": 10, "boolean": False}[field.type]


def _literal(field: Field, value: Any) -> str:
    kind = ddl.column_type(field)
    if value is None:
        return f"CAST(NULL AS {kind})"
    if isinstance(value, list):
        return f"ARRAY[{', '.join(f'CAST({item!r} AS DOUBLE)' for item in value)}]"
    if value == -(2**63):
        return "CAST(-9223372036854775807 - 1 AS BIGINT)"
    return f"CAST({ddl.literal(value) if isinstance(value, str) else value} AS {kind})"


def test_a_field_that_is_named_like_a_reserved_column_is_the_records(
    jvm: Any, registry: FakeRegistry
) -> None:
    letters = for_topic("dead-letters")
    registry.schemas[ID] = letters.text
    letter = dict.fromkeys(field.name for field in letters.fields) | {
        "dead_letter_id": "live-matches:0:1",
        "source_topic": "live-matches",
        "source_partition": 0,
        "source_offset": 1,
        "stage": "decode",
        "reason": "not_framed",
        "schema_id": 77,
        "first_seen": 1,
    }
    record, _ = decoder(jvm, registry, letters)(written_with(json.loads(letters.text), letter))
    assert record["schema_id"] == 77
