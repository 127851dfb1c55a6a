"""``rift lake keep``: what the lake needs done now and then, one thing after the other.

Each round is a command in a process of its own: between rounds nothing is held in memory, two of them never
meet, and what one leaves undone the next one makes good.
"""

from __future__ import annotations

import heapq
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
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


def register(lake: typer.Typer) -> None:
    """Add this command to ``rift lake``."""
    lake.command("keep")(_keep)


def rounds(tasks: Sequence[Task]) -> Iterator[tuple[float, Task]]:
    """When each task is due, in minutes from now, in order; those that are due at once in their own order."""
    due = [(task.first, place) for place, task in enumerate(tasks)]
    heapq.heapify(due)
    while due:
        minutes, place = due[0]
        yield minutes, tasks[place]
        heapq.heapreplace(due, (minutes + tasks[place].every, place))


def _keep(json: JsonFlag = False) -> None:
    """Keep the lake until stopped: fill, settle, audit and compact tables, and feed the dashboards.

    `rift up` runs it. With --json it only tells what is done how often. Example: rift lake keep
    """
    if json:
        print_json(TASKS)
        return
    # Ctrl-C and the end of the platform reach a running command too: all of them can be stopped anywhere.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    begin = time.monotonic()
    for minutes, task in rounds(TASKS):
        time.sleep(max(0.0, begin + minutes * 60 - time.monotonic()))
        _run(task)


def _run(task: Task) -> None:
    command = [str(Path(sys.executable).with_name("rift")), "lake", *task.command, "--json"]
    started = datetime.now(UTC)
    code = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
    seconds = (datetime.now(UTC) - started).total_seconds()
    words = " ".join(task.command)
    err.print(
        f"{started:%Y-%m-%dT%H:%M:%SZ} {words} ended with {code} after {seconds:.0f} s", highlight=False
    )
