"""Rows of whole feature views, read from the online store together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from features.online import MOST_ENTITIES, OnlineReader, Vectors
from features.views import Service, View

Row = Mapping[str, Any]


def together(name: str, *views: View) -> Service:
    """All features of some views, to be read at once."""
    references = tuple(f"{view.name}:{field.name}" for view in views for field in view.features)
    return Service(name, "", references, "")


def rows_of(vectors: Vectors, view: View) -> list[tuple[int, Row | None]]:
    """Each entity's row of a view with its time in ms; None, and a time below 0, where the store has none."""
    values = vectors.values_of([f"{view.name}:{field.name}" for field in view.features])
    names = [field.name for field in view.features]
    times = vectors.event_time[:, [one.name for one in vectors.service.views].index(view.name)].tolist()
    return [
        (at, dict(zip(names, row, strict=True)) if at >= 0 else None)
        for at, row in zip(times, values, strict=True)
    ]


def read_all(
    reader: OnlineReader, view: View, entities: Mapping[str, Sequence[str]]
) -> list[tuple[int, Row | None]]:
    """Rows of a view for any number of entities, see ``rows_of``.

    Raises:
        StackError: Redis does not answer.
    """
    found = []
    for start in range(0, len(next(iter(entities.values()))), MOST_ENTITIES):
        part = {key: values[start : start + MOST_ENTITIES] for key, values in entities.items()}
        found += rows_of(reader.get(view.name, part), view)
    return found
