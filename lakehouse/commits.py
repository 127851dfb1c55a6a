"""Commits beside other writers: what the catalog refuses because others were quicker, told in one way."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import BadRequestError, CommitFailedException

from lakehouse.tables import fitted, load
from riftstream.errors import StackError

_ATTEMPTS = 10


@contextmanager
def optimistic() -> Iterator[None]:
    """Make every refusal of a commit that lost a race a ``CommitFailedException``.

    Two writers of two branches of one table break none of each other's requirements, but both take the next
    sequence number; SeaweedFS answers the second one 400 in place of 409.
    """
    try:
        yield
    except BadRequestError as cause:
        if "sequence number" not in str(cause):
            raise
        raise CommitFailedException(str(cause)) from cause


def append(catalog: Catalog, name: str, rows: pa.Table) -> None:
    """Add rows to a table, beside whoever else writes to it.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        rows: The rows; timestamps may be ms since the Unix epoch.

    Raises:
        StackError: There is no such table, or others committed at each attempt.
    """
    for _ in range(_ATTEMPTS):
        table = load(catalog, name)
        try:
            with optimistic():
                table.append(fitted(rows, table.schema().as_arrow()))
        except CommitFailedException:
            continue
        return
    raise StackError(f"Others changed {name} at each of {_ATTEMPTS} attempts to write it.", "Try again.")
