"""Twenty real professional matches that come with the project; the README beside the data says which."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from streams.sources.json_lines import JsonLines

FILE = Path(__file__).parent / "matches.jsonl.gz"

COMEBACK = "TRLH1/1002220186"
"""The match in which the winner was furthest behind in gold: 11,226 at 38 minutes."""

Event = dict[str, Any]


def matches() -> list[list[Event]]:
    """The events of each of the twenty matches, in log order."""
    return list(JsonLines(FILE).matches())


def events() -> Iterator[Event]:
    """The events of all twenty matches, in log order, one match after the other."""
    for match in matches():
        yield from match
