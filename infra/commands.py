"""``rift stack``: the local servers, without the platform's own set-up on top."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, out, print_json

if TYPE_CHECKING:
    from infra.progress import Progress

_COLOURS = {"ready": "green", "starting": "yellow", "silent": "yellow", "dead": "red", "stopped": "dim"}

stack = typer.Typer(
    no_args_is_help=True, help="Local servers: Kafka, registry, Flink, object store, Redis, Triton."
)


containers = typer.Typer(no_args_is_help=True, help="The same servers as containers, with Docker Compose.")


def register(app: typer.Typer) -> None:
    """Add ``rift stack`` to ``rift``."""
    stack.add_typer(containers, name="containers")
    app.add_typer(stack, name="stack")


@stack.command(epilog="Example: rift stack up kafka registry")
def up(
    parts: Annotated[
        list[str] | None, typer.Argument(help="Parts to start; all where none is named.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Start the servers that do not run. Downloads what is missing on first use."""
    from infra.progress import live_progress
    from infra.stack import up as start

    with live_progress() as progress:
        statuses = start(parts or None, progress)
    show(statuses, json)


@stack.command(epilog="Example: rift stack down --wipe")
def down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove all data, keys and logs too.")] = False,
    json: JsonFlag = False,
) -> None:
    """Stop all servers and applications of the stack."""
    from infra.stack import down as stop

    _stop(stop, wipe, json)


@stack.command(epilog="Example: rift stack status --json")
def status(json: JsonFlag = False) -> None:
    """Show the health of each server. Exit code 1 where one is dead or does not answer."""
    from infra.stack import health

    statuses = health()
    show(statuses, json)
    if any(s.state in ("dead", "silent") for s in statuses):
        raise typer.Exit(1)


@containers.command("up", epilog="Example: rift stack containers up")
def containers_up(json: JsonFlag = False) -> None:
    """Start the servers as containers that do not run, and set them up."""
    from infra.containers import up as start
    from infra.progress import live_progress

    with live_progress() as progress:
        start(progress)
    if json:
        print_json({"started": True})


@containers.command("down", epilog="Example: rift stack containers down --wipe")
def containers_down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove all data of the containers too.")] = False,
    json: JsonFlag = False,
) -> None:
    """Stop and remove the containers."""
    from infra.containers import down as stop

    _stop(stop, wipe, json)


@containers.command("env", epilog="Example: rift stack containers env > .env")
def containers_env() -> None:
    """Print the variables of docker-compose.kafka.yml, keys and passwords included."""
    from infra.containers import context, prepare, variable_lines

    out.print(variable_lines(prepare(context())), end="", markup=False, highlight=False, soft_wrap=True)


def _stop(stop: Callable[[bool, Progress], None], wipe: bool, json: bool) -> None:
    from infra.progress import live_progress

    with live_progress() as progress:
        stop(wipe, progress)
    if json:
        print_json({"stopped": True, "wiped": wipe})


def show(statuses: list[Any], json: bool) -> None:
    """Print the health of the parts, as a table or as JSON.

    Args:
        statuses: ``infra.stack.PartStatus`` of each part.
        json: Print JSON.
    """
    if json:
        print_json([asdict(status) for status in statuses])
        return
    from rich.table import Table

    table = Table(box=None, pad_edge=False)
    for title, justify in (("part", "left"), ("state", "left"), ("version", "left"), ("port", "right")):
        table.add_column(title, justify=justify)  # type: ignore[arg-type]
    for title in ("memory", "up for"):
        table.add_column(title, justify="right")
    for s in statuses:
        table.add_row(
            s.name,
            f"[{_COLOURS[s.state]}]{s.state}",
            s.version,
            str(next(iter(s.ports.values()), "")),
            "" if s.memory_mb is None else f"{s.memory_mb:.0f} MB",
            "" if s.uptime_s is None else f"{s.uptime_s:.0f} s",
        )
    out.print(table)
    for s in statuses:
        if s.detail:
            out.print(f"\n[bold]{s.name}[/bold] is {s.state}:\n{s.detail}", highlight=False)
