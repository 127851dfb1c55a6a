"""How commands speak: results to standard output, progress to standard error, one line on an error."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import orjson
import typer
from rich.console import Console

out = Console()
err = Console(stderr=True)

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON for programs instead of text for people.")]


def print_json(value: Any) -> None:
    """Write a value (dataclasses, dates and paths included) to standard output as JSON."""
    text = orjson.dumps(value, default=str, option=orjson.OPT_INDENT_2)
    sys.stdout.buffer.write(text + b"\n")
    sys.stdout.flush()
