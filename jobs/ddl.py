"""Flink DDL made from the Avro schemas: what a job's SQL may read and write without declaring it.

A topic is a table of the same name with underscores (``live-matches`` is ``live_matches``). Fields keep their
names and types; ``timestamp-millis`` is a BIGINT, as Flink's Avro has it. A table that a job reads has more
columns than one that it writes:

===================== =========================================================================
``decode_error``      Why a record could not be decoded, one word; null for a good one.
``decode_detail``     The same for people.
``schema_id``         Schema id in the record's frame.
``record_key``        The key's bytes. ``raw_value``: the value's bytes.
``source_topic``      Topic; with ``source_partition`` and ``source_offset`` the place in the log.
``kafka_time``        Broker's timestamp (TIMESTAMP_LTZ(3)).
``log_order``         What ``ORDER BY`` takes to follow the log: processing time live, offset in batch.
``ts``                Event time as time attribute, 5 s out of order; null where it cannot be true.
===================== =========================================================================

Where a record has a field of such a name (a dead letter has ``schema_id`` and ``record_key``), the column is
that field.

A record that names the place in live-matches that it came from has ``source_partition`` and ``source_offset``
as fields of its own. Its place in its own topic is then ``log_topic``, ``log_partition``, ``log_offset`` and
``log_time``, and in batch its ``log_order`` is its event time: offsets of live-matches order no two matches.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from riftstream.settings import Settings
from streams.schemas import Field, RecordSchema, all_schemas

CATALOG = "lake"
OUT_OF_ORDER_S = 5
OLDEST_EVENT_MS = 1_256_601_600_000
"""2009-10-27, the day League of Legends came out."""
NEWEST_EVENT_MS = 300_000
"""How far ahead of now an event's time may lie (ms)."""

FUNCTIONS = {
    "MATCH_STATE": "riftstream.MatchState",
    "EPOCH_MILLIS": "riftstream.EpochMillis",
    "IS_DUPLICATE": "riftstream.IsDuplicate",
    "IS_NEWEST": "riftstream.IsNewest",
    "LINE_UP": "riftstream.LineUp",
    "FORM": "riftstream.Form",
    "CHAMPION_COUNTS": "riftstream.ChampionCounts",
    "SETTLE": "riftstream.Settle",
    "QUALITY": "riftstream.Quality",
}

_TYPES = {
    "string": "STRING",
    "int": "INT",
    "long": "BIGINT",
    "double": "DOUBLE",
    "boolean": "BOOLEAN",
    "bytes": "BYTES",
    "array<string>": "ARRAY<STRING>",
    "array<double>": "ARRAY<DOUBLE>",
}

_RESERVED = (
    "decode_error STRING",
    "decode_detail STRING",
    "schema_id INT",
    "raw_value BYTES",
    "record_key BYTES",
)
_KEY = _RESERVED[-1]
_LARGE = "2097152"

_TS = f"""ts AS CASE
    WHEN event_time BETWEEN {OLDEST_EVENT_MS} AND UNIX_TIMESTAMP() * 1000 + {NEWEST_EVENT_MS}
    THEN TO_TIMESTAMP_LTZ(event_time, 3) END"""


FETCH_WAIT = "rift.source.fetch-wait"
"""Setting of a job: for how many ms at most a fetch waits until it is worth answering, instead of 500."""


STAGES = "rift.batch.stages"
"""Setting of a batch job: views that are computed and written before others read them; stages by commas."""


def table_name(topic: str) -> str:
    """The table that stands for a topic."""
    return topic.replace("-", "_")


def topics(more: Iterable[RecordSchema] = ()) -> dict[str, RecordSchema]:
    """Every record schema, and those that only one job knows, by its table's name."""
    return {table_name(schema.topic): schema for schema in (*all_schemas().values(), *more)}


def derived(schema: RecordSchema) -> bool:
    """Whether a record names the place in live-matches that it came from."""
    return any(field.name == "source_offset" for field in schema.fields)


def place(schema: RecordSchema) -> tuple[str, str, str, str]:
    """The columns that hold a record's topic, partition, offset and broker's timestamp."""
    if derived(schema):
        return "log_topic", "log_partition", "log_offset", "log_time"
    return "source_topic", "source_partition", "source_offset", "kafka_time"


def functions() -> list[str]:
    """Statements that make our JVM functions known."""
    return [f"CREATE TEMPORARY FUNCTION {name} AS '{cls}' LANGUAGE JAVA" for name, cls in FUNCTIONS.items()]


def group(job: str) -> str:
    """Name of the consumer group that a job reads topics as."""
    return f"rift-{job}"


def source(
    schema: RecordSchema, settings: Settings, reader: str, options: Mapping[str, str] | None = None
) -> str:
    """DDL of a topic as a table to read from.

    Args:
        schema: The record that the topic carries; a field ``event_time`` becomes the time attribute.
        settings: Where Kafka and the registry are.
        reader: Consumer group; committed offsets are for the eye, state decides where a job goes on.
        options: More options of the connector, or other values of them.
    """
    topic, partition, offset, time = place(schema)
    columns = [*map(_column, schema.fields), *_reserved(schema)]
    columns += [
        f"{topic} STRING METADATA FROM 'topic' VIRTUAL",
        f"{partition} INT METADATA FROM 'partition' VIRTUAL",
        f"{offset} BIGINT METADATA FROM 'offset' VIRTUAL",
        f"{time} TIMESTAMP_LTZ(3) METADATA FROM 'timestamp' VIRTUAL",
        "log_order AS PROCTIME()",
    ]
    if any(field.name == "event_time" for field in schema.fields):
        columns += [_TS, f"WATERMARK FOR ts AS ts - INTERVAL '{OUT_OF_ORDER_S}' SECOND"]
    connector = {
        **_kafka(schema, settings),
        "properties.group.id": reader,
        "properties.isolation.level": "read_committed",
        # Few large fetches: a fetch for each record would cost more than the record.
        "properties.fetch.min.bytes": "65536",
        "properties.fetch.max.wait.ms": "500",
        "scan.startup.mode": "earliest-offset",
    }
    if _KEY in _reserved(schema):
        connector |= {
            "key.format": "raw",
            "key.fields": "record_key",
            "value.fields-include": "EXCEPT_KEY",
        }
    if any(field.type == "bytes" for field in schema.fields):
        # A dead letter holds a whole record, of up to Kafka's 1 MiB.
        connector["value.rift-avro.max-bytes"] = _LARGE
    return _create(table_name(schema.topic), columns, connector | dict(options or {}))


