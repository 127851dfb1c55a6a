"""Questions by topic, answered by the Faust agent on the real platform."""

from __future__ import annotations

from typing import Any

import confluent_kafka as kafka
import httpx
import numpy as np
import pytest

from riftstream.settings import Settings
from serving.requests import AGE, MAX_AGE, REQUESTS
from streams.avro import Record
from streams.client import Producer, codec_for
from tests.integration.tools import event, new_match, now_ms, of_match, send, until, wait_for

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def match(stack: Settings) -> str:
    name = new_match("asked")
    send(stack, event(name, 1), event(name, 2))
    wait_for(stack, "predictions", of_match(name), 2, identity="event_id")
    url = f"{stack.api_url}/v1/predict/match/{name}"

    def whole() -> bool:
        answer = httpx.get(url, headers={"Cache-Control": "no-cache"}, trust_env=False)
        return answer.status_code == 200 and answer.json()["game_time_ms"] == 120_000

    until(whole, "the match is in Redis")
    return name


def question(match: str, name: str, **more: Any) -> Record:
    fields = {"request_id": name, "model_name": "win_probability", "subject_type": "match"}
    return {**fields, "subject_id": match, "requested_at": now_ms(), **more}


def put(settings: Settings, *records: Record) -> None:
    with Producer(settings, topic=REQUESTS) as producer:
        producer.send_batch(records)


def test_a_question_by_topic_has_the_answer_that_http_gives(stack: Settings, match: str) -> None:
    name = f"{match}/question"
    put(stack, question(match, name, max_age_ms=3_600_000))
    (answer,) = wait_for(stack, "predictions", lambda record: record["request_id"] == name)
    body = {"subject_type": "match", "subject_id": match}
    by_http = httpx.post(f"{stack.api_url}/v1/predict/single", json=body, trust_env=False).json()
    said = ("probability", "interval_low", "interval_high")
    np.testing.assert_allclose([answer[one] for one in said], [by_http[one] for one in said], atol=1e-6)
    same = ("prediction_id", "features_sha256", "model_version", "source_offset", "game_time_ms")
    assert {one: answer[one] for one in same} == {one: by_http[one] for one in same}
    headers = dict(_headers(stack, name))
    assert headers[MAX_AGE] == b"3600000" and 0 <= int(headers[AGE]) <= 3_600_000


def _headers(settings: Settings, name: str) -> Any:
    """The headers of the answer to a question, read from the topic itself."""
    consumer = kafka.Consumer({"bootstrap.servers": settings.kafka_bootstrap, "group.id": "test-headers"})
    partitions = consumer.list_topics("predictions", timeout=10).topics["predictions"].partitions
    consumer.assign([kafka.TopicPartition("predictions", p, kafka.OFFSET_BEGINNING) for p in partitions])
    codec = codec_for("predictions", settings)
    try:
        while True:
            message = consumer.poll(30)
            assert message is not None, "the answer is on the topic"
            if message.headers() and codec.decode(message.value() or b"")["request_id"] == name:
                return message.headers()
    finally:
        consumer.close()


def test_what_cannot_be_answered_is_a_dead_letter_and_holds_up_nobody(stack: Settings, match: str) -> None:
    with Producer(stack, topic=REQUESTS) as producer:
        producer.send_bytes(b"no frame of ours", b"poison")
        producer.send_bytes(None, b"tombstone")
        producer.send(question("NOBODY/1", f"{match}/unknown"))
        producer.send(question(match, f"{match}/model", model_name="nothing"))
        producer.send(question(match, f"{match}/stale", max_age_ms=0))
        producer.send(question(match, f"{match}/statistic", statistic="pentakills"))
        producer.send(question(match, f"{match}/behind"))
    wait_for(stack, "predictions", lambda record: record["request_id"] == f"{match}/behind")
    letters = wait_for(
        stack, "dead-letters", lambda letter: letter["source_topic"] == REQUESTS, 6, identity="dead_letter_id"
    )
    reasons = {letter["record_key"]: letter["reason"] for letter in letters}
    assert reasons == {
        b"poison": "undecodable",
        b"tombstone": "undecodable",
        f"{match}/unknown".encode(): "unknown-subject",
        f"{match}/model".encode(): "unknown-model",
        f"{match}/stale".encode(): "stale",
        f"{match}/statistic".encode(): "invalid-request",
    }
    assert {letter["stage"] for letter in letters} == {"serving"}
