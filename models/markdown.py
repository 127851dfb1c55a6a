"""Tables and numbers of model cards."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def table(head: Sequence[str], rows: Sequence[Sequence[Any]]) -> str:
    """A table of Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines)


def ranged(value: Sequence[float], form: str = ".4f") -> str:
    """A value with its interval."""
    middle, low, high = value
    return f"{middle:{form}} [{low:{form}}, {high:{form}}]"
