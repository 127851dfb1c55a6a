from __future__ import annotations

from riftstream.cli.replay_prediction import COMPARED, compare
from tests.cli.records import prediction

FACT = prediction(3, 0.742, features_sha256="ab12", interval_low=0.61, interval_high=0.85)


def test_the_same_made_again_is_equal_in_all() -> None:
    assert [one.name for one in compare(FACT, FACT)] == list(COMPARED)
    assert all(one.equal for one in compare(FACT, FACT))


def test_the_last_bit_of_the_probability_counts() -> None:
    again = FACT | {"probability": 0.7420000000000001}
    assert [one.name for one in compare(FACT, again) if not one.equal] == ["probability"]


def test_another_feature_vector_is_different_though_the_probability_is_the_same() -> None:
    different = [one for one in compare(FACT, FACT | {"features_sha256": "cd34"}) if not one.equal]
    assert [(one.name, one.published, one.again) for one in different] == [
        ("features_sha256", "ab12", "cd34")
    ]
