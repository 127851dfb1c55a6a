"""Locks between processes, held as long as the process lives."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from riftstream.errors import StackError


@contextmanager
def file_lock(file: Path, wait: bool = False) -> Iterator[None]:
    """Hold a lock file while the block runs. The operating system frees it when the process ends.

    Args:
        file: The lock file; it holds the process id of its owner.
        wait: Wait until it is free; otherwise fail at once.

    Raises:
        StackError: Another process holds the lock and ``wait`` is false.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            handle.seek(0)
            owner = handle.read().strip() or "unknown"
            raise StackError(
                f"Another rift command is at work on {file.parent} (process {owner}).",
                "Wait until it has finished, then run this one again.",
            ) from error
        handle.truncate(0)
        handle.write(str(os.getpid()))
        handle.flush()
        yield
