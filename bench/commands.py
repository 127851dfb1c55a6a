"""``rift bench``: one benchmark a question."""

from __future__ import annotations

import importlib
from typing import Annotated

import typer

from riftstream.console import JsonFlag, out, print_json
from riftstream.errors import RiftError

NAMES = ("avro", "latency", "pipeline")


def register(app: typer.Typer) -> None:
    """Add ``rift bench``."""
    app.command("bench", help=_help(), no_args_is_help=True)(run)


def _help() -> str:
    return (
        "Run a benchmark, write docs/benchmarks/NAME.json and the page docs/benchmarks.md.\n\n"
        f"NAME is one of: {', '.join(NAMES)}.\n\nExample: rift bench avro"
    )


def run(
    name: Annotated[str, typer.Argument(help="Which benchmark.")],
    json: JsonFlag = False,
) -> None:
    """Run one benchmark and show its table."""
    if name not in NAMES:
        raise RiftError(f"There is no benchmark {name}.", f"Choose one of: {', '.join(NAMES)}.")
    from rich.table import Table

    result = importlib.import_module(f"bench.{name}").run()
    if json:
        print_json(result)
        return
    table = Table(*result["columns"], title=result["question"])
    for row in result["rows"]:
        table.add_row(*map(str, row))
    out.print(table)
    for note in result.get("notes", []):
        out.print(f"- {note}", highlight=False)
