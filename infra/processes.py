"""Processes of the stack: started detached, known again for sure, ended with all their children.

A process is known by its id and its creation time, so a recycled id is never taken for it. It and all that
it starts also carry a mark in their environment, by which children are found whose parent is gone.
"""

from __future__ import annotations

import os
import subprocess
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

MARK = "RIFT_STACK_PART"

_KEEP_LOGS = 3
_FEASTS_OWN = ("PROMETHEUS_MULTIPROC_DIR", "PROMETHEUS_MULTIPROCESS_DIR")
_CLOCK_TOLERANCE_S = 1.0
_TERM_GRACE_S = 2.0

# Own children, kept so that they can be reaped: a dead child that nobody waited for still has its id.
_children: dict[int, subprocess.Popen[bytes]] = {}


@dataclass(frozen=True)
class Identity:
    """A process for sure.

    Attributes:
        pid: Process id.
        created: When it was created, in seconds since 1970.
    """

    pid: int
    created: float


def spawn(
    mark: str, argv: Sequence[str], env: Mapping[str, str], log: Path, folder: Path, nice: int = 0
) -> Identity:
    """Start a process in a session of its own, which outlives this one.

    Args:
        mark: What it and its children carry in their environment.
        argv: Command line.
        env: Environment beside this process's own.
        log: File for both its outputs; an older one is kept under another name.
        folder: Its working folder.
        nice: How far it stands back where others want the same core, 0 to 19.

    Raises:
        OSError: The program cannot be run.
    """
    rotate(log)
    with log.open("wb") as out:
        child = subprocess.Popen(
            list(argv),
            env={**inherited(), **env, MARK: mark},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    _children[child.pid] = child
    process = psutil.Process(child.pid)
    if nice:
        process.nice(nice)
    return Identity(child.pid, process.create_time())


def inherited() -> dict[str, str]:
    """This process's environment, as its children get it.

    Importing Feast tells Prometheus by the environment to count in files. A server that inherits that spends
    a tenth of its time on them.
    """
    return {name: value for name, value in os.environ.items() if name not in _FEASTS_OWN}


def rotate(log: Path) -> None:
    """Keep the last logs as NAME.1, NAME.2, … and make room for a new one that only its owner can read."""
    log.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for number in range(_KEEP_LOGS, 0, -1):
        older = log.with_name(f"{log.name}.{number - 1}") if number > 1 else log
        if older.is_file():
            older.replace(log.with_name(f"{log.name}.{number}"))
    log.touch(mode=0o600)


def find(identity: Identity) -> psutil.Process | None:
    """The living process, or None where it has ended or its id belongs to another one now."""
    child = _children.get(identity.pid)
    if child is not None and child.poll() is not None:
        del _children[identity.pid]
        return None
    try:
        process = psutil.Process(identity.pid)
        same = abs(process.create_time() - identity.created) < _CLOCK_TOLERANCE_S
        return process if same and process.status() != psutil.STATUS_ZOMBIE else None
    except psutil.Error:
        return None


def marked(mark: str) -> list[psutil.Process]:
    """All living processes that carry a mark or one that begins with it, except this process itself."""
    found = []
    for process in psutil.process_iter():
        try:
            carries = process.environ().get(MARK, "").startswith(mark)
            if carries and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except psutil.Error:
            continue
    return found


def stop(mark: str, identity: Identity | None, grace: float) -> None:
    """End a process and all its children.

    Args:
        mark: The mark that they carry.
        identity: The main process; it is asked first.
        grace: Seconds that it has to end by itself.
    """
    main = find(identity) if identity else None
    if main is not None:
        _ask(main)
        psutil.wait_procs([main], timeout=grace)
    rest = marked(mark)
    for process in rest:
        _ask(process)
    _, stubborn = psutil.wait_procs(rest, timeout=0 if main in rest else _TERM_GRACE_S)
    for process in stubborn:
        try:
            process.kill()
        except psutil.Error:
            continue
    psutil.wait_procs(stubborn, timeout=10)
    if identity:
        find(identity)


def _ask(process: psutil.Process) -> None:
    """Send SIGTERM; psutil makes sure that the id is still that of the same process."""
    try:
        process.terminate()
    except psutil.Error:
        return


def listens(mark: str, port: int) -> bool:
    """True where a process that carries a mark listens on a TCP port."""
    for process in marked(mark):
        try:
            for connection in process.net_connections("tcp"):
                if connection.status == psutil.CONN_LISTEN and connection.laddr.port == port:
                    return True
        except psutil.Error:
            continue
    return False


def memory_mb(mark: str) -> float:
    """Resident memory in MB of all processes that carry a mark."""
    total = 0
    for process in marked(mark):
        try:
            total += process.memory_info().rss
        except psutil.Error:
            continue
    return total / 1e6


def last_lines(log: Path, count: int = 12) -> str:
    """The last lines of a log, the empty ones left out."""
    if not log.is_file():
        return ""
    with log.open(errors="replace") as lines:
        return "\n".join(deque((line.rstrip() for line in lines if line.strip()), maxlen=count))
