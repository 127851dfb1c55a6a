"""Questions by topic: a Faust agent that answers ``prediction-requests`` on ``predictions``.

The same engine answers as by HTTP, so that the same question has the same answer. A question that cannot be
read, or that nothing can answer, is a dead letter with the kind of the problem as its reason.

Faust acknowledges a batch when the agent asks for the next, and also when the agent fails. So the agent does
not fail: it goes on trying until the broker has the answers, and only then asks for more. After a crash a
batch is answered again, with the same ``prediction_id`` where the features are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import mode.loop

# Before Faust is imported, or the loop is made without it.
mode.loop.use("uvloop")

import faust  # noqa: E402
import structlog  # noqa: E402
from pydantic import ValidationError  # noqa: E402

from riftstream.errors import RiftError, SchemaError  # noqa: E402
from riftstream.settings import Settings  # noqa: E402
from serving import problems, questions  # noqa: E402
from serving.caches import age_ms  # noqa: E402
from serving.engine import Engine, Given  # noqa: E402
from serving.questions import Question  # noqa: E402
from serving.service import Service  # noqa: E402
from streams import deadletters  # noqa: E402
from streams.client import Producer, codec_for  # noqa: E402

log = structlog.get_logger()

REQUESTS, PREDICTIONS = "prediction-requests", "predictions"
GROUP = "prediction-requests"
MOST_TOGETHER = 256
GATHERED_SECONDS = 0.01
PAUSE_SECONDS = 1.0
MAX_AGE, AGE = "max_age_ms", "age_ms"
"""Headers of an answer: how old its features may be, as the question said, and how old they were."""


@dataclass(frozen=True)
class Request:
    """A record of ``prediction-requests``.

    Attributes:
        partition: Its partition.
        offset: Its offset there.
        time: When the broker appended it, ms since the Unix epoch.
        key: Its key.
        value: Its bytes.
    """

    partition: int
    offset: int
    time: int
    key: bytes | None
    value: bytes | None


@dataclass
class Answered:
    """What became of some requests.

    Attributes:
        answers: Answers with the questions that they are for.
        letters: Dead letters.
    """

    answers: list[tuple[Question, Given]] = field(default_factory=list)
    letters: list[dict[str, Any]] = field(default_factory=list)


class Desk:
    """Answers records of ``prediction-requests``; runs in a thread.

    Args:
        engine: What answers.
        settings: Where Kafka and the registry are.
    """

    def __init__(self, engine: Engine, settings: Settings) -> None:
        self._engine = engine
        self._settings = settings
        self._codec = codec_for(REQUESTS, settings)
        self._open()

    def _open(self) -> None:
        self._predictions = Producer(self._settings, topic=PREDICTIONS, linger_ms=0, patience=10)
        self._letters = Producer(self._settings, topic=deadletters.TOPIC, linger_ms=0, patience=10)

    def answer(self, requests: Sequence[Request]) -> Answered:
        """Answers to requests, and dead letters of those that have none."""
        found = Answered()
        read: list[tuple[Request, Question]] = []
        for request in requests:
            question = self._read(request)
            if isinstance(question, Question):
                read.append((request, question))
            else:
                found.letters.append(_letter(request, *question))
        outcomes = self._engine.answer([question for _, question in read]) if read else []
        for (request, question), outcome in zip(read, outcomes, strict=True):
            if isinstance(outcome, Given):
                found.answers.append((question, outcome))
            else:
                found.letters.append(_letter(request, problems.kind_of(outcome), str(outcome)))
        return found

    def deliver(self, found: Answered) -> None:
        """Send answers and dead letters, and wait until the broker has them.

        Raises:
            DeliveryError: It did not take them.
            StackError: The registry does not answer.
        """
        try:
            for question, given in found.answers:
                record = given.record
                value = self._predictions.codec.encode(record)
                self._predictions.send_bytes(value, record["subject_id"].encode(), _headers(question, given))
            self._letters.send_batch(found.letters)
            self._predictions.flush()
            self._letters.flush()
        except RiftError:
            # A producer remembers that something failed.
            self._open()
            raise

    def _read(self, request: Request) -> Question | tuple[str, str]:
        """The question of a request, or kind and detail of what is wrong with it."""
        if request.value is None:
            return "undecodable", "The record is a tombstone."
        try:
            return questions.from_record(self._codec.decode(request.value))
        except SchemaError as broken:
            return "undecodable", broken.message
        except ValidationError as faults:
            return "invalid-request", str(problems.invalid(faults))


def _letter(request: Request, reason: str, detail: str) -> dict[str, Any]:
    place = (REQUESTS, request.partition, request.offset)
    return deadletters.of_serving(place, request.time, request.key, request.value, reason, detail)


def _headers(question: Question, given: Given) -> list[tuple[str, bytes]]:
    age = age_ms(given.answer)
    found = {AGE: age, MAX_AGE: question.max_age_ms}
    return [(name, str(value).encode()) for name, value in found.items() if value is not None]


def application(settings: Settings, service: Service) -> faust.App:
    """The Faust application.

    Args:
        settings: Where Kafka and the registry are.
        service: What answers; its deployments must have been started.
    """
    app = faust.App(
        GROUP,
        broker=f"kafka://{settings.kafka_bootstrap}",
        store="memory://",
        datadir=str(settings.home / "requests"),
        topic_disable_leader=True,
        topic_allow_declare=False,
        consumer_auto_offset_reset="earliest",
        broker_commit_interval=1.0,
        stream_wait_empty=False,
        web_enabled=False,
    )
    topic = app.topic(REQUESTS, key_serializer="raw", value_serializer="raw")
    desk = Desk(service.engine, settings)

    async def answer(stream: Any) -> None:
        async for events in stream.take_events(MOST_TOGETHER, within=GATHERED_SECONDS):
            requests = [_request(event.message) for event in events]
            found = await asyncio.to_thread(desk.answer, requests)
            await _delivered(desk, found)
            refused = len(found.letters)
            log.debug("requests.answered", answered=len(found.answers), dead_letters=refused)

    app.agent(topic)(answer)
    return app


async def _delivered(desk: Desk, found: Answered) -> None:
    """Deliver, again and again, until the broker has everything."""
    while True:
        try:
            await asyncio.to_thread(desk.deliver, found)
            return
        except RiftError as error:
            log.warning("requests.not_delivered", error=str(error))
            await asyncio.sleep(PAUSE_SECONDS)


def _request(message: Any) -> Request:
    value, key = message.value, message.key
    time_ms = round(message.timestamp * 1000)
    return Request(message.partition, message.offset, time_ms, key, value)


def run(settings: Settings) -> None:
    """Answer until stopped."""
    service = Service(settings)
    service.deployments.start()
    try:
        faust.Worker(
            application(settings, service), loglevel="warning", redirect_stdouts=False
        ).execute_from_commandline()
    finally:
        service.deployments.stop()
