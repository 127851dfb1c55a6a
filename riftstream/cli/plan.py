"""`rift plan` and `rift apply`: one difference over topics, schemas, tables, Feast's objects and jobs.

Each room says what differs in its part (``plan``) and makes it so (``apply``); here they are only put in
order. What is refused anywhere stops everything: a platform is never changed by half.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Annotated

import typer
from rich.markup import escape

from riftstream.changes import Change
from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import SchemaError
from riftstream.settings import Settings, get_settings

JOBS = "jobs"
"""Name of the piece that the Flink jobs are."""

_MARKS = {"create": "[green]+[/green]", "update": "[yellow]~[/yellow]", "refuse": "[red]![/red]"}


@dataclass(frozen=True)
class Piece:
    """A part of the platform that can say how it differs from the files, and be made equal to them.

    Attributes:
        name: What it is about, in the plural, for progress.
        plan: Gives the differences.
        apply: Makes these differences so.
    """

    name: str
    plan: Callable[[], list[Change]]
    apply: Callable[[list[Change]], None]


def job_piece(
    wanted: Iterable[str], running: Callable[[], Iterable[str]], submit: Callable[[list[str]], object]
) -> Piece:
    """The Flink jobs: what shall run and does not is submitted; nothing is stopped.

    Args:
        wanted: Names of the jobs that shall run.
        running: Gives the names of those that run.
        submit: Submits those of these names.
    """

    def plan_jobs() -> list[Change]:
        there = set(running())
        return [Change("job", name, "create", f"submit {name}") for name in wanted if name not in there]

    def apply_jobs(changes: list[Change]) -> None:
        submit([change.name for change in changes])

    return Piece(JOBS, plan_jobs, apply_jobs)


def pieces(settings: Settings) -> list[Piece]:
    """The parts of the platform, each after those that it needs."""
    from features import repo
    from jobs import runner, sqlfile
    from lakehouse import tables
    from streams import registry, topics

    def register_features(changes: list[Change]) -> None:
        from riftstream.cli import platform

        repo.apply(settings, changes)
        platform.renew_online_store()

    def submit(names: list[str]) -> object:
        return runner.submit_all(names, settings=settings)

    return [
        Piece("topics", lambda: topics.plan(settings), lambda changes: topics.apply(settings, changes)),
        Piece("schemas", lambda: registry.plan(settings), lambda changes: registry.apply(settings, changes)),
        Piece("tables", lambda: tables.plan(settings), lambda changes: tables.apply(settings, changes)),
        Piece("features", lambda: repo.plan(settings), register_features),
        job_piece(sqlfile.names(), lambda: runner.running(settings), submit),
    ]


def plan(parts: Iterable[Piece]) -> list[Change]:
    """All differences between the files and the running platform, in the order in which they are applied.

    Raises:
        StackError: A part of the platform does not answer.
    """
    return [change for piece in parts for change in piece.plan()]


def apply(parts: Iterable[Piece], progress: Callable[[str], None] = lambda text: None) -> list[Change]:
    """Make the running platform what the files say, and return what was changed; twice changes nothing.

    Args:
        parts: The parts, each after those that it needs.
        progress: Told what is being done.

    Raises:
        SchemaError: Something is refused; then nothing has been changed.
        StackError: A part of the platform does not answer.
    """
    todo = [(piece, piece.plan()) for piece in parts]
    changes = [change for _, found in todo for change in found]
    refused = [f"{change.name}: {change.detail}" for change in changes if change.action == "refuse"]
    if refused:
        raise SchemaError(" ".join(refused), "Nothing was applied.")
    for piece, found in todo:
        if found:
            progress(piece.name)
            piece.apply(found)
    return changes


def show(changes: list[Change], nothing: str) -> None:
    """Print changes for people, or ``nothing`` where there are none."""
    for change in changes:
        detail = escape(change.detail)
        out.print(
            f"{_MARKS[change.action]} {change.kind} [bold]{change.name}[/bold]  {detail}",
            highlight=False,
            soft_wrap=True,
        )
    if not changes:
        out.print(nothing)


def register(app: typer.Typer) -> None:
    """Add ``plan`` and ``apply`` to ``rift``."""
    app.command("plan")(_plan_command)
    app.command("apply")(_apply_command)


def _plan_command(
    as_json: JsonFlag = False,
    check: Annotated[bool, typer.Option("--check", help="Exit with 2 where there are differences.")] = False,
) -> None:
    """Show what `rift apply` would change: topics, schemas, tables, Feast's objects, jobs.

    Example: rift plan --check
    """
    changes = plan(pieces(get_settings()))
    if as_json:
        print_json({"changes": changes})
    else:
        show(changes, "The platform is as the files say.")
    if check and changes:
        raise typer.Exit(2)


def _apply_command(as_json: JsonFlag = False) -> None:
    """Make topics, schemas, tables, Feast's objects and jobs what the files say. Twice changes nothing.

    Example: rift apply
    """
    with err.status("comparing the files with the platform") as status:
        changes = apply(pieces(get_settings()), lambda name: status.update(f"applying {name}"))
    if as_json:
        print_json({"changes": changes})
    else:
        show(changes, "Nothing to do: the platform is as the files say.")
