"""Versions of models as rows of the real catalog."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from features.views import SERVICES
from lakehouse.catalog import connect
from lakehouse.tables import ARTEFACTS, DEFINITIONS
from models.publish import MODELS
from models.store import committed, put
from riftstream.cli.model_tables import record_models
from riftstream.settings import Settings
from streams.clock import now_ms
from tests.lakehouse.lake import put as put_rows

pytestmark = pytest.mark.stack


def test_versions_that_came_with_the_code_or_were_published_are_kept_once(
    new_lake: Callable[[], Settings],
) -> None:
    settings = new_lake()
    cards = {name: committed(name) for name in MODELS}
    assert sorted(record_models(settings)) == sorted(f"{c.name} {c.version}" for c in cards.values() if c)
    card = cards["win_probability"]
    assert card is not None
    update: dict[str, Any] = {
        "model_name": card.name,
        "model_version": "7",
        "artefact_uri": put(card, "7", settings),
        "artefact_sha256": card.sha256,
    }
    actions = [update | {"action": action, "created_at": now_ms()} for action in ("publish", "promote")]
    catalog = connect(settings)
    put_rows(catalog, "models.updates", actions)
    assert record_models(settings) == [f"{card.name} 7"]
    assert record_models(settings) == []

    rows = {
        (row["model_name"], row["model_version"]): row
        for row in catalog.load_table(ARTEFACTS).scan().to_arrow().to_pylist()
    }
    assert len(rows) == len(MODELS) + 1
    kept = rows[card.name, "7"]
    assert (kept["origin"], kept["artefact_uri"]) == ("published", update["artefact_uri"])
    assert dict(zip(kept["file_names"], kept["file_sha256"], strict=True)) == card.files
    assert json.loads(kept["card"])["version"] == "7"
    assert json.loads(kept["metrics"]) == card.metrics
    first = rows[card.name, card.version]
    assert (first["origin"], first["artefact_uri"]) == ("committed", None)
    assert first["card"] == (card.folder / "card.json").read_text()

    read = [
        row
        for row in catalog.load_table(DEFINITIONS).scan().to_arrow().sort_by("place").to_pylist()
        if (row["model_name"], row["model_version"]) == (card.name, "7")
    ]
    assert [row["feature"] for row in read] == list(card.features)
    [service] = [one for one in SERVICES if one.name == card.feature_service]
    assert [row["feature_doc"] for row in read] == [field.doc for _, field in service.parts]
