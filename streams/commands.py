"""Commands of this room."""

from __future__ import annotations

import typer

from streams import cli_dlq, cli_import, cli_poll, cli_replay


def register(app: typer.Typer) -> None:
    """Add this room's commands to ``rift``."""
    cli_import.register(app)
    cli_replay.register(app)
    cli_poll.register(app)
    cli_dlq.register(app)
