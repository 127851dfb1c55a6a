"""What keeps the lake: everything in its turn, and nothing that is no command."""

from __future__ import annotations

import itertools
from collections import Counter

import typer

from riftstream.cli import gather
from riftstream.cli.keep import TASKS, Task, rounds


def test_each_task_comes_in_its_turn_and_time_never_runs_back() -> None:
    tasks = (Task(("a",), 5, 60), Task(("b",), 0, 15), Task(("c",), 15, 15))
    found = list(itertools.takewhile(lambda one: one[0] <= 125, rounds(tasks)))
    assert [minutes for minutes, _ in found] == sorted(minutes for minutes, _ in found)
    assert Counter(task.command for _, task in found) == {("a",): 3, ("b",): 9, ("c",): 8}
    assert [minutes for minutes, task in found if task.command == ("a",)] == [5, 65, 125]


def test_every_task_is_a_command_of_the_lake_that_speaks_json() -> None:
    lake = typer.main.get_command(gather()).commands["lake"]  # type: ignore[attr-defined]
    for task in TASKS:
        command = lake.commands[task.command[0]]
        assert "--json" in {option for one in command.params for option in one.opts}
    assert {"etl", "audit", "maintain", "settle", "analytics", "models"} == {t.command[0] for t in TASKS}
