"""The Iceberg tables: columns from the Avro schemas, made and evolved as one diff, read as Arrow.

A table holds the fields of its record in the order of the ``.avsc`` file, then its own extra columns. This
order is a contract: the Flink jobs insert by position. All columns are optional, as Flink writes them; what
must be there is checked by the jobs. Timestamps are ``timestamptz`` in microseconds (UTC).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import NoSuchNamespaceError, NoSuchTableError
from pyiceberg.expressions import And, BooleanExpression, EqualTo, In, LessThanOrEqual
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.table import Table
from pyiceberg.table.sorting import NullOrder, SortDirection, SortField, SortOrder
from pyiceberg.transforms import (
    BucketTransform,
    DayTransform,
    IdentityTransform,
    MonthTransform,
    Transform,
)
from pyiceberg.types import (
    BinaryType,
    BooleanType,
    DoubleType,
    IcebergType,
    IntegerType,
    ListType,
    LongType,
    NestedField,
    StringType,
    TimestamptzType,
)

from lakehouse.catalog import connect
from riftstream.changes import Change
from riftstream.errors import SchemaError, StackError
from riftstream.settings import Settings
from streams.schemas import Field, RecordSchema, for_table, for_topic

if TYPE_CHECKING:
    import pyarrow as pa

KIND = "table"
MATCH_EVENTS = "raw.match_events"
AUDITS = "audits.runs"
ERASURES = "audits.erasures"
ARTEFACTS, DEFINITIONS = "models.artefacts", "models.definitions"
PROCESSED = (("month", "event_time"), ("identity", "league"))
"""How the processed tables are partitioned; see docs/decisions/0086."""
KEEP_DAYS = "riftstream.keep-days"
"""Table property: for how many days after they came rows are kept. Without it they are kept for ever."""
ARRIVED = ("log_time", "kafka_time", "first_seen", "checked_at", "settled_at", "as_of")
"""Columns that say when a row came, the first of them that a table has."""
LIFETIMES = {"raw.dead_letters": 90, "raw.feed_snapshots": 90, "features.player_window": 400}
"""For how many days rows are kept that grow old.

Letters that nobody sent again, answers of feeds whose events are kept, windows that events tell anew.
"""

_PRIMITIVES: dict[str, Callable[[], IcebergType]] = {
    "string": StringType,
    "int": IntegerType,
    "long": LongType,
    "double": DoubleType,
    "boolean": BooleanType,
    "bytes": BinaryType,
    "timestamp-millis": TimestamptzType,
}
_TRANSFORMS: dict[str, Callable[[], Transform[Any, Any]]] = {
    "day": DayTransform,
    "month": MonthTransform,
    "identity": IdentityTransform,
    "bucket[16]": lambda: BucketTransform(16),
}
# Iceberg table specification, "Schema Evolution": the only type changes that old files can be read through.
_WIDER = {"int": "long", "float": "double"}

SOURCE = (
    Field("source_topic", "string", "", True, "none", "Topic that the event was read from."),
    Field("source_partition", "int", "", True, "none", "Partition of that topic."),
    Field("source_offset", "long", "", True, "none", "Offset in that partition."),
    Field(
        "kafka_time",
        "long",
        "timestamp-millis",
        True,
        "ms since the Unix epoch",
        "When the broker appended the event.",
    ),
)

LOG = (
    Field(
        "log_partition", "int", "", True, "none", "Partition of the record in its topic; null if backfilled."
    ),
    Field("log_offset", "long", "", True, "none", "Offset in that partition; null if backfilled."),
    Field(
        "log_time",
        "long",
        "timestamp-millis",
        True,
        "ms since the Unix epoch",
        "When the broker appended the record; null if backfilled.",
    ),
)


@dataclass(frozen=True)
class Step:
    """One step of a table's evolution: add, widen, relax, document or place a column, or set a property."""

    verb: str
    name: str
    value: str

    def __str__(self) -> str:
        return (
            f"{self.verb} {self.name}" if self.verb == "document" else f"{self.verb} {self.name} {self.value}"
        )


