from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import treelite

from models import provenance
from models.artefact import BOOSTER, INTERVAL_ONNX, ONNX, load_booster, load_card
from models.player_props.contract import MODEL as PROPS
from models.player_props.contract import NAMES
from models.publish import lay_out, lay_out_fil
from models.win_probability.features import FEATURES, MODEL, SERVICE, monotone
from models.win_probability.model import PRE_MATCH_INPUT, load, start
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


@pytest.mark.parametrize("name", [MODEL, PROPS])
def test_committed_model_was_made_by_the_code_as_it_is(name: str) -> None:
    """If this fails, train anew: rift models train NAME. SQL may change without changing rows."""
    assert load_card(name).made_by["code_sha256"] == provenance.code(name)["code_sha256"]


@pytest.mark.parametrize("name", [MODEL, PROPS])
def test_artefact_is_small_and_holds_no_pickle(name: str) -> None:
    files = list(load_card(name).folder.iterdir())
    assert max(file.stat().st_size for file in files) <= 2_000_000
    assert {file.suffix for file in files} == {".ubj", ".onnx", ".json", ".md", ".png"}
    assert sum(file.stat().st_size for file in files) < 5_000_000


@pytest.mark.parametrize("file", load_card(MODEL).model_files)
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
    expected = load(load_card(MODEL)).answer(real_rows())
    np.testing.assert_allclose((said, low, high), expected, atol=CLOSE, rtol=0)
    assert ((low < said) & (said < high)).all()


def test_onnx_takes_in_what_is_known_before_and_goes_without_row_by_row() -> None:
    rows = real_rows()
    before = np.random.default_rng(2).normal(size=len(rows))
    before[::3] = np.nan
    found = run(ONNX, features=rows, **{PRE_MATCH_INPUT: before[:, None].astype(np.float32)})
    expected = load(load_card(MODEL)).answer(rows, before)
    np.testing.assert_allclose(found, expected, atol=CLOSE, rtol=0)
    alone = run(ONNX, features=rows)
    np.testing.assert_array_equal(found[0][::3], alone[0][::3])
    assert np.abs(found[0][1::3] - alone[0][1::3]).max() > 0.05


def test_pre_match_estimate_is_where_the_live_one_starts() -> None:
    """At clock 0 it says nearly what was said before, and the first quiet minute changes little."""
    model = load(load_card(MODEL))
    before = np.linspace(-2, 2, 41)
    rows = start(len(before))
    at_start = model.log_odds(rows, before)
    assert (np.diff(at_start) > 0).all()
    assert np.abs(1 / (1 + np.exp(-at_start)) - 1 / (1 + np.exp(-before))).max() < 0.06
    later = rows.copy()
    later[:, FEATURES.index("clock_ms")] = 60_000
    moved = 1 / (1 + np.exp(-model.log_odds(later, before))) - 1 / (1 + np.exp(-at_start))
    assert np.abs(moved).max() < 0.02


def test_start_is_what_the_pipeline_tells_of_a_match_that_begins() -> None:
    first = real_rows()[: len(real_rows()) // 2]
    begun = first[first[:, FEATURES.index("clock_ms")] == 0]
    assert len(begun) >= 20
    np.testing.assert_array_equal(begun[0], start()[0])


def test_gold_that_is_hidden_changes_the_answer_and_leaves_it_a_probability() -> None:
    rows = real_rows()
    half = len(rows) // 2
    model = load(load_card(MODEL))
    known, hidden = (model.answer(part, np.zeros(half)) for part in (rows[:half], rows[half:]))
    assert np.isnan(rows[half:, FEATURES.index("gold_diff")]).all()
    assert np.abs(known[0] - hidden[0]).max() > 0.02
    for said in (*known, *hidden):
        assert ((said > 0) & (said < 1)).all()


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
        assert widths == [str(len(NAMES if config.parent.name == PROPS else FEATURES))], config


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
    model = load(load_card(MODEL))
    rows = real_rows()
    known = np.where(np.arange(len(rows)) % 2, 0.5, np.nan)
    before = model.log_odds(rows, known)
    constrained = [(n, monotone(name)) for n, name in enumerate(FEATURES) if monotone(name)]
    assert len(constrained) > 20
    for column, direction in constrained:
        more = rows.copy()
        more[:, column] += 1000 if FEATURES[column].startswith("gold") else 1
        after = model.log_odds(more, known)
        assert (direction * (after - before) >= -1e-6).all(), FEATURES[column]


def test_card_page_tells_what_the_card_tells() -> None:
    card = load_card(MODEL)
    page = (card.folder / "card.md").read_text()
    for needed in (card.data_sha256, str(card.seed), card.files[BOOSTER], *card.features):
        assert needed in page
    assert f"{card.metrics['pooled']['model']['brier'][0]:.4f}" in page
    assert f"{card.metrics['before_match']['brier'][0]:.4f}" in page
    assert [row["minute"] for row in card.metrics["by_minute"]] == list(range(1, 41))
