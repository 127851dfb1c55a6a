"""``rift lake keep``: what the lake needs done now and then, one thing after the other.

Each round is a command in a process of its own: between rounds nothing is held in memory, two of them never
meet, and what one leaves undone the next one makes good. Turns that pass during a long round are left out:
one run does what all of them would have.
"""

from __future__ import annotations

import heapq
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import typer

from riftstream.console import JsonFlag, err, print_json


@dataclass(frozen=True)
class Task:
    """A command that is run again and again.

    Attributes:
        command: The command of ``rift lake``, with its arguments.
        first: Minutes until it is run for the first time.
        every: Minutes between the beginnings of two runs.
    """

    command: tuple[str, ...]
    first: float
    every: float


TASKS = (
    Task(("models",), 0, 15),
    Task(("etl",), 5, 60),
    Task(("settle",), 10, 15),
    Task(("etl", "--days", "2"), 1_440, 1_440),
    Task(("maintain",), 15, 15),
    Task(("audit",), 35, 60),
    Task(("analytics",), 45, 15),
)
"""What is done, and how often."""
GRACE_S = 15.0
"""How long a command that is stopped may clean up; the platform waits 20 s for the keeper itself."""


def register(lake: typer.Typer) -> None:
    """Add this command to ``rift lake``."""
    lake.command("keep")(_keep)


def rounds(tasks: Sequence[Task], now: Callable[[], float]) -> Iterator[tuple[float, Task]]:
    """When each task is due, in minutes from the start, in order; those due at once in their own order.

    Args:
        tasks: The tasks.
        now: Minutes since the start. Turns of a task that have passed when it is done are left out.
    """
    due = [(task.first, place) for place, task in enumerate(tasks)]
    heapq.heapify(due)
    while due:
        minutes, place = due[0]
        yield minutes, tasks[place]
        every = tasks[place].every
        missed = max(0, int((now() - minutes) // every))
        heapq.heapreplace(due, (minutes + every * (1 + missed), place))


def ended(command: Sequence[str], grace_s: float = GRACE_S) -> int:
    """Run a command to its end, and give its exit code.

    Where this process is interrupted meanwhile, the command is interrupted once and has a while to clean up.

    Args:
        command: The program with its arguments.
        grace_s: Seconds that it may take; after that it is killed.
    """
    # A group of its own: Ctrl-C in a terminal would else interrupt it twice, the second time as it cleans up.
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, process_group=0)
    try:
        return child.wait()
    except KeyboardInterrupt:
        child.send_signal(signal.SIGINT)
        try:
            child.wait(grace_s)
        except (KeyboardInterrupt, subprocess.TimeoutExpired):
            child.kill()
            child.wait()
        raise


def _keep(json: JsonFlag = False) -> None:
    """Keep the lake until stopped: fill, settle, audit and compact tables, and feed the dashboards.

    `rift up` runs it. With --json it only tells what is done how often. Example: rift lake keep
    """
    if json:
        print_json(TASKS)
        return
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.default_int_handler)
    begin = time.monotonic()

    def now() -> float:
        return (time.monotonic() - begin) / 60

    for minutes, task in rounds(TASKS, now):
        time.sleep(max(0.0, (minutes - now()) * 60))
        _run(task)


def _run(task: Task) -> None:
    command = [str(Path(sys.executable).with_name("rift")), "lake", *task.command, "--json"]
    started = datetime.now(UTC)
    code = ended(command)
    seconds = (datetime.now(UTC) - started).total_seconds()
    words = " ".join(task.command)
    err.print(
        f"{started:%Y-%m-%dT%H:%M:%SZ} {words} ended with {code} after {seconds:.0f} s", highlight=False
    )
