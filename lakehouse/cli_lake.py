"""``rift lake``: the tables."""

from __future__ import annotations

import typer

lake = typer.Typer(help="The lake: its tables and their upkeep.", no_args_is_help=True)
