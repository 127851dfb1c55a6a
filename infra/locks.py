"""Locks between processes, held as long as the process lives: the system frees them when it ends."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event

from riftstream.errors import StackError

_POLL_S = 0.2


@contextmanager
def file_lock(file: Path) -> Iterator[None]:
    """Hold a lock file while the block runs; it holds the process id of its owner.

    Raises:
        StackError: Another process holds it.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
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


@contextmanager
def waiting_lock(file: Path, cancel: Event) -> Iterator[None]:
    """Hold a lock file while the block runs; wait for it until it is free.

    Raises:
        StackError: The wait was called off.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("a+") as handle:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if cancel.wait(_POLL_S):
                    raise StackError(f"The wait for {file} was called off.") from None
        yield
