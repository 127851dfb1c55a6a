"""From the door to the lake and back: what the job rejects is fixed, sent again, and then is there once."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import httpx
import pytest

from lakehouse.tables import events
from riftstream.settings import Settings
from streams import ingest
from streams.client import Producer
from streams.deadletters import Choice, DeadLetters, redrive
from tests.integration.tools import event, new_match, of_match, send, until, wait_for

pytestmark = pytest.mark.stack


def post(producer: Producer, body: Any) -> tuple[int, dict[str, Any]]:
    async def call() -> httpx.Response:
        transport = httpx.ASGITransport(ingest.app(producer))
        async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
            headers = {"Content-Type": "application/json"}
            return await client.post("/ingest/events", content=json.dumps(body), headers=headers)

    answer = asyncio.run(call())
    return answer.status_code, answer.json()


def in_lake(settings: Settings, match: str) -> list[str]:
    return [str(name) for name in events(match, settings=settings)["event_id"].to_pylist()]


def test_events_by_http_are_in_the_lake_once_and_their_repetition_is_a_duplicate(stack: Settings) -> None:
    match = new_match("http")
    sent = [event(match, n) for n in range(4)]
    with Producer(stack) as producer:
        assert post(producer, sent) == (202, {"received": 4, "accepted": 4})
        assert post(producer, sent) == (202, {"received": 4, "accepted": 4})
        status, problem = post(producer, [event(match, 5), event(match, 6, team="green")])
    assert (status, problem["accepted"], problem["errors"][0]["reason"]) == (422, 0, "unknown_team")
    repeated = wait_for(stack, "dead-letters", of_match(match), 4, identity="dead_letter_id")
    assert {letter["reason"] for letter in repeated} == {"duplicate"}
    until(lambda: len(in_lake(stack, match)) >= 4, "rows in the lake")
    assert in_lake(stack, match) == [each["event_id"] for each in sent]


def test_a_rejected_event_is_fixed_sent_again_and_accepted_once(stack: Settings) -> None:
    match = new_match("redrive")
    wrong = event(match, 1, team="green")
    send(stack, wrong, event(match, 2))
    [letter] = wait_for(stack, "dead-letters", of_match(match), identity="dead_letter_id")
    name = letter["dead_letter_id"]
    assert (letter["reason"], DeadLetters(stack).letter(name)["event_id"]) == (
        "unknown_team",
        wrong["event_id"],
    )

    choice = Choice(ids=frozenset([name]))
    assert redrive(stack, choice, fixes={"team": "blue"}).sent == [name]
    assert redrive(stack, choice, fixes={"team": "blue"}).already == [name]
    until(lambda: len(in_lake(stack, match)) >= 2, "rows in the lake")
    rows = events(match, settings=stack).to_pylist()
    assert [(row["game_time_ms"], row["team"]) for row in rows] == [(120_000, "blue"), (60_000, "blue")]
    features = wait_for(stack, "match-features", of_match(match), 2, identity="event_id")
    assert max(record["kills_blue"] for record in features) == 2


def test_a_record_as_large_as_kafka_takes_fits_into_a_dead_letter(stack: Settings) -> None:
    match = new_match("large")
    value = b"\x00" + match.encode() + bytes(1_047_000)
    with Producer(stack) as producer:
        producer.send_bytes(value, match.encode())
    [letter] = wait_for(stack, "dead-letters", lambda found: found["record_key"] == match.encode())
    assert (letter["reason"], letter["record_value"]) == ("oversized", value)
    send(stack, event(match, 1))
    wait_for(stack, "match-features", of_match(match))
