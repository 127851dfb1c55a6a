from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import treelite

from models.artefact import BOOSTER, INTERVAL_ONNX, MODEL_FILES, ONNX, load_booster, load_card
from models.publish import lay_out, lay_out_fil
from models.win_probability.features import FEATURES, MODEL, SERVICE, monotone
from models.win_probability.interval import load_table
from riftstream.errors import ModelError
from tests.models.rows import real_rows

ROOT = Path(__file__).parents[2]
CLOSE = 1e-5


@pytest.fixture(scope="module")
def probability() -> np.ndarray:
    """What XGBoost itself says of the real rows."""
    booster = load_booster(load_card(MODEL))
    return np.asarray(booster.inplace_predict(real_rows(), validate_features=False))


def run(file: str, **inputs: np.ndarray) -> list[np.ndarray]:
    session = onnxruntime.InferenceSession(load_card(MODEL).folder / file)
    return [values[:, 0] for values in session.run(None, inputs)]


def test_card_names_the_feature_service_and_everything_it_needs() -> None:
    card = load_card(MODEL)
    assert (card.name, card.feature_service, card.features) == (MODEL, SERVICE, FEATURES)
    assert card.version.isdecimal() and card.interval_level == 0.9
    assert 0.5 < card.base_rate < 0.6
    assert re.fullmatch("[0-9a-f]{64}", card.data_sha256)


def test_artefact_is_small_and_holds_no_pickle() -> None:
    files = list(load_card(MODEL).folder.iterdir())
    assert {file.suffix for file in files} == {".ubj", ".onnx", ".json", ".md", ".png"}
    assert sum(file.stat().st_size for file in files) < 5_000_000


@pytest.mark.parametrize("file", MODEL_FILES)
def test_file_that_differs_from_the_card_is_refused(file: str, tmp_path: Path) -> None:
    folder = tmp_path / "artefact"
    shutil.copytree(load_card(MODEL).folder, folder)
    load_card(MODEL, folder)
    content = bytearray((folder / file).read_bytes())
    content[len(content) // 2] ^= 1
    (folder / file).write_bytes(content)
    with pytest.raises(ModelError, match=r"checksum differs"):
        load_card(MODEL, folder)
    (folder / file).unlink()
    with pytest.raises(ModelError, match=f"lacks its file {file}"):
        load_card(MODEL, folder)


def test_absent_or_broken_card_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="There is no model"):
        load_card(MODEL, tmp_path)
    (tmp_path / "card.json").write_text(json.dumps({"name": MODEL}))
    with pytest.raises(ModelError, match="is no model card"):
        load_card(MODEL, tmp_path)


def test_onnx_says_what_xgboost_says(probability: np.ndarray) -> None:
    assert np.isnan(real_rows()).any() and len(real_rows()) > 1000
    said, low, high = run(ONNX, features=real_rows())
    np.testing.assert_allclose(said, probability, atol=CLOSE, rtol=0)
    table = load_table(load_card(MODEL).folder)
    log_odds = np.log(probability.astype(np.float64) / (1 - probability.astype(np.float64)))
    ends = table.around(log_odds, real_rows()[:, FEATURES.index("clock_ms")])
    np.testing.assert_allclose((low, high), ends, atol=CLOSE, rtol=0)
    assert ((low < said) & (said < high)).all()


def test_interval_alone_adds_the_same_ends_to_a_given_probability(probability: np.ndarray) -> None:
    whole = run(ONNX, features=real_rows())
    alone = run(INTERVAL_ONNX, features=real_rows(), trees=probability[:, None])
    np.testing.assert_allclose(alone, whole, atol=CLOSE, rtol=0)


def test_fil_reads_the_same_numbers_from_its_file(probability: np.ndarray, tmp_path: Path) -> None:
    """The FIL backend needs a GPU server's image; what it reads models with, Treelite, does not."""
    lay_out_fil(tmp_path)
    version = tmp_path / f"{MODEL}_trees" / load_card(MODEL).version
    model = treelite.frontend.load_xgboost_model(version / "xgboost.ubj", format_choice="ubjson")
    said = treelite.gtil.predict(model, real_rows()).reshape(-1)
    np.testing.assert_allclose(said, probability, atol=CLOSE, rtol=0)


@pytest.mark.parametrize("repository", ["model_repository", "model_repository_fil"])
def test_triton_configurations_take_as_many_features_as_there_are(repository: str) -> None:
    configs = list((ROOT / "serving" / repository).glob("*/config.pbtxt"))
    assert configs
    for config in configs:
        text = config.read_text()
        assert f'name: "{config.parent.name}"' in text
        widths = re.findall(r'name: "(?:features|input__0)".*?dims: \[ (\d+) \]', text)
        wanted = NAMES if config.parent.name == "player_props" else FEATURES
        assert widths == [str(len(wanted))], config


def test_laying_out_twice_touches_nothing(tmp_path: Path) -> None:
    def times() -> dict[Path, int]:
        return {file: file.stat().st_mtime_ns for file in tmp_path.rglob("*")}

    lay_out(load_card(MODEL), tmp_path)
    before = times()
    lay_out(load_card(MODEL), tmp_path)
    assert times() == before
    version = tmp_path / MODEL / load_card(MODEL).version
    assert sorted(file.name for file in version.iterdir()) == ["model.onnx", "model.py"]
    assert (version / "model.onnx").read_bytes() == (load_card(MODEL).folder / ONNX).read_bytes()


def test_more_of_a_lead_never_makes_blue_less_likely() -> None:
    booster = load_booster(load_card(MODEL))
    rows = real_rows()
    before = booster.inplace_predict(rows, validate_features=False)
    constrained = [(n, monotone(name)) for n, name in enumerate(FEATURES) if monotone(name)]
    assert len(constrained) > 20
    for column, direction in constrained:
        more = rows.copy()
        more[:, column] += 1000 if FEATURES[column].startswith("gold") else 1
        after = booster.inplace_predict(more, validate_features=False)
        assert (direction * (after - before) >= -1e-6).all(), FEATURES[column]


def test_card_page_tells_what_the_card_tells() -> None:
    card = load_card(MODEL)
    page = (card.folder / "card.md").read_text()
    for needed in (card.data_sha256, str(card.seed), card.files[BOOSTER], *card.features):
        assert needed in page
    assert f"{card.metrics['pooled']['model']['brier'][0]:.4f}" in page
    assert [row["minute"] for row in card.metrics["by_minute"]] == list(range(1, 41))
