from __future__ import annotations

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from models.artefact import load_booster, load_card
from models.publish import install, lay_out
from models.win_probability.features import FEATURES, MODEL
from riftstream.errors import ModelError
from riftstream.settings import Settings
from serving.triton import TritonClient
from tests.models.rows import real_rows


@pytest.mark.stack
def test_triton_says_what_xgboost_says(stack: Settings) -> None:
    card = load_card(MODEL)
    client = TritonClient(stack.triton_url, card.name, card.version)
    rows = real_rows()
    probability, low, high = client.score(rows)
    expected = load_booster(card).inplace_predict(rows, validate_features=False)
    np.testing.assert_allclose(probability, expected, atol=1e-5, rtol=0)
    assert ((low < probability) & (probability < high)).all()
    one = client.score(rows[7:8])
    np.testing.assert_allclose([end[0] for end in one], [probability[7], low[7], high[7]], atol=1e-6, rtol=0)


@pytest.mark.stack
def test_installing_again_loads_nothing(stack: Settings) -> None:
    client = TritonClient(stack.triton_url, MODEL)
    with InferenceServerClient(stack.triton_url) as triton:
        client.score(real_rows()[:5])
        before = triton.get_inference_statistics(MODEL).model_stats[0].inference_count
        install()
        # Triton counts from the last time that the model was loaded.
        assert triton.get_inference_statistics(MODEL).model_stats[0].inference_count >= before >= 5


@pytest.mark.stack
def test_triton_that_serves_something_else_is_given_the_artefact(stack: Settings) -> None:
    repository = stack.home / "triton" / "models"
    config = repository / MODEL / "config.pbtxt"
    stamp = lay_out(load_card(MODEL), repository)
    with InferenceServerClient(stack.triton_url) as triton:

        def served() -> str:
            return str(
                triton.get_model_config(MODEL)
                .config.parameters[f"stamp_{load_card(MODEL).version}"]
                .string_value
            )

        config.write_text(config.read_text().replace(stamp, "other"))
        triton.load_model(MODEL)
        assert served() == "other"
        install()
        assert served() == stamp
    assert stamp in config.read_text()


@pytest.mark.stack
def test_vectors_of_another_width_are_refused(stack: Settings) -> None:
    client = TritonClient(stack.triton_url, MODEL)
    with pytest.raises(ModelError):
        client.score(np.zeros((1, len(FEATURES) + 1), np.float32))


def test_triton_that_is_away_is_one_clear_error() -> None:
    with pytest.raises(ModelError, match=MODEL):
        TritonClient("127.0.0.1:9", MODEL).score(np.zeros((1, len(FEATURES)), np.float32))
    with pytest.raises(ModelError, match="did not load"):
        install(url="127.0.0.1:9")
