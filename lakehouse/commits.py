"""Commits beside other writers: what the catalog refuses because others were quicker, told in one way."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa
from pyiceberg.catalog import Catalog
from pyiceberg.exceptions import BadRequestError, CommitFailedException, ValidationException
from pyiceberg.table import Table

from lakehouse.tables import fitted, load
from riftstream.errors import StackError

ATTEMPTS = 10
CONFLICTS = (CommitFailedException, ValidationException)
"""What a commit that lost against another one raises: nothing of it is in the table."""

_Done = TypeVar("_Done")


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


def committed(table: Table, change: Callable[[], _Done], attempts: int = ATTEMPTS) -> _Done:
    """Commit a change of a table, anew after each commit of others that it lost against.

    Args:
        table: The table; the newest version of it when ``change`` is called again, and afterwards.
        change: Commits the change, and can be called again where that failed.
        attempts: How often it is tried.

    Returns:
        What ``change`` gave.

    Raises:
        StackError: Others committed at each attempt.
    """
    for attempt in range(attempts):
        try:
            with optimistic():
                done = change()
        except CONFLICTS:
            time.sleep(min(0.05 * 2**attempt, 2.0))
            table.refresh()
        else:
            table.refresh()
            return done
    raise StackError(f"Others changed {'.'.join(table.name())} at each of {attempts} attempts.", "Try again.")


def append(catalog: Catalog, name: str, rows: pa.Table) -> None:
    """Add rows to a table, beside whoever else writes to it.

    Args:
        catalog: The catalog.
        name: ``namespace.table``.
        rows: The rows; timestamps may be ms since the Unix epoch.

    Raises:
        StackError: There is no such table, or others committed at each attempt.
    """
    table = load(catalog, name)
    committed(table, lambda: table.append(fitted(rows, table.schema().as_arrow())))
