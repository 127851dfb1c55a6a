"""``rift lake models``: versions of models that came with the code or were published, as rows of the lake.

``models.updates`` is what was decided, as the topic tells it. What each version is, is read from its card
once it is known, and kept in ``models.artefacts``; what it reads, in ``models.definitions``.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import typer

from riftstream.console import JsonFlag, out, print_json
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    from models.artefact import Card

Row = dict[str, Any]


def register(lake: typer.Typer) -> None:
    """Add this command to ``rift lake``."""
    lake.command("models")(_models)


def record_models(settings: Settings | None = None) -> list[str]:
    """Keep the versions of models that the lake does not know yet. Doing it twice changes nothing.

    Args:
        settings: Where the lake and the artefacts are; the process's settings by default.

    Returns:
        Those that are new, as ``name version``.

    Raises:
        ModelError: An artefact cannot be read, or is not the one that was published.
        StackError: The lake does not answer, or another process records models in this RIFT_HOME.
    """
    import pyarrow as pa

    from infra.locks import file_lock
    from lakehouse.catalog import connect
    from lakehouse.commits import append
    from lakehouse.tables import ARTEFACTS, DEFINITIONS, load
    from streams.clock import now_ms

    settings = settings or get_settings()
    with file_lock(settings.home / "lake" / "models.lock"):
        catalog = connect(settings)
        identity = ("model_name", "model_version", "artefact_sha256")
        rows = load(catalog, ARTEFACTS).scan(selected_fields=identity).to_arrow().to_pylist()
        known = {tuple(row[name] for name in identity) for row in rows}
        new: dict[tuple[str, ...], tuple[Card, str | None]] = {}
        for card, uri in _versions(settings, known):
            new.setdefault((card.name, card.version, card.sha256), (card, uri))
        found = [(card, uri) for key, (card, uri) in new.items() if key not in known]
        if found:
            now = now_ms()
            definitions = [row for card, _ in found for row in _definitions(card, now)]
            # A version counts as known once it is in the artefacts, so those are written last.
            append(catalog, DEFINITIONS, pa.Table.from_pylist(definitions))
            append(
                catalog, ARTEFACTS, pa.Table.from_pylist([_artefact(card, uri, now) for card, uri in found])
            )
    return [f"{card.name} {card.version}" for card, _ in found]


def _versions(settings: Settings, known: set[tuple[Any, ...]]) -> Iterator[tuple[Card, str | None]]:
    """Cards of the versions that came with the code, and of those that were published since."""
    from lakehouse.catalog import connect
    from lakehouse.tables import load
    from models.publish import MODELS
    from models.store import committed, fetch

    for name in MODELS:
        card = committed(name)
        if card is not None:
            yield card, None
    columns = ("model_name", "model_version", "artefact_uri", "artefact_sha256", "created_at")
    updates = load(connect(settings), "models.updates").scan(selected_fields=columns).to_arrow()
    for row in updates.sort_by("created_at").to_pylist():
        name, version, uri, sha256 = (row[column] for column in columns[:4])
        if uri is not None and (name, version, sha256) not in known:
            yield fetch(name, version, uri, sha256, settings), uri


def _artefact(card: Card, uri: str | None, now: int) -> Row:
    names = sorted(card.files)
    return {
        "model_name": card.name,
        "model_version": card.version,
        "artefact_sha256": card.sha256,
        "origin": "committed" if uri is None else "published",
        "artefact_uri": uri,
        "feature_service": card.feature_service,
        "features": len(card.features),
        "interval_level": card.interval_level or None,
        "base_rate": None if math.isnan(card.base_rate) else card.base_rate,
        "seed": card.seed,
        "data_sha256": card.data_sha256,
        "file_names": names,
        "file_sha256": [card.files[name] for name in names],
        "metrics": json.dumps(card.metrics, sort_keys=True),
        "card": (card.folder / "card.json").read_text(),
        "recorded_at": now,
    }


def _definitions(card: Card, now: int) -> Iterator[Row]:
    from features.views import SERVICES

    declared = {
        name: part
        for service in SERVICES
        if service.name == card.feature_service
        for name, part in zip(service.names, service.parts, strict=True)
    }
    for place, feature in enumerate(card.features):
        view, field = declared.get(feature, (None, None))
        yield {
            "model_name": card.name,
            "model_version": card.version,
            "artefact_sha256": card.sha256,
            "feature_service": card.feature_service,
            "place": place,
            "feature": feature,
            "view": view.name if view else None,
            "feature_type": (field.logical or field.type) if field else None,
            "feature_unit": field.unit if field else None,
            "feature_doc": field.doc if field else None,
            "recorded_at": now,
        }


def _models(json: JsonFlag = False) -> None:
    """Keep what models are in the lake: versions that came with the code or were published, by their cards.

    The platform does it by itself. Example: rift lake models
    """
    new = record_models()
    if json:
        print_json({"new": new})
    else:
        out.print(f"New in models.artefacts: {', '.join(new) or 'nothing'}.", highlight=False)
