"""History for batch mode: finished events, from the lake or from a file, as rows that stand for a topic."""

from __future__ import annotations

import gzip
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from jobs import ddl
from riftstream.errors import JobError
from riftstream.settings import Settings
from streams.schemas import Field, RecordSchema

TOPIC = "live-matches"
"""The topic whose history is kept: all others are made of it."""

_BATCH = 10_000


@dataclass(frozen=True)
class Rows:
    """Rows that stand for a topic.

    Attributes:
        setup: Statements that make known what the query reads.
        query: Gives the record's fields and the place in the log, see ``ddl.batch_source``.
    """

    setup: tuple[str, ...]
    query: str


@dataclass(frozen=True)
class Chosen:
    """Which events of history are read.

    Attributes:
        matches: Only these match ids; None for all.
        since_ms: Only events at or after this event time (ms since the Unix epoch); None for no bound.
        until_ms: Only events before this event time.
        snapshot_id: Iceberg snapshot of ``raw.match_events`` that is read; None for the newest.
    """

    matches: Collection[str] | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    snapshot_id: int | None = None


ALL = Chosen()


def from_lake(schema: RecordSchema, settings: Settings, chosen: Chosen = ALL) -> Rows:
    """The accepted events of ``raw.match_events`` that are chosen; partitions of other days are not read."""
    columns = [
        f"EPOCH_MILLIS(`{f.name}`) AS `{f.name}`" if f.logical else f"`{f.name}`" for f in schema.fields
    ]
    columns += [
        "source_topic",
        "source_partition",
        "source_offset",
        "CAST(kafka_time AS TIMESTAMP_LTZ(3)) AS kafka_time",
    ]
    table = f"{ddl.CATALOG}.`raw`.match_events"
    if chosen.snapshot_id is not None:
        table += f" /*+ OPTIONS('snapshot-id' = '{chosen.snapshot_id}') */"
    query = f"SELECT {', '.join(columns)} FROM {table}{_where(chosen)}"  # noqa: S608
    return Rows((ddl.catalog(settings),), query)


def fullest(rows: Rows) -> Rows:
    """The same events, each match as one source tells it.

    Where a source tells a match from MATCH_START to its end, only the events of the source that does so with
    the most events are left: a match that came live and again in a batch would else count everything twice.
    Where none does, all events are left.
    """
    sources = f"""SELECT match_id, COALESCE(source, '') AS teller,
          MAX(CASE WHEN event_type = 'MATCH_START' THEN 1 ELSE 0 END)
            * MAX(CASE WHEN event_type IN ('MATCH_END', 'REMAKE') THEN 1 ELSE 0 END) AS whole,
          COUNT(DISTINCT event_id) AS told
        FROM ({rows.query}) GROUP BY match_id, COALESCE(source, '')"""  # noqa: S608
    first = f"""SELECT match_id, teller, whole, ROW_NUMBER() OVER (
          PARTITION BY match_id ORDER BY whole DESC, told DESC, teller) AS place FROM ({sources})"""  # noqa: S608
    query = f"""SELECT e.* FROM ({rows.query}) AS e
      JOIN ({first}) AS f ON f.match_id = e.match_id
      WHERE f.place = 1 AND (f.whole = 0 OR f.teller = COALESCE(e.source, ''))"""  # noqa: S608
    return Rows(rows.setup, query)


def from_file(schema: RecordSchema, file: Path, chosen: Chosen, folder: Path) -> Rows:
    """The events of a file, JSON lines or Parquet, in the order of its rows.

    Args:
        schema: The record that they are.
        file: The file.
        chosen: Which of them.
        folder: Takes a copy of the file in which every row has its place in the log.

    Raises:
        JobError: The file cannot be read.
    """
    copy = folder / "events.jsonl"
    try:
        with copy.open("wb") as out:
            wanted = None if chosen.matches is None else frozenset(chosen.matches)
            for number, event in enumerate(_events(file)):
                if wanted is not None and event.get("match_id") not in wanted:
                    continue
                row = _placed(schema.fields, event, number)
                if _within(row.get("event_time"), chosen):
                    out.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    except (OSError, ValueError) as cause:
        raise JobError(f"{file} holds no events that can be read: {cause}.") from cause
    columns = [f"`{field.name}` {ddl.column_type(field)}" for field in schema.fields]
    columns += ["source_partition INT", "source_offset BIGINT", "kafka_ms BIGINT"]
    table = f"""CREATE TEMPORARY TABLE history ({", ".join(columns)}) WITH (
        'connector' = 'filesystem', 'path' = {ddl.literal(copy.as_uri())}, 'format' = 'json')"""
    names = ", ".join(f"`{field.name}`" for field in schema.fields)
    topic = f"{ddl.literal(schema.topic)} AS source_topic"
    place = "source_partition, source_offset, TO_TIMESTAMP_LTZ(kafka_ms, 3) AS kafka_time"
    query = f"SELECT {names}, {topic}, {place} FROM history"  # noqa: S608
    return Rows((table,), query)


def _events(file: Path) -> Iterator[dict[str, Any]]:
    if file.suffix == ".parquet":
        import pyarrow.parquet as pq

        for batch in pq.ParquetFile(file).iter_batches(_BATCH):
            yield from batch.to_pylist()
    else:
        with gzip.open(file) if file.suffix == ".gz" else file.open("rb") as lines:
            for line in lines:
                if line.strip():
                    yield orjson.loads(line)


def _placed(fields: Iterable[Field], event: dict[str, Any], number: int) -> dict[str, Any]:
    """An event with its place in the log: its own where it has one, else the row's number."""
    row = {field.name: _milliseconds(event.get(field.name)) for field in fields}
    kafka_time = _milliseconds(event.get("kafka_time"))
    return row | {
        "source_partition": event.get("source_partition", 0),
        "source_offset": event.get("source_offset", number),
        "kafka_ms": row.get("event_time") if kafka_time is None else kafka_time,
    }


def _milliseconds(value: Any) -> Any:
    """Timestamps of Parquet files as ms since the Unix epoch; other values as they are."""
    return round(value.timestamp() * 1000) if hasattr(value, "timestamp") else value


def _within(event_time: int | None, chosen: Chosen) -> bool:
    if chosen.since_ms is None and chosen.until_ms is None:
        return True
    return event_time is not None and (chosen.since_ms or 0) <= event_time < (
        chosen.until_ms or event_time + 1
    )


def _where(chosen: Chosen) -> str:
    conditions = []
    if chosen.matches is not None:
        listed = ", ".join(map(ddl.literal, chosen.matches))
        conditions.append(f"match_id IN ({listed})" if listed else "FALSE")
    if chosen.since_ms is not None:
        conditions.append(f"event_time >= TO_TIMESTAMP_LTZ({chosen.since_ms}, 3)")
    if chosen.until_ms is not None:
        conditions.append(f"event_time < TO_TIMESTAMP_LTZ({chosen.until_ms}, 3)")
    return f" WHERE {' AND '.join(conditions)}" if conditions else ""
