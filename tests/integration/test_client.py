"""The public client against real servers."""

from __future__ import annotations

import httpx
import pytest

import riftstream
from riftstream.errors import SchemaError
from riftstream.settings import Settings
from streams.client import Subscriber, records_at
from tests.integration.tools import event, new_match, of_match, send, wait_for

pytestmark = pytest.mark.stack


def test_a_producer_reports_what_was_delivered(stack: Settings) -> None:
    match = new_match("client")
    with riftstream.Producer(stack) as producer:
        producer.send_batch(event(match, n) for n in range(5))
        report = producer.flush()
    assert (report.sent, report.delivered, report.failed, report.waiting) == (5, 5, 0, 0)


def test_a_bad_event_is_refused_before_it_is_sent(stack: Settings) -> None:
    named = pytest.raises(SchemaError, match="game_time_ms must be long")
    with riftstream.Producer(stack) as producer, named:
        producer.send(event(new_match(), 1, game_time_ms="soon"))


def test_a_subscriber_gets_the_predictions_of_its_match_only(stack: Settings) -> None:
    wanted, other = new_match("wanted"), new_match("other")
    with riftstream.PredictionSubscriber(wanted, stack) as predictions:
        with riftstream.Producer(stack) as producer:
            producer.send(event(other, 1))
            producer.send(event(wanted, 1))
        first = next(iter(predictions))
    assert first["match_id"] == wanted
    assert 0.0 <= first["interval_low"] <= first["probability"] <= first["interval_high"] <= 1.0


def test_events_by_http_reach_the_predictions(stack: Settings) -> None:
    match = new_match("http")
    answer = httpx.post(f"{stack.api_url}/ingest/events", json=[event(match, 1), event(match, 2)])
    assert answer.status_code == 202, answer.text
    assert answer.json()["accepted"] == 2
    wait_for(stack, "predictions", of_match(match), 2, identity="event_id")


def test_a_bad_event_by_http_names_its_field_and_nothing_is_accepted(stack: Settings) -> None:
    answer = httpx.post(
        f"{stack.api_url}/ingest/events",
        json=[event(new_match(), 1), event(new_match(), 2, game_time_ms="soon")],
    )
    assert answer.status_code == 422
    assert "game_time_ms" in answer.text


def test_single_records_are_read_at_their_places_and_the_newest_by_number(stack: Settings) -> None:
    match = new_match("places")
    send(stack, *(event(match, n) for n in range(1, 31)))
    with Subscriber("live-matches", stack, start="earliest", stop_at_end=True, key=match) as subscriber:
        told = list(subscriber)
    partition = told[0].partition
    wanted = {told[number].offset for number in (2, 3, 29)}
    found = list(records_at("live-matches", {partition: [*wanted, told[-1].offset + 10_000]}, stack))
    assert {got.offset for got in found} == wanted
    assert [got.record["ordinal"] for got in found] == [3, 4, 30]
    with Subscriber("live-matches", stack, start=2, stop_at_end=True, skip_broken=True) as subscriber:
        newest = [got.offset for got in subscriber if got.partition == partition]
    assert newest == [told[-1].offset - 1, told[-1].offset]
