"""What the prediction loop publishes, apart from the servers that it needs."""

from __future__ import annotations

import numpy as np
import pytest

from models.vector import sha256, to_matrix
from models.win_probability.pre_match import INPUTS
from serving.pre_match import digest
from serving.predictor import PROVENANCE, Batch, Position, Served, facts, prediction_id
from streams.avro import Codec
from streams.schemas import for_topic

MODEL = Served("win_probability", "1", "win_probability_v1", ("kills_diff", "gold_diff"), 0.9)
ROW = {
    "match_id": "LCK/1",
    "event_id": "e1",
    "game_time_ms": 600_000,
    "event_time": 1_000,
    "source_partition": 2,
    "source_offset": 77,
    "kafka_time": 1_003,
    "flink_time": 1_010,
    "watermark": None,
    "league": "LCK",
    "blue_team": "SKT",
    "red_team": "KT",
}
MATRIX = to_matrix([(3, None)])
SCORES = (np.array([0.7]), np.array([0.6]), np.array([0.8]))


def one(before: float = float("nan")) -> dict[str, object]:
    row = tuple(ROW[name] for name in PROVENANCE)
    inputs = np.full((1, len(INPUTS)), np.nan)
    inputs[0, 0] = 0.5
    batch = Batch([row], [Position(1, 5, 1_020)], MATRIX, inputs)
    (record,) = facts(MODEL, batch, np.array([before], np.float32), SCORES, 1_030, 1_031)
    return record


def test_a_fact_is_a_whole_prediction_record() -> None:
    codec = Codec(for_topic("predictions"), 1)
    record = one()
    assert codec.decode(codec.encode(record)) == {f.name: record.get(f.name) for f in codec.schema.fields}


def test_ages_count_from_the_event_at_every_hop() -> None:
    record = one()
    hops = ("kafka", "flink", "features", "model", "published")
    assert [record[f"age_{hop}_ms"] for hop in hops] == [3, 10, 20, 30, 31]


def test_a_fact_names_the_data_that_it_covers() -> None:
    record = one()
    assert (record["source_topic"], record["source_partition"], record["source_offset"]) == (
        "live-matches",
        2,
        77,
    )
    assert (record["feature_partition"], record["feature_offset"]) == (1, 5)
    assert record["features_sha256"] == sha256(MATRIX[0], "win_probability_v1")


def test_what_was_known_before_is_in_the_record_in_the_hash_and_in_the_id() -> None:
    codec = Codec(for_topic("predictions"), 1)
    record = codec.decode(codec.encode(one(0.3)))
    assert record["pre_match"] == float(np.float32(0.3))
    assert record["pre_match_inputs"] == [0.5] + [0.0] * (len(INPUTS) - 1)
    assert record["features_sha256"] == digest(MATRIX[0], 0.3, "win_probability_v1")
    identities = {
        (found["prediction_id"], found["features_sha256"]) for found in (one(), one(0.3), one(0.31))
    }
    assert len(identities) == 3
    assert len({first for first, _ in identities}) == len({second for _, second in identities}) == 3
    nothing = one()
    assert (nothing["pre_match"], nothing["pre_match_inputs"]) == (None, None)


def test_a_batch_has_the_identities_that_its_rows_have_alone() -> None:
    random = np.random.default_rng(7)
    matrix = random.normal(size=(40, 2)).astype(np.float32)
    before = random.normal(size=40).astype(np.float32)
    before[::3], matrix[::7, 1], matrix[5, 0] = np.nan, np.nan, -0.0
    inputs = np.where(random.random((40, len(INPUTS))) < 0.5, np.nan, random.normal(size=(40, len(INPUTS))))
    rows = [tuple({**ROW, "source_offset": n}[name] for name in PROVENANCE) for n in range(40)]
    scores = (random.random(40), random.random(40), random.random(40))
    records = facts(
        MODEL, Batch(rows, [Position(1, 5, 1_020)] * 40, matrix, inputs), before, scores, 1_030, 1_031
    )
    for n, record in enumerate(records):
        known = not np.isnan(before[n])
        vector = np.append(matrix[n], before[n]) if known else matrix[n]
        assert record["features_sha256"] == sha256(vector, MODEL.service)
        said = float(before[n]) if known else None
        assert record["prediction_id"] == prediction_id(MODEL, "LCK/1", 2, n, said)
        assert record["pre_match"] == said
        assert record["pre_match_inputs"] == (np.nan_to_num(inputs[n]).tolist() if known else None)


def test_the_identities_of_a_known_prediction_stay() -> None:
    assert (one()["prediction_id"], one()["features_sha256"]) == (
        "51a3befc99be44aa86481ea0c7110d1c",
        "73b30cccaf7ba8c0bd5491fa19928f763e7039692fff6770e6a25f196880d28f",
    )
    assert (one(0.3)["prediction_id"], one(0.3)["features_sha256"]) == (
        "203c3790657530fe8ed21c6b2b86f434",
        "37045d5f055ba2124808290999d9059a93829e9067a80ea8ffef035d89df3f4c",
    )


def test_the_same_position_has_the_same_prediction_id() -> None:
    assert one()["prediction_id"] == one()["prediction_id"] == prediction_id(MODEL, "LCK/1", 2, 77)


@pytest.mark.parametrize(
    "other",
    [
        prediction_id(Served("win_probability", "2", "s", (), 0.9), "LCK/1", 2, 77),
        prediction_id(MODEL, "LCK/2", 2, 77),
        prediction_id(MODEL, "LCK/1", 3, 77),
        prediction_id(MODEL, "LCK/1", 2, 78),
    ],
)
def test_another_model_match_or_position_has_another_prediction_id(other: str) -> None:
    assert other != prediction_id(MODEL, "LCK/1", 2, 77)
