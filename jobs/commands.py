"""``rift jobs``: list, submit, stop, savepoint and upgrade Flink jobs."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.table import Table

from riftstream.console import JsonFlag, err, out, print_json

_Name = Annotated[str, typer.Argument(help="Job: the name of its file in jobs/, without .sql.")]
_Target = Annotated[
    str, typer.Option("--target", help="remote (the cluster of the settings), local, or http://HOST:PORT.")
]


def register(app: typer.Typer) -> None:
    """Add ``rift jobs``."""
    jobs = typer.Typer(name="jobs", help="Flink jobs: one SQL file each.", no_args_is_help=True)
    jobs.command("list", epilog="Example: rift jobs list")(_list)
    jobs.command("submit", epilog="Example: rift jobs submit match_pipeline")(_submit)
    jobs.command("stop", epilog="Example: rift jobs stop match_pipeline")(_stop)
    jobs.command("savepoint", epilog="Example: rift jobs savepoint match_pipeline")(_savepoint)
    jobs.command("upgrade", epilog="Example: rift jobs upgrade match_pipeline")(_upgrade)
    app.add_typer(jobs)


def _list(as_json: JsonFlag = False, target: _Target = "remote") -> None:
    """Every job that there is a file for, and how it runs."""
    from jobs import runner, sqlfile

    found = runner.listing(target=target)
    headers = {name: sqlfile.load(name).header for name in found}
    if as_json:
        print_json([{"name": name, "run": run, "header": headers[name]} for name, run in found.items()])
        return
    table = Table("job", "state", "tasks", "since", "reads", "writes", box=None)
    for name, run in found.items():
        header = headers[name]
        if run is None:
            table.add_row(name, "not submitted", "", "", header["Reads"], header["Writes"])
        else:
            since = datetime.fromtimestamp(run.started_ms / 1000, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
            tasks = f"{run.tasks_running}/{run.tasks}"
            table.add_row(name, run.state.lower(), tasks, since, header["Reads"], header["Writes"])
    out.print(table)


def _submit(
    name: _Name,
    target: _Target = "remote",
    from_savepoint: Annotated[
        str, typer.Option("--from-savepoint", help="Checkpoint or savepoint to go on from, or latest.")
    ] = "latest",
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Begin anew: no state, topics from their start.")
    ] = False,
    option: Annotated[
        list[str] | None, typer.Option("--option", "-D", help="Flink option KEY=VALUE; may be repeated.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Submit a job. One that runs is left alone; it goes on from its newest checkpoint or savepoint."""
    from jobs import runner

    with err.status(f"submitting {name}"):
        submitted = runner.submit(
            name, target=target, from_savepoint=from_savepoint, fresh=fresh, options=_options(option)
        )
    _tell(asdict(submitted), as_json)


def _stop(
    name: _Name,
    target: _Target = "remote",
    savepoint: Annotated[
        bool, typer.Option("--savepoint/--no-savepoint", help="Take a savepoint, or cancel at once.")
    ] = True,
    as_json: JsonFlag = False,
) -> None:
    """Stop a job with a savepoint, from which the next submit goes on."""
    from jobs import runner

    with err.status(f"stopping {name}"):
        taken = runner.stop(name, target=target, savepoint=savepoint)
    _tell({"name": name, "stopped": True, "savepoint": taken.path if taken else None}, as_json)


def _savepoint(name: _Name, target: _Target = "remote", as_json: JsonFlag = False) -> None:
    """Take a savepoint of a job that goes on running."""
    from jobs import runner

    with err.status(f"taking a savepoint of {name}"):
        taken = runner.savepoint(name, target=target)
    _tell({"name": name, "savepoint": taken.path}, as_json)


def _upgrade(
    name: _Name,
    target: _Target = "remote",
    option: Annotated[
        list[str] | None, typer.Option("--option", "-D", help="Flink option KEY=VALUE; may be repeated.")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Stop a job with a savepoint and submit its file as it is now from there."""
    from jobs import runner

    with err.status(f"upgrading {name}"):
        submitted = runner.upgrade(name, target=target, options=_options(option))
    _tell(asdict(submitted), as_json)


def _options(pairs: list[str] | None) -> dict[str, str]:
    options = {}
    for pair in pairs or []:
        key, sign, value = pair.partition("=")
        if not sign:
            raise typer.BadParameter(f"{pair} is not KEY=VALUE.")
        options[key] = value
    return options


def _tell(result: dict[str, Any], as_json: bool) -> None:
    if as_json:
        print_json(result)
        return
    for key, value in result.items():
        if value is not None:
            out.print(
                f"{key.replace('_', ' '):14} {str(value).lower() if isinstance(value, bool) else value}"
            )
