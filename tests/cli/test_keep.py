"""What keeps the lake: everything in its turn, and nothing that is no command."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest
import typer

from infra.parts.base import Part
from riftstream.cli import gather
from riftstream.cli.keep import GRACE_S, TASKS, Task, rounds

_KEEPER = """
import signal, sys
from riftstream.cli.keep import ended
for number in (signal.SIGTERM, signal.SIGINT):
    signal.signal(number, signal.default_int_handler)
ended([sys.executable, "-c", sys.argv[1], sys.argv[2]], grace_s=float(sys.argv[3]))
"""
_CLEAN = """
import os, pathlib, sys, time
note = pathlib.Path(sys.argv[1])
try:
    note.with_suffix(".new").write_text(str(os.getpid()))
    note.with_suffix(".new").rename(note)
    time.sleep(600)
except KeyboardInterrupt:
    time.sleep(0.6)
    note.write_text("cleaned up")
"""
_DEAF = "import signal; signal.signal(signal.SIGINT, signal.SIG_IGN)" + _CLEAN


def test_each_task_comes_in_its_turn_and_time_never_runs_back() -> None:
    tasks = (Task(("a",), 5, 60), Task(("b",), 0, 15), Task(("c",), 15, 15))
    found = list(itertools.takewhile(lambda one: one[0] <= 125, rounds(tasks, lambda: 0.0)))
    assert [minutes for minutes, _ in found] == sorted(minutes for minutes, _ in found)
    assert Counter(task.command for _, task in found) == {("a",): 3, ("b",): 9, ("c",): 8}
    assert [minutes for minutes, task in found if task.command == ("a",)] == [5, 65, 125]


def test_turns_that_a_long_round_made_others_miss_are_left_out() -> None:
    tasks = (Task(("long",), 5, 60), Task(("short",), 0, 15))
    clock, ran = [0.0], []
    for minutes, task in rounds(tasks, lambda: clock[0]):
        clock[0] = max(clock[0], minutes)
        ran.append((task.command[0], clock[0]))
        if clock[0] >= 100:
            break
        clock[0] += 62 if task.command == ("long",) else 1
    # From 5 to 67 the long one runs: of the short one's turns at 15, 30, 45 and 60 one is left.
    assert ran == [("short", 0), ("long", 5), ("short", 67), ("short", 75), ("short", 90), ("short", 105)]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_command_that_is_stopped_cleans_up_first(tmp_path: Path, number: signal.Signals) -> None:
    keeper, _ = _kept(tmp_path / "note", _CLEAN, 60)
    keeper.send_signal(number)
    keeper.communicate(timeout=60)
    assert (tmp_path / "note").read_text() == "cleaned up"
    assert keeper.returncode != 0


def test_a_command_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    keeper, child = _kept(tmp_path / "note", _DEAF, 0.3)
    keeper.terminate()
    keeper.communicate(timeout=60)
    with pytest.raises(ProcessLookupError):
        os.kill(child, 0)
    assert Part.stop_timeout > GRACE_S


def _kept(note: Path, code: str, grace_s: float) -> tuple[subprocess.Popen[bytes], int]:
    """A keeper at work on a command, and the command's process id."""
    keeper = subprocess.Popen(
        [sys.executable, "-c", _KEEPER, code, str(note), str(grace_s)], stderr=subprocess.PIPE
    )
    while not note.exists():
        assert keeper.poll() is None
        time.sleep(0.02)
    return keeper, int(note.read_text())


def test_every_task_is_a_command_of_the_lake_that_speaks_json() -> None:
    lake = typer.main.get_command(gather()).commands["lake"]  # type: ignore[attr-defined]
    for task in TASKS:
        command = lake.commands[task.command[0]]
        assert "--json" in {option for one in command.params for option in one.opts}
    assert {"etl", "audit", "maintain", "settle", "analytics", "models"} == {t.command[0] for t in TASKS}
