from __future__ import annotations

import json
from pathlib import Path

import pytest

from models.artefact import load_card
from models.tracking import track
from models.win_probability.features import MODEL
from riftstream.settings import Settings

pytest.importorskip("alembic", reason="MLflow's SQLite store needs alembic")


def test_run_holds_what_the_card_says_and_the_files(tmp_path: Path) -> None:
    from mlflow import MlflowClient

    folder = load_card(MODEL).folder
    card = json.loads((folder / "card.json").read_bytes())
    settings = Settings(home=tmp_path, s3_access_key="")
    first, second = (track(card, folder, settings) for _ in range(2))
    assert first.run_id != second.run_id
    client = MlflowClient(tracking_uri=first.store)
    run = client.get_run(first.run_id)
    assert run.data.params["data.sha256"] == card["data"]["sha256"]
    assert run.data.params["code_sha256"] == card["code_sha256"]
    assert run.data.params["seed"] == str(card["seed"])
    brier = card["metrics"]["test"]["pooled"]["model"]["brier"][0]
    assert run.data.metrics["test.pooled.model.brier"] == brier
    assert {file.path for file in client.list_artifacts(first.run_id)} == {f.name for f in folder.iterdir()}
    assert first.artefacts.startswith("file:")
