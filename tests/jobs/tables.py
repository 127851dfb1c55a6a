"""Topics of the tests: rows in a file that stand for what a job reads."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from jobs import ddl
from streams.avro import Record
from streams.schemas import RecordSchema


def topic_of(
    environment: Any, schema: RecordSchema, rows: Iterable[Record], folder: Path, watch_s: int = 0
) -> None:
    """Make a topic's table of rows in their order, as the stream has it.

    With ``watch_s`` it never ends: every so many seconds it looks for more.
    """
    file = folder / f"{schema.topic}.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    columns = [f"`{field.name}` {ddl.column_type(field)}" for field in schema.fields]
    columns += ["decode_error STRING", "decode_detail STRING", "schema_id INT", "raw_value BYTES"]
    columns += ["record_key BYTES", "log_order AS PROCTIME()"]
    if not ddl.derived(schema):
        columns += ["source_topic STRING", "source_partition INT", "source_offset BIGINT", "kafka_ms BIGINT"]
        columns += ["kafka_time AS TO_TIMESTAMP_LTZ(kafka_ms, 3)", "ts AS TO_TIMESTAMP_LTZ(event_time, 3)"]
    more = f", 'source.monitor-interval' = '{watch_s} s'" if watch_s else ""
    environment.execute_sql(f"""CREATE TEMPORARY TABLE {ddl.table_name(schema.topic)} ({", ".join(columns)})
        WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'json'{more})""")