@dataclass(frozen=True)
class TableSpec:
    """An Iceberg table as it shall be.

    Attributes:
        name: ``namespace.table``.
        topic: Topic whose record gives the columns; empty where ``schemas/lake`` holds the table's own.
        extra: Columns after those of the record.
        partition: Pairs of transform (``day``, ``month``, ``bucket[16]`` or ``identity``) and column.
        sort: Columns that rewrites sort by, ascending.
        keep_days: For how many days after they came rows are kept; None for ever.
    """

    name: str
    topic: str = ""
    extra: tuple[Field, ...] = ()
    partition: tuple[tuple[str, str], ...] = ()
    sort: tuple[str, ...] = ()
    keep_days: int | None = None

    @property
    def record(self) -> RecordSchema:
        """The record whose fields are the first columns."""
        return for_topic(self.topic) if self.topic else for_table(self.name)

    @property
    def fields(self) -> tuple[Field, ...]:
        """All columns in order."""
        return self.record.fields + self.extra

    @property
    def schema(self) -> Schema:
        """The columns as an Iceberg schema, ids from 1."""
        return _schema(self.fields)

    @property
    def partition_spec(self) -> PartitionSpec:
        """Partitioning, for tables that are made anew."""
        return _partition_spec(self.partition, self.schema)

    @property
    def sort_order(self) -> SortOrder:
        """Sort order that rewrites follow; writers on the live path do not sort."""
        fields = (
            SortField(_id(self.schema, column), IdentityTransform(), SortDirection.ASC, NullOrder.NULLS_LAST)
            for column in self.sort
        )
        return SortOrder(*fields)

    @property
    def properties(self) -> dict[str, str]:
        """Table properties that are kept as they stand here."""
        return {
            "comment": self.record.doc,
            "write.format.default": "parquet",
            "write.parquet.compression-codec": "zstd",
            # Ids are all different: the sooner a writer gives a column's dictionary up, the better.
            "write.parquet.dict-size-bytes": "65536",
            "write.distribution-mode": "none",
            # A commit every few seconds: without this every version of the metadata stays for ever.
            "write.metadata.delete-after-commit.enabled": "true",
            "write.metadata.previous-versions-max": "50",
            # Several jobs and the upkeep commit to one table; each waits its turn.
            "commit.retry.num-retries": "20",
            "commit.retry.max-wait-ms": "2000",
            # Every snapshot is told in every version of the metadata: six hours are two thousand of them.
            "history.expire.max-snapshot-age-ms": str(6 * 3_600_000),
            "history.expire.min-snapshots-to-keep": "20",
        } | ({KEEP_DAYS: str(self.keep_days)} if self.keep_days else {})


