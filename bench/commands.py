"""``rift bench``: one benchmark a question."""

from __future__ import annotations

import importlib
import inspect
from typing import Annotated

import typer

from riftstream.console import JsonFlag, out, print_json
from riftstream.errors import RiftError

NAMES = (
    "anomalies",
    "avro",
    "lake",
    "lake_scan",
    "latency",
    "online",
    "peers",
    "pipeline",
    "scaling",
    "serving",
    "soak",
)


def register(app: typer.Typer) -> None:
    """Add ``rift bench``."""
    app.command("bench", help=_help(), no_args_is_help=True)(run)


def _help() -> str:
    return (
        "Run a benchmark, write docs/benchmarks/NAME.json and the page docs/benchmarks.md.\n\n"
        f"NAME is one of: {', '.join(NAMES)}. `rift bench pipeline --peers` is `rift bench peers`.\n\n"
        "Example: rift bench avro"
    )


def run(
    name: Annotated[str, typer.Argument(help="Which benchmark.")],
    peers: Annotated[
        bool, typer.Option("--peers", help="With pipeline: the part that peers can do.")
    ] = False,
    seconds: Annotated[float | None, typer.Option(min=1, help="Seconds that are measured at a time.")] = None,
    rounds: Annotated[int | None, typer.Option(min=1, help="How often each is measured.")] = None,
    only: Annotated[list[str] | None, typer.Option(help="Only this contender; may be repeated.")] = None,
    json: JsonFlag = False,
) -> None:
    """Run one benchmark and show its table."""
    if name not in NAMES or (peers and name not in ("pipeline", "peers")):
        raise RiftError(
            f"There is no benchmark {name}{' --peers' if peers else ''}.",
            f"Choose one of: {', '.join(NAMES)}.",
        )
    from rich.table import Table

    measure = importlib.import_module(f"bench.{'peers' if peers else name}").run
    options = {"seconds": seconds, "rounds": rounds, "only": only}
    given = {option: value for option, value in options.items() if value is not None}
    unknown = [option for option in given if option not in inspect.signature(measure).parameters]
    if unknown:
        raise RiftError(f"The benchmark {name} has no option --{unknown[0]}.")
    result = measure(**given)
    if json:
        print_json(result)
        return
    table = Table(*result["columns"], title=result["question"])
    for row in result["rows"]:
        table.add_row(*map(str, row))
    out.print(table)
    for note in result.get("notes", []):
        out.print(f"- {note}", highlight=False)
