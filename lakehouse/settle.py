"""What came of predictions about players: settled from the games that the log told (``settle.sql``).

A player's next map may be a week away, longer than a job waits for anything, so the lake settles them and not
the stream (ADR 0098).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyiceberg.catalog import Catalog

from infra.locks import file_lock
from lakehouse.catalog import connect
from lakehouse.commits import append
from lakehouse.sql import query_in
from riftstream.settings import Settings, get_settings
from streams.client import Producer

OUTCOMES, QUALITY = "predictions.prediction_outcomes", "predictions.model_quality"
TOPIC = "model-quality"

_FOLDER = Path(__file__).parent


@dataclass(frozen=True)
class Settled:
    """What was settled.

    Attributes:
        outcomes: Predictions that got their outcome.
        pushes: How many of them met their line.
        told: Records of quality that were told anew.
    """

    outcomes: int
    pushes: int
    told: int


def settle(settings: Settings | None = None) -> Settled:
    """Give predictions about players their outcomes, and tell the quality of their models anew.

    Doing it twice changes nothing. What a round that broke off left untold the next one tells; it may send
    records of quality that were sent before, but the table has each once.

    Args:
        settings: Where lake and Kafka are; the process's settings by default.

    Raises:
        StackError: The lake or Kafka does not answer, or another process settles in this RIFT_HOME.
    """
    settings = settings or get_settings()
    with file_lock(settings.home / "lake" / "settle.lock"):
        catalog = connect(settings)
        rows = outcomes(catalog)
        if rows.num_rows:
            append(catalog, OUTCOMES, rows)
        # Also without new outcomes: what a round that broke off left untold is told by the next one.
        told = quality(catalog)
        if told.num_rows:
            with Producer(settings, topic=TOPIC) as producer:
                producer.send_batch(map(_record, told.to_pylist()))
            append(catalog, QUALITY, told)
    return Settled(rows.num_rows, rows["outcome"].null_count, told.num_rows)


def outcomes(catalog: Catalog) -> pa.Table:
    """Rows of ``predictions.prediction_outcomes`` that are due for predictions about players."""
    return query_in(catalog, (_FOLDER / "settle.sql").read_text())


def quality(catalog: Catalog) -> pa.Table:
    """Rows of ``predictions.model_quality`` that its table does not have yet."""
    return query_in(catalog, (_FOLDER / "quality.sql").read_text())


def _record(row: dict[str, Any]) -> dict[str, Any]:
    """A row as a record: times in ms since the Unix epoch."""
    return row | {"event_time": round(row["event_time"].timestamp() * 1000)}
