"""How long work tells how far it is: one line a part on standard error."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from riftstream.console import err


class Progress(Protocol):
    """Receives how far a part is. Called from several threads."""

    def __call__(self, part: str, stage: str, done: int = 0, total: int = 0) -> None:
        """Say that a part is at a stage.

        Args:
            part: Name of the part, such as ``kafka``.
            stage: What it does now: a word or two, such as ``downloading`` or ``ready``.
            done: Units done of the stage; bytes where it downloads.
            total: Units of the whole stage; 0 where nobody knows.
        """


def silent(part: str, stage: str, done: int = 0, total: int = 0) -> None:
    """A ``Progress`` that says nothing."""


@contextmanager
def live_progress() -> Iterator[Progress]:
    """A ``Progress`` that draws one line a part on standard error while the block runs."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn, TimeElapsedColumn

    columns = (
        SpinnerColumn(finished_text="[green]✓"),
        TextColumn("{task.description:<12}"),
        TextColumn("{task.fields[stage]:<28}"),
        BarColumn(bar_width=24),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=err) as bars:
        tasks: dict[str, TaskID] = {}

        def show(part: str, stage: str, done: int = 0, total: int = 0) -> None:
            if part not in tasks:
                tasks[part] = bars.add_task(part, total=None, stage=stage)
            text = f"{stage} {done / 1e6:.0f}/{total / 1e6:.0f} MB" if total else stage
            if stage in ("ready", "running", "stopped"):
                bars.update(tasks[part], stage=text, completed=1, total=1)
            else:
                bars.update(tasks[part], stage=text, completed=done, total=total or None)

        yield show
