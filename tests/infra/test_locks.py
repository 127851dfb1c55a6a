"""Two commands never work on one stack at once."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from threading import Event, Thread

import pytest

from infra.locks import file_lock, waiting_lock
from riftstream.errors import StackError

_HOLDER = """
import sys, time
from pathlib import Path
from infra.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def test_second_holder_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with (
        file_lock(lock),
        pytest.raises(StackError, match=f"process {os.getpid()}"),
        file_lock(lock),
    ):
        pytest.fail("the lock was given twice")


def test_lock_is_free_again_after_the_block(tmp_path: Path) -> None:
    for _ in range(2):
        with file_lock(tmp_path / "up.lock"):
            pass


def test_lock_of_a_killed_process_is_free(tmp_path: Path) -> None:
    lock = tmp_path / "up.lock"
    with subprocess.Popen(
        [sys.executable, "-c", _HOLDER, str(lock)], stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(StackError, match=f"process {holder.pid}"), file_lock(lock):
            pytest.fail("the lock was given twice")
        holder.kill()
    with file_lock(lock):
        pass


def test_waiting_holder_gets_the_lock_when_it_is_free(tmp_path: Path) -> None:
    lock, order = tmp_path / "jars.lock", []

    def second() -> None:
        with waiting_lock(lock, Event()):
            order.append("second")

    with waiting_lock(lock, Event()):
        thread = Thread(target=second)
        thread.start()
        thread.join(0.5)
        order.append("first")
    thread.join()
    assert order == ["first", "second"]


def test_wait_for_a_lock_can_be_called_off(tmp_path: Path) -> None:
    cancel = Event()
    cancel.set()
    lock = tmp_path / "jars.lock"
    with (
        waiting_lock(lock, Event()),
        pytest.raises(StackError, match="called off"),
        waiting_lock(lock, cancel),
    ):
        pytest.fail("the lock was given twice")