TABLES = (
    TableSpec(
        MATCH_EVENTS,
        "live-matches",
        SOURCE,
        partition=(("day", "event_time"), ("identity", "league")),
        sort=("match_id", "source_partition", "source_offset"),
    ),
    *(
        TableSpec(name, topic, LOG, (("month", time),), sort, LIFETIMES.get(name))
        for name, topic, time, sort in (
            ("raw.match_results", "match-results", "event_time", ("match_id",)),
            ("raw.match_summaries", "match-summaries", "event_time", ("match_id",)),
            ("raw.player_games", "player-games", "event_time", ("player_id", "event_time")),
            ("raw.dead_letters", "dead-letters", "first_seen", ("source_topic", "source_offset")),
            ("raw.feed_snapshots", "feed-snapshots", "received_at", ("url", "received_at")),
            ("features.match_state", "match-features", "event_time", ("match_id", "event_time")),
            ("features.player_window", "player-performance", "event_time", ("player_id", "event_time")),
            ("features.player_form", "player-stats", "event_time", ("player_id", "event_time")),
            ("features.team_form", "team-form", "event_time", ("team", "event_time")),
            ("features.head_to_head", "head-to-head", "event_time", ("pair", "event_time")),
            ("features.champion_meta", "champion-meta", "event_time", ("champion", "event_time")),
            ("features.match_context", "match-context", "event_time", ("match_id", "event_time")),
            ("predictions.predictions", "predictions", "event_time", ("match_id", "game_time_ms")),
            ("models.updates", "model-updates", "created_at", ("model_name", "created_at")),
        )
    ),
    TableSpec(
        "predictions.prediction_outcomes",
        partition=(("month", "event_time"),),
        sort=("match_id", "game_time_ms"),
    ),
    TableSpec(
        "predictions.model_quality",
        "model-quality",
        partition=(("month", "event_time"),),
        sort=("model_name", "model_version", "minute"),
    ),
    *(
        TableSpec(f"processed.{name}", partition=PROCESSED, sort=sort)
        for name, sort in (
            ("matches", ("match_id",)),
            ("player_games", ("player_id", "event_time")),
            ("team_games", ("team", "event_time")),
            ("bans", ("champion", "event_time")),
            ("objectives", ("match_id", "game_time_ms")),
            ("series", ("pair", "started")),
        )
    ),
    TableSpec(ARTEFACTS, sort=("model_name", "model_version")),
    TableSpec(DEFINITIONS, sort=("model_name", "model_version", "place")),
    TableSpec(AUDITS, partition=(("month", "event_time"),), sort=("table_name", "event_time")),
    TableSpec(ERASURES, sort=("requested_at",)),
)


def spec(name: str) -> TableSpec:
    """A table of ours as it shall be.

    Raises:
        SchemaError: There is none of this name.
    """
    found = next((one for one in TABLES if one.name == name), None)
    if found is None:
        names = ", ".join(one.name for one in TABLES)
        raise SchemaError(f"There is no table {name}.", f"There are {names}.")
    return found


def plan(settings: Settings, tables: Iterable[TableSpec] = TABLES) -> list[Change]:
    """What has to be done so that the catalog holds these tables.

    Raises:
        StackError: The catalog does not answer.
    """
    return plan_in(connect(settings), tables)


def apply(settings: Settings, changes: list[Change], tables: Iterable[TableSpec] = TABLES) -> None:
    """Make and evolve the tables that ``changes`` (from ``plan``) name.

    Raises:
        StackError: The catalog does not answer.
        SchemaError: A table would lose or misread data.
    """
    apply_in(connect(settings), changes, tables)


def plan_in(catalog: Catalog, tables: Iterable[TableSpec] = TABLES) -> list[Change]:
    """As ``plan``, in a catalog that is open already."""
    return [change for spec in tables for change in _plan_one(catalog, spec)]


def apply_in(catalog: Catalog, changes: list[Change], tables: Iterable[TableSpec] = TABLES) -> None:
    """As ``apply``, in a catalog that is open already."""
    wanted = {change.name for change in changes if change.kind == KIND}
    for spec in tables:
        if spec.name in wanted:
            _make_or_evolve(catalog, spec)


def events(
    match_id: str,
    *,
    until_offset: int | None = None,
    snapshot_id: int | None = None,
    settings: Settings | None = None,
    table: str = MATCH_EVENTS,
) -> pa.Table:
    """Accepted events of one match in the order in which they came.

    Args:
        match_id: The match.
        until_offset: Newest source offset to read, inclusive; None for all.
        snapshot_id: Iceberg snapshot to read; None for the newest.
        settings: Where the lake is; the process's settings by default.
        table: Table that holds them.

    Returns:
        An Arrow table with the columns of ``raw.match_events``, sorted by source partition and offset; empty
        for a match that is not there.

    Raises:
        StackError: The catalog does not answer, or has no such table.
    """
    condition: BooleanExpression = EqualTo("match_id", match_id)  # type: ignore[call-arg, misc]
    if until_offset is not None:
        newest = LessThanOrEqual("source_offset", until_offset)  # type: ignore[call-arg, misc]
        condition = And(condition, newest)
    found = load(connect(settings), table).scan(row_filter=condition, snapshot_id=snapshot_id).to_arrow()
    return found.sort_by([("source_partition", "ascending"), ("source_offset", "ascending")])


