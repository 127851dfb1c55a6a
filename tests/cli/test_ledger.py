from __future__ import annotations

from typing import Any

import pytest

from riftstream.cli.ledger import Ledger, score
from streams.client import Received
from tests.cli.records import MATCH, event, features, prediction, record, result

RUN = f"{MATCH}#run"
APPENDED = 1_000_000


def entered(count: int = 5) -> Ledger:
    """A whole run of one match: ``count`` events, the last one its end, predictions 20 ms later."""
    ledger = Ledger("#run", matches=1, sent=count)
    for number in range(count):
        take(ledger, "live-matches", event(number, match_id=RUN), number)
        take(ledger, "match-features", features(number, match_id=RUN), number)
        take(
            ledger,
            "predictions",
            prediction(number, 0.8, match_id=RUN, event_time=APPENDED + 1000 * number),
            number,
            later=20,
        )
    take(ledger, "match-results", result(count - 1) | {"match_id": RUN}, 0)
    return ledger


def take(ledger: Ledger, topic: str, one: dict[str, Any], offset: int, later: int = 0) -> bool:
    return ledger.take(topic, Received(one, 0, offset, APPENDED + 1000 * offset + later))


def dead_letter(offset: int, reason: str, **values: Any) -> dict[str, Any]:
    given = {"match_id": RUN, "source_partition": 0, "source_offset": offset, "reason": reason}
    return record("dead-letters", **(given | values))


def test_a_whole_run_adds_up() -> None:
    summary = entered().summary()
    assert (summary.sent, summary.read, summary.accepted, summary.features) == (5, 5, 5, 5)
    assert (summary.predictions, summary.results, summary.rejected) == (5, 1, {})
    assert summary.faults == []


def test_rejected_events_are_counted_by_reason_and_add_up_with_the_accepted() -> None:
    ledger = entered()
    for offset, reason in ((5, "duplicate"), (6, "unknown_event_type"), (7, "duplicate")):
        ledger.sent += 1
        take(ledger, "live-matches", event(offset, match_id=RUN), offset)
        take(ledger, "dead-letters", dead_letter(offset, reason), 0)
    summary = ledger.summary()
    assert summary.rejected == {"duplicate": 2, "unknown_event_type": 1}
    assert summary.read == summary.accepted + sum(summary.rejected.values()) == 8
    assert summary.faults == []


def test_an_event_that_is_nowhere_is_missing_and_a_fault() -> None:
    ledger = entered()
    ledger.sent += 1
    assert ledger.missing() == {"events not in the topic": 1}
    take(ledger, "live-matches", event(5, match_id=RUN), 5)
    assert ledger.missing() == {"events neither accepted nor rejected": 1}
    take(ledger, "match-features", features(5, match_id=RUN), 5)
    assert ledger.missing() == {"accepted events without a prediction": 1}
    assert ledger.summary().faults == ["1 accepted events without a prediction"]
    take(ledger, "predictions", prediction(5, 0.5, match_id=RUN), 5)
    assert ledger.missing() == {}


def test_a_match_without_a_result_is_missing() -> None:
    ledger = entered()
    ledger.matches = 2
    assert ledger.missing() == {"matches without a result": 1}


def test_a_record_that_is_both_accepted_and_rejected_is_a_fault() -> None:
    ledger = entered()
    take(ledger, "dead-letters", dead_letter(2, "duplicate"), 0)
    assert ledger.summary().faults == ["1 records both accepted and rejected"]


def test_more_records_than_were_sent_are_a_fault() -> None:
    ledger = entered()
    ledger.sent -= 1
    assert ledger.summary().faults == ["1 more records in the topic than were sent"]


def test_records_that_come_twice_count_once_and_the_repetition_is_told() -> None:
    ledger = entered()
    take(ledger, "match-features", features(3, match_id=RUN), 9)
    take(ledger, "predictions", prediction(3, 0.8, match_id=RUN), 9)
    summary = ledger.summary()
    assert (summary.accepted, summary.features) == (5, 6)
    assert (summary.predictions, summary.repeated) == (5, 1)
    assert summary.faults == []


def test_a_second_look_at_the_same_records_changes_nothing() -> None:
    ledger = entered()
    before = ledger.summary()
    again = entered()
    take(again, "live-matches", event(3, match_id=RUN), 3)
    take(again, "match-features", features(3, match_id=RUN), 3)
    fact = prediction(3, 0.8, match_id=RUN, event_time=APPENDED + 3000)
    take(again, "predictions", fact, 3, later=20)
    assert again.summary() == before


def test_records_of_other_runs_are_left_out() -> None:
    ledger = entered()
    before = ledger.summary()
    for topic, one in (
        ("live-matches", event(9)),
        ("match-features", features(9, match_id=f"{MATCH}#other")),
        ("predictions", prediction(9, 0.1)),
        ("dead-letters", dead_letter(9, "late", match_id=None)),
    ):
        assert not take(ledger, topic, one, 9)
    assert ledger.summary() == before


def test_latency_is_from_event_time_to_append_and_a_repetition_does_not_count() -> None:
    ledger = entered()
    take(ledger, "predictions", prediction(0, 0.8, match_id=RUN, event_time=APPENDED), 0, later=5000)
    latency = ledger.summary().latency
    assert (latency.count, latency.p50_ms, latency.p99_ms, latency.max_ms) == (5, 20, 20, 20)


def test_warm_latency_leaves_the_first_ten_seconds_out() -> None:
    ledger = Ledger("#run", matches=1)
    for second, later in ((0, 900), (9, 900), (10, 20), (30, 20)):
        fact = prediction(second, 0.5, match_id=RUN, event_time=APPENDED + 1000 * second)
        take(ledger, "predictions", fact, second, later)
    summary = ledger.summary()
    assert (summary.latency.count, summary.latency.p99_ms) == (4, 900)
    assert (summary.latency_warm.count, summary.latency_warm.p99_ms) == (2, 20)


def test_the_prediction_after_the_end_event_is_not_scored() -> None:
    ledger = entered()
    assert ledger.summary().score.predictions == 4
    assert ledger.summary().score.brier == pytest.approx(0.04)


def test_each_match_weighs_the_same_in_the_score_however_many_predictions_it_has() -> None:
    scored = score({"a": [1.0] * 99, "b": [0.0]}, {"a": "blue", "b": "blue"}, None)
    assert scored.by_match == {"a": 0.0, "b": 1.0}
    assert scored.brier == 0.5
    assert scored.predictions == 100


def test_baselines_are_scored_on_the_same_matches() -> None:
    winners = {"a": "blue", "b": "red", "unended": "blue"}
    scored = score({"a": [0.9], "b": [0.2], "c": [0.5]}, winners, 0.6)
    assert scored.matches == 2
    assert scored.brier == pytest.approx((0.01 + 0.04) / 2)
    assert scored.brier_even == 0.25
    assert scored.brier_base_rate == pytest.approx((0.16 + 0.36) / 2)


def test_nothing_scored_is_no_score() -> None:
    assert score({}, {}, 0.5).brier is None
