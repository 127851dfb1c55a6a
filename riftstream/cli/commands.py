"""Commands that put the rooms together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from features.commands import features
from lakehouse.cli_lake import lake
from models.commands import models
from riftstream.cli import (
    chart,
    check,
    compare,
    demo,
    deploy,
    erase,
    keep,
    lineage,
    model_tables,
    plan,
    predict,
    quality,
    reference,
    replay_prediction,
    training,
    watch,
)
from riftstream.cli import lake as lake_commands
from riftstream.console import JsonFlag, err, out, print_json
from riftstream.settings import get_settings

if TYPE_CHECKING:
    from riftstream.cli.platform import Status

_COLOURS = {"ready": "green", "starting": "yellow", "silent": "yellow", "dead": "red", "stopped": "dim"}


def register(app: typer.Typer) -> None:
    """Add the commands that need several rooms."""
    app.command("up")(_up)
    app.command("down")(_down)
    app.command("status")(_status)
    for part in (erase, keep, model_tables):
        part.register(lake)
    for part in (plan, watch, predict, replay_prediction, chart, demo, reference):
        part.register(app)
    for part in (lineage, training, check, quality):
        part.register(features)
    lake_commands.register(lake)
    for part in (deploy, compare):
        part.register(models)


def _up(
    json: JsonFlag = False,
    servers_only: Annotated[
        bool, typer.Option("--servers-only", help="Start the servers, without topics, jobs and applications.")
    ] = False,
) -> None:
    """Start the platform on this machine: servers, topics, schemas, tables, features, jobs, applications.

    What runs already is left alone. Example: rift up
    """
    from infra import stack
    from infra.progress import live_progress
    from riftstream.cli import platform

    with live_progress() as progress:
        if servers_only:
            stack.up(progress=progress)
        else:
            platform.start(progress)
    _show(platform.status(), json)


def _down(
    wipe: Annotated[bool, typer.Option("--wipe", help="Remove all data, keys and logs too.")] = False,
    json: JsonFlag = False,
) -> None:
    """Stop every process of the platform. Example: rift down --wipe"""
    from infra import stack
    from infra.progress import live_progress

    home = get_settings().home
    with live_progress() as progress:
        stack.down(wipe, progress)
    if json:
        print_json({"stopped": True, "wiped": wipe, "home": home})
    else:
        err.print(
            "The platform is down, its data removed."
            if wipe
            else f"The platform is down; its data stays in {home}."
        )


def _status(
    json: JsonFlag = False,
    settings: Annotated[
        bool, typer.Option("--settings", help="Print the settings in force, secrets masked.")
    ] = False,
) -> None:
    """Health, version, port and memory of each part; topics with lag; age of newest feature and prediction.

    Exits with 1 where a part is not ready. Example: rift status --json
    """
    from riftstream.cli import platform

    if settings:
        _show_settings(json)
        return
    found = platform.status()
    _show(found, json)
    if not found.healthy:
        raise typer.Exit(1)


def _show_settings(json: bool) -> None:
    values = get_settings().model_dump(mode="json")
    if json:
        print_json(values)
        return
    for name, value in values.items():
        out.print(f"RIFT_{name.upper()} = {value}", highlight=False)


def _age(age_ms: int | None) -> str:
    if age_ms is None:
        return "-"
    return f"{age_ms} ms" if age_ms < 10_000 else f"{age_ms / 1000:,.0f} s"


def _show(status: Status, json: bool) -> None:
    if json:
        print_json(status)
        return
    from rich.table import Table

    parts = Table("part", "state", "version", "ports", "pid", "memory MB", "up s", box=None)
    for part in status.parts:
        parts.add_row(
            part.name,
            f"[{_COLOURS[part.state]}]{part.state}[/]",
            part.version,
            " ".join(f"{name}:{port}" for name, port in part.ports.items()),
            str(part.pid or "-"),
            f"{part.memory_mb:,.0f}" if part.memory_mb else "-",
            f"{part.uptime_s:,.0f}" if part.uptime_s else "-",
        )
    out.print(parts)
    if status.topics:
        topics = Table("topic", "partitions", "records", "newest", "lag", box=None)
        for topic in status.topics:
            lag = ", ".join(f"{group} {behind:,}" for group, behind in topic.lag.items())
            topics.add_row(
                topic.name, str(topic.partitions), f"{topic.records:,}", _age(topic.newest_age_ms), lag or "-"
            )
        out.print(topics)
    for name, state in status.jobs.items():
        out.print(f"job {name}: {state}")
    if status.features:
        quality.show(status.features)
    if status.checked is not None:
        out.print(
            f"{status.checked.vectors:,} served vectors of {status.checked.matches:,} matches checked: "
            f"{status.checked.wrong:,} differ, {status.checked.not_recomputed:,} cannot be made again",
            highlight=False,
            soft_wrap=True,
        )
    for part in status.parts:
        if part.detail:
            err.print(f"{part.name}: {part.detail}", highlight=False)
    for problem in status.problems:
        err.print(problem, highlight=False)
    out.print(
        f"newest feature {_age(status.newest_feature_age_ms)} old, "
        f"newest prediction {_age(status.newest_prediction_age_ms)} old"
    )
