"""Processes are known for sure, and end with all their children."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from infra import processes
from infra.processes import Identity

# A parent that starts a child in a session of its own, says so, and sleeps.
_FAMILY = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
print("started", flush=True)
time.sleep(600)
"""
_STUBBORN = """
import signal, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print("started", flush=True)
time.sleep(600)
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """A mark that no other process carries; what carries it is gone after the test."""
    own = f"test-{uuid.uuid4().hex}|part|"
    yield own
    for process in processes.marked(own):
        process.kill()


def start(mark: str, folder: Path, code: str) -> Identity:
    """Start a Python program and wait until it has printed something."""
    log = folder / "part.log"
    identity = processes.spawn(mark, [sys.executable, "-c", code], {}, log, folder)
    wait_for(lambda: log.read_text() != "")
    return identity


def wait_for(condition: object) -> None:
    """Return as soon as a condition holds."""
    deadline = time.monotonic() + 30
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_started_process_is_found_and_leads_its_own_session(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    assert processes.find(identity) is not None
    assert os.getsid(identity.pid) == identity.pid


def test_process_with_the_same_id_and_another_birth_is_not_taken_for_it(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    assert processes.find(Identity(identity.pid, identity.created - 60)) is None


def test_recycled_id_is_not_killed(mark: str, tmp_path: Path) -> None:
    with subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]) as stranger:
        created = psutil.Process(stranger.pid).create_time()
        processes.stop(mark, Identity(stranger.pid, created - 60), grace=5)
        assert stranger.poll() is None
        stranger.kill()


def test_killed_child_that_nobody_waited_for_counts_as_ended(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    os.kill(identity.pid, signal.SIGKILL)
    wait_for(lambda: processes.find(identity) is None)


def test_stop_ends_the_process_and_its_children_in_other_sessions(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    assert len(processes.marked(mark)) == 2
    processes.stop(mark, identity, grace=10)
    assert processes.find(identity) is None
    assert processes.marked(mark) == []


def test_orphans_of_a_killed_process_are_found_and_ended(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    os.kill(identity.pid, signal.SIGKILL)
    wait_for(lambda: processes.find(identity) is None)
    assert len(processes.marked(mark)) == 1
    processes.stop(mark, identity, grace=10)
    assert processes.marked(mark) == []


def test_process_that_ignores_the_request_is_killed(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _STUBBORN)
    processes.stop(mark, identity, grace=0.2)
    assert processes.find(identity) is None


def test_stop_of_one_part_leaves_another_whose_name_begins_alike(tmp_path: Path) -> None:
    stack = f"test-{uuid.uuid4().hex}|"
    first = start(f"{stack}kafka|", tmp_path, _FAMILY)
    second = start(f"{stack}kafka2|", tmp_path, _FAMILY)
    processes.stop(f"{stack}kafka|", first, grace=10)
    try:
        assert processes.find(second) is not None
    finally:
        processes.stop(stack, None, grace=0)
    assert processes.marked(stack) == []


def test_only_the_marked_process_is_said_to_listen(mark: str, tmp_path: Path) -> None:
    listener = (
        "import socket, time\ns = socket.socket(); s.bind(('127.0.0.1', 0)); s.listen()\n"
        "print(s.getsockname()[1], flush=True)\ntime.sleep(600)"
    )
    start(mark, tmp_path, listener)
    port = int((tmp_path / "part.log").read_text())
    assert processes.listens(mark, port)
    assert not processes.listens(f"{mark}other|", port)


def test_memory_counts_the_children(mark: str, tmp_path: Path) -> None:
    identity = start(mark, tmp_path, _FAMILY)
    alone = psutil.Process(identity.pid).memory_info().rss / 1e6
    assert processes.memory_mb(mark) > alone


def test_log_of_an_earlier_start_is_kept_and_only_the_owner_reads_it(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "part.log"
    for text in ("first", "second", "third"):
        processes.rotate(log)
        log.write_text(text)
    assert log.read_text() == "third"
    assert (tmp_path / "logs" / "part.log.1").read_text() == "second"
    assert (tmp_path / "logs" / "part.log.2").read_text() == "first"
    assert stat.S_IMODE(log.stat().st_mode) == 0o600


def test_last_lines_of_a_log_come_without_empty_ones(tmp_path: Path) -> None:
    log = tmp_path / "part.log"
    log.write_bytes(b"one\n\ntwo \xff\n\nthree\n")
    assert processes.last_lines(log, 2).splitlines() == ["two �", "three"]
    assert processes.last_lines(tmp_path / "none.log") == ""


def test_process_that_stands_back_is_started_with_a_lower_priority(mark: str, tmp_path: Path) -> None:
    argv = [sys.executable, "-c", "import time; time.sleep(60)"]
    identity = processes.spawn(mark, argv, {}, tmp_path / "nice.log", tmp_path, nice=7)
    try:
        assert psutil.Process(identity.pid).nice() == psutil.Process().nice() + 7
    finally:
        processes.stop(mark, identity, 1.0)


def test_children_do_not_inherit_what_feast_tells_prometheus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PROMETHEUS_MULTIPROC_DIR", "somewhere")
    monkeypatch.setenv("PROMETHEUS_MULTIPROCESS_DIR", "somewhere")
    monkeypatch.setenv("RIFT_SOMETHING", "kept")
    found = processes.inherited()
    assert found["RIFT_SOMETHING"] == "kept"
    assert not any(name.startswith("PROMETHEUS") for name in found)
