from __future__ import annotations

from riftstream.cli.predict import describe, describe_player
from riftstream.cli.reading import nearest
from tests.cli.records import MATCH, prediction


def test_a_prediction_in_words_says_what_from_which_model_and_data_and_how_old() -> None:
    fact = prediction(
        27,
        0.742,
        interval_low=0.61,
        interval_high=0.85,
        interval_level=0.9,
        model_version="3",
        feature_service="match_win@1",
        features_sha256="ab12",
        source_topic="live-matches",
        source_partition=3,
        source_offset=1841,
        watermark=1_700_000_000_000,
        as_of=1_700_000_000_013,
        age_kafka_ms=2,
        age_flink_ms=9,
        age_features_ms=11,
        age_model_ms=13,
    )
    assert describe(fact) == [
        ("match", f"TSM (blue) v C9 (red), NALCS, {MATCH}"),
        ("says", "at 27:00 TSM wins with 74.2 % (90 % interval 61.0 to 85.0 %)"),
        ("model", "win_probability 3"),
        ("features", "match_win@1, SHA-256 ab12"),
        (
            "covers",
            "live-matches partition 3 up to offset 1841, event e27; watermark 2023-11-14 22:13:20.000 UTC",
        ),
        ("made", "2023-11-14 22:13:20.013 UTC"),
        ("age", "event → kafka 2 ms → flink 9 ms → features 11 ms → model 13 ms → published 14 ms"),
        ("id", "p27"),
    ]


def test_a_fallback_answer_says_so() -> None:
    assert any("fallback" in text for _, text in describe(prediction(1, 0.5, degraded=True)))


def test_the_nearest_matches_are_copies_newest_first_then_the_most_alike() -> None:
    known = ["TRLH1/30031", "TRLH1/30030#demo-1", "ESPORTSTMNT06/180230", "TRLH1/30030#demo-2"]
    assert nearest("TRLH1/30030", known)[:3] == ["TRLH1/30030#demo-2", "TRLH1/30030#demo-1", "TRLH1/30031"]
    assert nearest("anything", []) == []


def test_a_player_in_words_says_how_many_and_how_sure() -> None:
    answer = {
        "subject_id": "Faker",
        "statistic": "kills",
        "line": 4.0,
        "probability": 0.41,
        "push": 0.18,
        "mean": 4.04,
        "quantiles": {"5": 1, "25": 3, "50": 4, "75": 5, "95": 8},
        "degraded": False,
        "model_name": "player_props",
        "model_version": "1",
        "feature_service": "player_props_v1",
        "features_sha256": "ab12",
        "maps": 2,
        "context": {"match_id": None, "team": "SKT", "opponent": "KT", "side": "blue", "champion": None},
    }
    told = dict(describe_player([answer, answer | {"statistic": "deaths", "line": None}]))
    assert told["player"] == "Faker"
    assert told["map"] == "the next map and those after it, 2 in all, for SKT against KT on blue"
    so_far = {"match_id": "LCK/1", "game_time_ms": 725_000, "kills": 2, "deaths": 0, "assists": 4}
    playing = dict(describe_player([answer | {"maps": None, "context": so_far}]))
    assert playing["map"] == "LCK/1 at 12:05, 2/0/4 so far"
    assert told["kills"] == (
        "4.0 on average, median 4, 1 to 8 in nine maps of ten; over 4 with 41.0 %, exactly 4 with 18.0 %"
    )
    assert told["deaths"] == "4.0 on average, median 4, 1 to 8 in nine maps of ten"
    assert "note" not in told
