"""The training distribution beside the card: of the training matches, and of each feature of the model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.views import SERVICES
from models.artefact import load_card
from models.distribution import FILE, load, write
from models.win_probability.data import Corpus
from riftstream.errors import ModelError


def corpus() -> Corpus:
    """Two matches of training and one of the test split, whose values are all 99; half of the golds lack."""
    match = np.repeat([0, 1, 2], 10)
    kills = np.where(match == 2, 99.0, np.arange(30) % 10)
    gold = np.where(np.arange(30) % 2, np.nan, 30_000.0)
    return Corpus(
        matrix=np.stack((kills, gold), axis=1).astype(np.float32),
        match=match,
        clock_ms=np.arange(30),
        won=np.array([1, 0, 1]),
        end_ms=np.array([100, 100, 100]),
        season=np.array(["2015 Spring", "2016 Summer", "2017 Summer"]),
        before=np.full((3, 1), np.nan),
        ids=np.array(["a", "b", "c"]),
        sha256="ab",
        events=33,
        excluded={},
    )


def test_the_distribution_is_that_of_the_training_matches(tmp_path: Path) -> None:
    write(tmp_path, "s", ["v:kills", "v:gold"], corpus())
    found = load("any", tmp_path)
    assert found["v:kills"].edges[-1] < 99
    assert found["v:gold"].missing == 0.5
    trained = corpus().matrix[:20].astype(float)
    assert found["v:kills"].psi(trained[:, 0]) == pytest.approx(0, abs=1e-6)
    assert found["v:kills"].psi(np.full(20, 99.0)) > 1


def test_a_model_without_one_has_no_distributions_and_a_broken_one_is_refused(tmp_path: Path) -> None:
    assert load("any", tmp_path) == {}
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(ModelError, match="holds no distributions"):
        load("any", tmp_path)


def test_the_committed_one_is_of_the_data_and_the_features_of_its_model() -> None:
    for service in SERVICES:
        if (load_card(service.model).folder / FILE).is_file():
            assert tuple(load(service.model)) == service.features
    assert load("win_probability")