def sink(schema: RecordSchema, settings: Settings, options: Mapping[str, str] | None = None) -> str:
    """DDL of a topic as a table to write to. Records are keyed by the schema's key and written at least once.

    Args:
        schema: The record that the topic carries.
        settings: Where Kafka and the registry are.
        options: More options of the connector, or other values of them.
    """
    connector = {
        **_kafka(schema, settings),
        "value.rift-avro.subject": schema.subject,
        "key.format": "raw",
        "key.fields": schema.key,
        "sink.delivery-guarantee": "at-least-once",
        "properties.compression.type": "lz4",
        "properties.linger.ms": "5",
        "properties.batch.size": "131072",
        # Records that come while a request is under way go out together with the next.
        "properties.max.in.flight.requests.per.connection": "1",
        # A dead letter holds a whole record, of up to Kafka's 1 MiB, and what is said about it.
        "properties.max.request.size": _LARGE,
    }
    columns = map(_column, schema.fields)
    return _create(table_name(schema.topic), columns, connector | dict(options or {}))


def batch_source(schema: RecordSchema, rows: str) -> str:
    """DDL that puts a finished set of rows in the place of a topic, for batch mode.

    Args:
        schema: The record that the topic carries.
        rows: A query whose columns are the schema's fields and, where those do not name a place in
            live-matches, ``source_topic``, ``source_partition``, ``source_offset``, ``kafka_time``.

    The view has every column that the topic's table has; nothing in it failed to decode, and ``log_order`` is
    the offset, or the event time of records that were made of others.
    """
    columns = [f"`{field.name}`" for field in schema.fields]
    missing = dict(map(str.split, _reserved(schema)))
    if derived(schema):
        missing |= dict(zip(place(schema), ("STRING", "INT", "BIGINT", "TIMESTAMP_LTZ(3)"), strict=True))
    else:
        columns += place(schema)
    columns += [f"CAST(NULL AS {kind}) AS {name}" for name, kind in missing.items()]
    order = "event_time" if derived(schema) else "source_offset"
    columns += [f"{order} AS log_order", _TS.removeprefix("ts AS ") + " AS ts"]
    query = f"SELECT {', '.join(columns)} FROM ({rows})"  # noqa: S608
    return f"CREATE TEMPORARY VIEW {table_name(schema.topic)} AS {query}"


def catalog(settings: Settings) -> str:
    """DDL of the Iceberg catalog ``lake``."""
    return _with(
        f"CREATE CATALOG {CATALOG}",
        {
            "type": "iceberg",
            "catalog-impl": "org.apache.iceberg.rest.RESTCatalog",
            "uri": settings.catalog_uri,
            "warehouse": settings.catalog_warehouse,
            "credential": f"{settings.s3_access_key}:{settings.s3_secret_key.get_secret_value()}",
            "io-impl": "org.apache.iceberg.aws.s3.S3FileIO",
            "s3.endpoint": settings.s3_endpoint,
            "s3.access-key-id": settings.s3_access_key,
            "s3.secret-access-key": settings.s3_secret_key.get_secret_value(),
            "s3.path-style-access": "true",
            "client.region": settings.s3_region,
        },
    )


def folder_catalog(name: str, folder: Path) -> list[str]:
    """Statements that make an Iceberg catalog in a folder, with a database ``batch``."""
    options = {"type": "iceberg", "catalog-type": "hadoop", "warehouse": folder.absolute().as_uri()}
    return [_with(f"CREATE CATALOG {name}", options), f"CREATE DATABASE {name}.batch"]


def column_type(field: Field) -> str:
    """The SQL type of a field."""
    return _TYPES[field.type]


def literal(text: str) -> str:
    """Text as an SQL string literal."""
    return "'" + text.replace("'", "''") + "'"


def _reserved(schema: RecordSchema) -> tuple[str, ...]:
    """The reserved columns of a topic's table: those whose names the record does not have itself."""
    own = {field.name for field in schema.fields}
    return tuple(column for column in _RESERVED if column.split()[0] not in own)


def _column(field: Field) -> str:
    return f"`{field.name}` {column_type(field)}"


def _kafka(schema: RecordSchema, settings: Settings) -> dict[str, str]:
    return {
        "connector": "kafka",
        "topic": schema.topic,
        "properties.bootstrap.servers": settings.kafka_bootstrap,
        "value.format": "rift-avro",
        "value.rift-avro.url": settings.registry_url,
        "value.rift-avro.schema": schema.text,
    }


def _create(name: str, columns: Iterable[str], options: Mapping[str, str]) -> str:
    return _with(f"CREATE TEMPORARY TABLE {name} (\n  " + ",\n  ".join(columns) + "\n)", options)


def _with(statement: str, options: Mapping[str, str]) -> str:
    pairs = ",\n  ".join(f"{literal(key)} = {literal(value)}" for key, value in options.items())
    return f"{statement} WITH (\n  {pairs}\n)"
