"""Write, audit, publish: rows land on a branch of their table, and main is set to it once they are audited.

A branch begins at main. Publishing is a fast-forward: it fails where main has moved since, and then the work
is done anew, so that nobody's rows are lost. Readers of main see all of a batch or nothing of it.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import CommitFailedException
from pyiceberg.expressions import BooleanExpression
from pyiceberg.table import Table
from pyiceberg.table.snapshots import ancestors_of
from pyiceberg.table.update.snapshot import ManageSnapshots

from lakehouse.commits import committed, optimistic
from lakehouse.tables import TABLES, fitted, load
from riftstream.errors import StackError

MAIN = "main"
PREFIX = "audit-"
"""What the name of every branch begins with that holds what was not published, or is not yet."""


class Moved(StackError):
    """Main has moved since a branch of it was begun."""


@dataclass(frozen=True)
class Branch:
    """A branch that was not published.

    Attributes:
        table: The table.
        name: The branch.
        snapshot_id: Its newest snapshot.
        written: When that was written, UTC.
    """

    table: str
    name: str
    snapshot_id: int
    written: datetime


def land(
    catalog: Catalog,
    name: str,
    rows: pa.Table,
    replaced: BooleanExpression,
    branch: str,
    properties: Mapping[str, str] | None = None,
) -> int:
    """Write rows to a branch of a table in the place of others; main is as it was.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        rows: The new rows, in any order; timestamps may be ms since the Unix epoch.
        replaced: Which rows of main they stand for.
        branch: The branch; it is made from main.
        properties: What the summary of the snapshot says beside.

    Returns:
        The branch's newest snapshot.

    Raises:
        StackError: There is no such table.
        Moved: Main moved while the branch was begun.
    """
    table = load(catalog, name)
    schema = table.schema().as_arrow()
    sort = next((spec.sort for spec in TABLES if spec.name == name), ())
    sorted_rows = fitted(rows, schema).sort_by([(column, "ascending") for column in sort])
    try:
        with optimistic():
            if table.current_snapshot() is None:
                # A branch needs a snapshot to begin at.
                table.append(schema.empty_table())
            begin = table.current_snapshot()
            if begin is None or branch in table.refs():
                raise Moved(f"{name} cannot have a branch {branch}.", "Another run writes to it.")
            table.manage_snapshots().create_branch(begin.snapshot_id, branch).commit()
            with warnings.catch_warnings():
                # Rows of matches that are new stand for none.
                warnings.filterwarnings("ignore", message="Delete operation did not match any records")
                table.overwrite(
                    sorted_rows,
                    overwrite_filter=replaced,
                    branch=branch,
                    snapshot_properties=dict(properties or {}),
                )
    except CommitFailedException as cause:
        raise Moved(f"{name} was changed by others while {branch} was begun.", "Run it again.") from cause
    return load(catalog, name).refs()[branch].snapshot_id


def publish(catalog: Catalog, name: str, branch: str, properties: Mapping[str, str] | None = None) -> int:
    """Set main to a branch that begins at it, and end the branch: one commit.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        branch: The branch.
        properties: Properties of the table that are set by the same commit.

    Returns:
        The snapshot that main is now.

    Raises:
        Moved: Main is no ancestor of the branch any more.
        StackError: There is no such table or branch.
    """
    table = load(catalog, name)
    head = _head(table, name, branch)
    main = table.current_snapshot()
    snapshot = table.snapshot_by_id(head)
    line = {one.snapshot_id for one in ancestors_of(snapshot, table.metadata)}
    if main is not None and main.snapshot_id not in line:
        raise Moved(f"{name} was changed by others since {branch} was begun.", "Run it again.")
    try:
        with optimistic(), table.transaction() as change:
            if properties:
                change.set_properties(dict(properties))
            ManageSnapshots(change).set_current_snapshot(ref_name=branch).remove_branch(branch).commit()
    except CommitFailedException as cause:
        raise Moved(f"{name} was changed by others while {branch} was published.", "Run it again.") from cause
    return head


def discard(catalog: Catalog, name: str, branch: str) -> None:
    """End a branch without publishing it; its rows go when its snapshots expire.

    Raises:
        StackError: There is no such table or branch.
    """
    table = load(catalog, name)
    _head(table, name, branch)
    committed(table, lambda: table.manage_snapshots().remove_branch(branch).commit())


def branches(catalog: Catalog) -> list[Branch]:
    """Every branch that was not published, oldest first."""
    found = []
    for spec in TABLES:
        if not catalog.table_exists(spec.name):
            continue
        table = catalog.load_table(spec.name)
        for ref, at in table.refs().items():
            snapshot = table.snapshot_by_id(at.snapshot_id)
            if ref.startswith(PREFIX) and snapshot is not None:
                written = datetime.fromtimestamp(snapshot.timestamp_ms / 1000, UTC)
                found.append(Branch(spec.name, ref, at.snapshot_id, written))
    return sorted(found, key=lambda one: one.written)


def _head(table: Table, name: str, branch: str) -> int:
    if branch not in table.refs():
        raise StackError(f"{name} has no branch {branch}.", "See `rift lake branches`.")
    return table.refs()[branch].snapshot_id
