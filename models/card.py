"""Writes a model's card: ``card.json`` for programs, ``card.md`` for people, ``reliability.png`` for eyes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from models.artefact import digest

DIAGRAM = "reliability.png"


def write_card(
    folder: Path,
    card: dict[str, Any],
    markdown: Callable[[dict[str, Any]], str],
    diagram: Callable[[Path, dict[str, Any]], None],
) -> dict[str, Any]:
    """Write a card beside the model's files.

    Args:
        folder: Folder of the artefact.
        card: The card.
        markdown: Makes a page of it.
        diagram: Draws the reliability into a file from the metrics of the test split.

    Returns:
        The card, with the sum of the diagram.
    """
    diagram(folder / DIAGRAM, card["metrics"]["test"])
    card["files"][DIAGRAM] = digest(folder / DIAGRAM)
    (folder / "card.md").write_text(markdown(card))
    (folder / "card.json").write_text(json.dumps(card, indent=1, ensure_ascii=False) + "\n")
    return card
