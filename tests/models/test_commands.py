from __future__ import annotations

import json
from typing import Any

import pytest
from typer.testing import CliRunner

from models import training
from models.artefact import load_card
from models.commands import models
from riftstream.errors import ModelError


def run(*words: str) -> Any:
    return CliRunner().invoke(models, list(words), standalone_mode=False)


def test_status_tells_of_every_committed_model() -> None:
    status = json.loads(run("status", "--json").stdout)
    assert [one["name"] for one in status] == list(training.NAMES)
    for one in status:
        assert one["sha256"] == load_card(one["name"]).sha256
        assert one["bytes"] < 5_000_000 and one["test_matches"] > 1000
    text = run("status").stdout
    assert "brier" in text and "crps kills" in text


@pytest.mark.parametrize("words", [("train", "nonsense"), ("evaluate", "nonsense")])
def test_unknown_model_is_one_clear_error(words: tuple[str, ...]) -> None:
    found = run(*words, "--data", "sample")
    assert isinstance(found.exception, ModelError)
    assert "nonsense" in str(found.exception)


def test_unknown_split_is_one_clear_error() -> None:
    found = run("evaluate", "player_props", "--data", "sample", "--split", "spring")
    assert isinstance(found.exception, ModelError)
    assert "There is no split spring" in str(found.exception)
