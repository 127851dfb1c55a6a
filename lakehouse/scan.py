"""Ranges of tables: read no more of one than is asked for and say how much that was, or write one anew.

Partitions and files are chosen by what the manifests say of their event times, row groups by the Parquet
footers, and of those only the columns that are wanted are read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
from pyiceberg.catalog import Catalog
from pyiceberg.expressions import AlwaysTrue, BooleanExpression

from lakehouse.commits import committed
from lakehouse.sql import dataset_of
from lakehouse.tables import fitted, load

if TYPE_CHECKING:
    from pyiceberg.table import FileScanTask

TIME = "event_time"

_COMMITS = 5


@dataclass(frozen=True)
class Scanned:
    """Rows of a range of a table, read as they are asked for, and what that takes.

    Attributes:
        rows: The rows, in batches.
        files: Files of the range.
        files_in_table: Files of the table.
        bytes: Bytes of the wanted columns in the row groups of the range, as they lie in the files.
        bytes_in_table: Bytes of all files of the table.
    """

    rows: pa.RecordBatchReader
    files: int
    files_in_table: int
    bytes: int
    bytes_in_table: int


def scan(
    catalog: Catalog,
    name: str,
    columns: Sequence[str],
    since: datetime | None = None,
    until: datetime | None = None,
) -> Scanned:
    """Read columns of a table for a range of event times.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        columns: The columns, in this order.
        since: Only rows at or after this time; None for no bound.
        until: Only rows before this time; None for no bound.

    Raises:
        StackError: There is no such table.
    """
    table = load(catalog, name)
    everything = list(table.scan().plan_files())
    tasks = list(table.scan(row_filter=_range(since, until)).plan_files())
    dataset = dataset_of(table, tasks)
    within = _arrow_range(since, until)
    return Scanned(
        dataset.scanner(columns=list(columns), filter=within).to_reader(),
        len(tasks),
        len(everything),
        _bytes(dataset, tasks, columns, within),
        sum(task.file.file_size_in_bytes for task in everything),
    )


def overwrite(catalog: Catalog, name: str, rows: pa.Table, since: datetime, until: datetime) -> int:
    """Put rows in the place of all rows of a range of event times; doing it twice changes nothing.

    It is one commit. Columns that the rows lack become null. Who commits in between, such as a job that goes
    on writing, makes it begin anew.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        rows: The new rows; timestamps may be ms since the Unix epoch. Those out of range are left out.
        since: Start of the range, inclusive.
        until: End of the range, exclusive.

    Returns:
        How many rows the range has now.

    Raises:
        StackError: There is no such table, or others committed at each attempt.
    """
    table = load(catalog, name)

    def put() -> int:
        new = fitted(rows, table.schema().as_arrow()).filter(_arrow_range(since, until))
        table.overwrite(new, overwrite_filter=_range(since, until))
        return int(new.num_rows)

    return committed(table, put, _COMMITS)


def _range(since: datetime | None, until: datetime | None) -> str | BooleanExpression:
    bounds = []
    if since is not None:
        bounds.append(f"{TIME} >= '{_utc(since).isoformat()}'")
    if until is not None:
        bounds.append(f"{TIME} < '{_utc(until).isoformat()}'")
    return " AND ".join(bounds) or AlwaysTrue()


def _arrow_range(since: datetime | None, until: datetime | None) -> pc.Expression:
    time, kind = pc.field(TIME), pa.timestamp("us", "UTC")
    found = pc.scalar(True)
    if since is not None:
        found = found & (time >= pa.scalar(_utc(since), kind))
    if until is not None:
        found = found & (time < pa.scalar(_utc(until), kind))
    return found


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


def _bytes(
    dataset: ds.Dataset, tasks: Sequence[FileScanTask], columns: Sequence[str], within: pc.Expression
) -> int:
    """Bytes of the columns in the row groups that may hold rows of the range."""
    if not isinstance(dataset, ds.FileSystemDataset):
        return sum(task.file.file_size_in_bytes for task in tasks)
    wanted = {TIME, *columns}
    total = 0
    for fragment in dataset.get_fragments(filter=within):
        chosen = fragment.subset(filter=within, schema=dataset.schema)
        for group in chosen.row_groups:
            metadata = chosen.metadata.row_group(group.id)
            for number in range(metadata.num_columns):
                column = metadata.column(number)
                if column.path_in_schema.split(".")[0] in wanted:
                    total += column.total_compressed_size
    return total