def event_ids(matches: Iterable[str], settings: Settings | None = None) -> list[str]:
    """Ids of the accepted events of some matches, one for each row of ``raw.match_events``, in any order.

    Raises:
        StackError: The catalog does not answer, or has no such table.
    """
    table = load(connect(settings), MATCH_EVENTS)
    condition = In("match_id", set(matches))  # type: ignore[call-arg, misc]
    rows = table.scan(row_filter=condition, selected_fields=("event_id",)).to_arrow()
    return list(rows.column("event_id").to_pylist())


def fitted(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """Rows with the columns of a table, in their order and types.

    Columns that the rows lack become null; timestamps may be ms since the Unix epoch.
    """
    import pyarrow as pa

    columns = []
    for field in schema:
        if field.name not in rows.column_names:
            columns.append(pa.nulls(rows.num_rows, field.type))
        elif pa.types.is_timestamp(field.type) and pa.types.is_integer(rows.schema.field(field.name).type):
            columns.append(rows.column(field.name).cast(pa.timestamp("ms", "UTC")).cast(field.type))
        else:
            columns.append(rows.column(field.name).cast(field.type))
    return pa.table(columns, schema=schema)


def load(catalog: Catalog, name: str) -> Table:
    """A table that must be there.

    Raises:
        StackError: It is not.
    """
    table = _load(catalog, name)
    if table is None:
        raise StackError(f"The lake has no table {name}.", "Make it with `rift apply`.")
    return table


def _type(field: Field, ids: Iterator[int]) -> IcebergType:
    if field.type.startswith("array<"):
        item = field.type.removeprefix("array<").removesuffix(">")
        return ListType(next(ids), _PRIMITIVES[item](), element_required=False)
    return _PRIMITIVES[field.logical or field.type]()


def _doc(field: Field) -> str:
    # A timestamptz carries its own unit.
    return field.doc if field.logical or field.unit == "none" else f"{field.doc} Unit: {field.unit}."


def _schema(fields: tuple[Field, ...]) -> Schema:
    # Lists need ids of their own; those come after the columns'.
    inner = iter(range(len(fields) + 1, 3 * len(fields) + 1))
    columns = [
        NestedField(place, field.name, _type(field, inner), required=False, doc=_doc(field))
        for place, field in enumerate(fields, start=1)
    ]
    return Schema(*columns)


def _partition_spec(partition: tuple[tuple[str, str], ...], schema: Schema) -> PartitionSpec:
    fields = (
        PartitionField(
            _id(schema, column),
            1000 + place,
            _TRANSFORMS[transform](),
            column if transform == "identity" else f"{column}_{transform.partition('[')[0]}",
        )
        for place, (transform, column) in enumerate(partition)
    )
    return PartitionSpec(*fields)


def _id(schema: Schema, column: str) -> int:
    return schema.find_field(column).field_id


def _load(catalog: Catalog, name: str) -> Table | None:
    try:
        return catalog.load_table(name)
    except (NoSuchTableError, NoSuchNamespaceError):
        return None


def _plan_one(catalog: Catalog, spec: TableSpec) -> list[Change]:
    table = _load(catalog, spec.name)
    if table is None:
        parts = ", ".join(f"{transform}({column})" for transform, column in spec.partition) or "nothing"
        detail = f"{len(spec.fields)} columns of {spec.record.name}, partitioned by {parts}"
        return [Change(KIND, spec.name, "create", detail)]
    refused = refusals(spec, table.schema(), table.spec())
    if refused:
        return [Change(KIND, spec.name, "refuse", " ".join(refused))]
    steps = differences(spec, table.schema(), table.properties)
    return [Change(KIND, spec.name, "update", "; ".join(map(str, steps)))] if steps else []


def refusals(spec: TableSpec, current: Schema, partitioning: PartitionSpec) -> list[str]:
    """Why a table may not become what ``spec`` says: sentences that name the column; empty if it may.

    Args:
        spec: The table as it shall be.
        current: Its schema in the catalog.
        partitioning: Its partition spec in the catalog.
    """
    wanted = {column.name: column for column in spec.schema.fields}
    found = []
    for column in current.fields:
        new = wanted.get(column.name)
        was = str(column.field_type)
        if new is None:
            found.append(f"{column.name} would be dropped, and its data with it; leave it in the schema.")
        elif str(new.field_type) not in (was, _WIDER.get(was)):
            found.append(
                f"{column.name} is {was} and cannot become {new.field_type}; add a new column instead."
            )
    if _partitions(partitioning, current) != list(spec.partition):
        found.append("Its partitioning would change, which needs the table to be rewritten.")
    return found


def differences(spec: TableSpec, current: Schema, properties: dict[str, str]) -> list[Step]:
    """Steps that make a table what ``spec`` says, none where it is so already.

    Args:
        spec: The table as it shall be.
        current: Its schema in the catalog.
        properties: Its properties in the catalog.
    """
    before = {column.name: column for column in current.fields}
    steps = []
    for column in spec.schema.fields:
        old = before.get(column.name)
        if old is None:
            steps.append(Step("add", column.name, str(column.field_type)))
            continue
        if str(old.field_type) != str(column.field_type):
            steps.append(Step("widen", column.name, str(column.field_type)))
        if old.required:
            steps.append(Step("relax", column.name, "optional"))
        if old.doc != column.doc:
            steps.append(Step("document", column.name, column.doc or ""))
    order = [*before, *(column.name for column in spec.schema.fields if column.name not in before)]
    steps += _placing(order, [column.name for column in spec.schema.fields])
    for name, value in spec.properties.items():
        if properties.get(name) != value:
            steps.append(Step("set", name, value))
    return steps


def _placing(order: list[str], wanted: list[str]) -> list[Step]:
    """Moves that bring columns into the order in which the jobs insert them."""
    order = [name for name in order if name in wanted]
    steps = []
    for place, name in enumerate(wanted):
        if order[place] != name:
            order.remove(name)
            order.insert(place, name)
            steps.append(Step("place", name, f"after {wanted[place - 1]}" if place else "first"))
    return steps


def _make_or_evolve(catalog: Catalog, spec: TableSpec) -> None:
    table = _load(catalog, spec.name)
    if table is None:
        catalog.create_namespace_if_not_exists(spec.name.rpartition(".")[0])
        table = catalog.create_table_if_not_exists(
            spec.name,
            spec.schema,
            partition_spec=spec.partition_spec,
            sort_order=spec.sort_order,
            properties=spec.properties | {"format-version": "2"},
        )
    refused = refusals(spec, table.schema(), table.spec())
    if refused:
        raise SchemaError(f"The table {spec.name} cannot be changed: {' '.join(refused)}")
    steps = differences(spec, table.schema(), table.properties)
    if steps:
        _evolve(table, spec, steps)


def _evolve(table: Table, spec: TableSpec, steps: list[Step]) -> None:
    columns = {column.name: column for column in spec.schema.fields}
    with table.transaction() as change:
        with change.update_schema() as update:
            for step in steps:
                if step.verb == "add":
                    update.add_column(step.name, columns[step.name].field_type, columns[step.name].doc)
                elif step.verb == "widen":
                    update.update_column(step.name, field_type=columns[step.name].field_type)
                elif step.verb == "relax":
                    update.make_column_optional(step.name)
                elif step.verb == "document":
                    update.update_column(step.name, doc=step.value)
                elif step.verb == "place" and step.value == "first":
                    update.move_first(step.name)
                elif step.verb == "place":
                    update.move_after(step.name, step.value.removeprefix("after "))
        settings = {step.name: step.value for step in steps if step.verb == "set"}
        if settings:
            change.set_properties(settings)


def _partitions(partitioning: PartitionSpec, schema: Schema) -> list[tuple[str, str]]:
    return [
        (str(field.transform), schema.find_column_name(field.source_id) or "")
        for field in partitioning.fields
    ]
