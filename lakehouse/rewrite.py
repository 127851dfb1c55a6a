"""Data files of a table exchanged for others in one commit, beside whoever appends at the same time.

PyIceberg 0.12 has no operation that replaces files; its overwrite takes every append in between for a
conflict. A replacement of files meets appends without harm: it only has to make sure that the files it takes
away are still there. Whoever took one of them away first wins, and this side begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

import pyarrow as pa
from pyiceberg.expressions import AlwaysTrue
from pyiceberg.io.pyarrow import ArrowScan, _dataframe_to_data_files
from pyiceberg.manifest import DataFile, ManifestContent, ManifestFile
from pyiceberg.table import FileScanTask, Table
from pyiceberg.table.refs import MAIN_BRANCH
from pyiceberg.table.snapshots import Operation, Summary
from pyiceberg.table.update.snapshot import _ManifestMergeManager, _OverwriteFiles
from pyiceberg.table.update.validate import (
    _validate_data_files_exist,
    _validate_no_new_deletes_for_data_files,
)
from pyiceberg.utils.bin_packing import ListPacker

from lakehouse import snapshots
from lakehouse.commits import CONFLICTS, optimistic

_MANIFEST_BYTES = 8 * 2**20


class _Exchange(_OverwriteFiles):
    """Takes files away and puts others in their place; manifests are merged on the way.

    A manifest that only tells of files that are gone is left out, so nothing of them stays in the newest
    snapshot, their column bounds included.
    """

    same_rows = True

    def _summary(self, snapshot_properties: dict[str, str] | None = None) -> Summary:
        found = super()._summary(snapshot_properties or {})
        # PyIceberg adds up totals of its own three operations only. Readers of increments pass over a
        # snapshot that says 'replace': its rows are the same.
        operation = Operation.REPLACE if self.same_rows else Operation.OVERWRITE
        return Summary(operation=operation, **found.additional_properties, **self._checkpoint())

    def _checkpoint(self) -> dict[str, str]:
        """What the job that writes to the table has committed, told again: its own snapshot may then go."""
        metadata = self._transaction.table_metadata
        parent = self._parent_snapshot_id
        last = snapshots.needed_by_jobs(metadata, metadata.snapshot_by_id(parent) if parent else None)
        told = last[-1].summary if last else None
        properties = told.additional_properties if told is not None else {}
        return {name: properties[name] for name in snapshots.FLINK if name in properties}

    def _validate_concurrency(self) -> None:
        window, table = self._commit_window, self._transaction._table
        if window is None or window.head is None or window.is_empty() or not self._deleted_data_files:
            return
        _validate_data_files_exist(table, window.head, self._deleted_data_files, window.base)
        _validate_no_new_deletes_for_data_files(
            table, window.head, None, self._deleted_data_files, window.base
        )

    def _process_manifests(self, manifests: list[ManifestFile]) -> list[ManifestFile]:
        merger = _ManifestMergeManager(_MANIFEST_BYTES, 2, True, self)
        others = [manifest for manifest in manifests if manifest.content != ManifestContent.DATA]
        data = [manifest for manifest in manifests if self._tells(manifest)]
        merged = []
        for spec, group in groupby(sorted(data, key=_spec), key=_spec):
            packer: ListPacker[ManifestFile] = ListPacker(_MANIFEST_BYTES, 1, False)
            for packed in packer.pack_end(list(group), lambda manifest: manifest.manifest_length):
                one = packed[0] if len(packed) == 1 and not _gone(packed[0]) else None
                merged.append(one or merger._create_manifest(spec, packed))
        # Manifests that were merged into others right away are in no snapshot: they go with the commit.
        kept = {manifest.manifest_path for manifest in merged + others}
        self._uncommitted_manifests += [path for path in self._written_manifests if path not in kept]
        self._written_manifests = [path for path in self._written_manifests if path in kept]
        return merged + others

    def _tells(self, manifest: ManifestFile) -> bool:
        """Whether a manifest of data says more than that files went away in an earlier snapshot."""
        return manifest.content == ManifestContent.DATA and (
            manifest.has_added_files()
            or manifest.has_existing_files()
            or manifest.added_snapshot_id == self.snapshot_id
        )


class _Alteration(_Exchange):
    """As an exchange, but the rows differ."""

    same_rows = False


def exchange(
    table: Table,
    gone: Sequence[DataFile],
    new: Sequence[DataFile],
    *,
    same_rows: bool = True,
    branch: str = MAIN_BRANCH,
    properties: dict[str, str] | None = None,
) -> None:
    """Take data files away, put others in their place and merge manifests, in one commit.

    Args:
        table: The table; it is as committed afterwards.
        gone: Files to take away; with none and no new ones only the manifests are written anew.
        new: Files that lie in the object store already. Those of a commit that failed are deleted.
        same_rows: Whether the new files hold the same rows, so that readers of increments pass over it.
        branch: Branch to change.
        properties: More lines for the snapshot's summary.

    Raises:
        CommitFailedException: Others committed at each attempt.
        ValidationException: One of the files is no longer in the table.
    """
    try:
        with optimistic(), table.transaction() as transaction:
            kind = _Exchange if same_rows else _Alteration
            producer = kind(
                operation=Operation.OVERWRITE,
                transaction=transaction,
                io=table.io,
                snapshot_properties=properties or {},
                branch=branch,
            )
            for file in gone:
                producer.delete_data_file(file)
            for file in new:
                producer.append_data_file(file)
            producer.commit()
    except CONFLICTS:
        for file in new:
            table.io.delete(file.file_path)
        raise


def read(table: Table, tasks: Iterable[FileScanTask]) -> pa.Table:
    """All rows of some files as the table's newest schema has them, rows that were deleted left out."""
    scan = ArrowScan(table.metadata, table.io, table.schema(), AlwaysTrue())
    return scan.to_table(tasks)


def write(table: Table, rows: pa.Table) -> list[DataFile]:
    """Write rows as new data files of a table, by its partitioning and in its sort order; commits nothing."""
    if not rows.num_rows:
        return []
    order: list[Any] = [
        (table.schema().find_column_name(field.source_id), "ascending") for field in table.sort_order().fields
    ]
    sorted_rows = rows.sort_by(order) if order else rows
    return list(_dataframe_to_data_files(table.metadata, sorted_rows, table.io))


def _spec(manifest: ManifestFile) -> int:
    return manifest.partition_spec_id


def _gone(manifest: ManifestFile) -> bool:
    """Whether a manifest tells of files that are no longer there."""
    return manifest.deleted_files_count is None or manifest.deleted_files_count > 0
