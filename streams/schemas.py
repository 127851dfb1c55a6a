"""The Avro schemas: the only place where a record's shape is written.

Each ``schemas/avro/*.avsc`` holds one record, with the topic that carries it (``topic``) and the field that
is its key (``key``) as attributes beside the Avro ones (Avro 1.12 specification, "Schema Declaration").
Records that no topic carries but a table of the lake holds are ``schemas/lake/*.avsc``, with ``table``.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from riftstream.errors import SchemaError

FOLDER = Path(__file__).parent.parent / "schemas" / "avro"
LAKE = FOLDER.parent / "lake"


@dataclass(frozen=True)
class Field:
    """One field of a record.

    Attributes:
        name: Field name.
        type: Avro primitive name, or ``array<string>`` / ``array<double>``.
        logical: Avro logical type, or an empty string.
        nullable: Whether null is allowed.
        unit: Unit of the value, or ``none``.
        doc: What the field means.
    """

    name: str
    type: str
    logical: str
    nullable: bool
    unit: str
    doc: str


@dataclass(frozen=True)
class RecordSchema:
    """A record, the topic that carries it, and the field that is its key.

    The topic is empty for a record of the lake alone, and the table for all others.
    """

    name: str
    topic: str
    key: str
    doc: str
    text: str
    fields: tuple[Field, ...]
    table: str = ""

    @property
    def subject(self) -> str:
        """Registry subject (TopicNameStrategy)."""
        return f"{self.topic}-value"


def _field(raw: dict[str, Any]) -> Field:
    kind = raw["type"]
    nullable = isinstance(kind, list)
    if nullable:
        kind = next(branch for branch in kind if branch != "null")
    logical = ""
    if isinstance(kind, dict):
        logical = kind.get("logicalType", "")
        kind = f"array<{kind['items']}>" if kind["type"] == "array" else kind["type"]
    return Field(raw["name"], kind, logical, nullable, raw["unit"], raw["doc"])


def load(file: Path) -> RecordSchema:
    """Read one ``.avsc`` file.

    Raises:
        SchemaError: The file is not a record with topic (or table), key, units and docs.
    """
    try:
        raw = json.loads(file.read_text())
        fields = tuple(_field(field) for field in raw["fields"])
        table = raw.get("table", "")
        topic = "" if table else raw["topic"]
        return RecordSchema(raw["name"], topic, raw["key"], raw["doc"], json.dumps(raw), fields, table)
    except (KeyError, ValueError, TypeError) as cause:
        raise SchemaError(
            f"{file.name} is not a record schema of ours: {cause!r}.",
            "It needs topic and key, and a doc and a unit for every field.",
        ) from cause


@lru_cache(maxsize=1)
def _files() -> dict[str, Path]:
    return {load(file).topic: file for file in sorted(FOLDER.glob("*.avsc"))}


def file_of(topic: str) -> Path:
    """The ``.avsc`` file of the record that a topic carries.

    Raises:
        SchemaError: No schema names this topic.
    """
    return _files()[for_topic(topic).topic]


@lru_cache(maxsize=1)
def all_schemas() -> dict[str, RecordSchema]:
    """Every record schema by its topic."""
    return {topic: load(file) for topic, file in _files().items()}


def for_topic(topic: str) -> RecordSchema:
    """The record that a topic carries.

    Raises:
        SchemaError: No schema names this topic.
    """
    try:
        return all_schemas()[topic]
    except KeyError as cause:
        raise SchemaError(f"No schema in schemas/avro names the topic {topic}.") from cause


@lru_cache(maxsize=1)
def lake_records() -> dict[str, RecordSchema]:
    """Every record that only a table of the lake holds, by the table's name."""
    return {record.table: record for record in map(load, sorted(LAKE.glob("*.avsc")))}


def for_table(name: str) -> RecordSchema:
    """The record that a table of the lake holds and no topic carries.

    Raises:
        SchemaError: No schema names this table.
    """
    try:
        return lake_records()[name]
    except KeyError as cause:
        raise SchemaError(f"No schema in schemas/lake names the table {name}.") from cause
