"""The ``rift`` command: every room brings its own commands, this module only gathers them."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import sys
from typing import Annotated

import typer

from riftstream.console import err
from riftstream.errors import RiftError

ROOMS = ("infra", "streams", "jobs", "features", "models", "serving", "lakehouse", "bench", "riftstream.cli")

app = typer.Typer(
    name="rift",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(importlib.metadata.version("riftstream"))
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Streaming predictions for League of Legends esports: every prediction is a fact."""


@functools.cache
def gather() -> typer.Typer:
    """The command line with the commands of all rooms, each of which registers its own once."""
    for room in ROOMS:
        importlib.import_module(f"{room}.commands").register(app)
    return app


def main() -> None:
    """Entry point: errors of ours become one line and exit code 1, Ctrl-C becomes exit code 130."""
    try:
        gather()(standalone_mode=True)
    except RiftError as error:
        err.print(f"[red]error:[/red] {error.message}", highlight=False)
        if error.hint:
            err.print(f"[dim]{error.hint}[/dim]", highlight=False)
        sys.exit(1)
    except KeyboardInterrupt:
        err.print("interrupted")
        sys.exit(130)
