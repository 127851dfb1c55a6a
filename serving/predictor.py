"""The prediction loop: every record of ``match-features`` becomes one ``Prediction``.

Read a batch, score it, publish it, and commit the offsets only after the broker has the predictions. After a
crash the uncommitted batch is scored again; its predictions carry the same ``prediction_id``, so a consumer
sees a fact twice at most, and never misses one.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import confluent_kafka as kafka
import numpy as np
import structlog

from models.vector import sha256, to_matrix
from riftstream.errors import DeliveryError, ModelError, SchemaError, StackError
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.client import Producer, codec_for
from streams.clock import now_ms

log = structlog.get_logger()

FEATURES = "match-features"
EVENTS = "live-matches"
PREDICTIONS = "predictions"

PROVENANCE = (
    "match_id",
    "event_id",
    "game_time_ms",
    "event_time",
    "source_partition",
    "source_offset",
    "kafka_time",
    "flink_time",
    "watermark",
    "league",
    "blue_team",
    "red_team",
)

Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


class Scorer(Protocol):
    """What answers: a model on Triton."""

    def score(self, matrix: np.ndarray) -> Scores:
        """Probability, lower and upper end of the interval, each of shape [n], for rows of shape [n, f]."""
        ...


@dataclass(frozen=True)
class Served:
    """The model version that the loop serves.

    Attributes:
        name: Model name.
        version: Model version.
        service: Name of the feature service: the list of features, by name and version.
        features: Features in the model's order.
        interval_level: Stated coverage of the interval.
    """

    name: str
    version: str
    service: str
    features: tuple[str, ...]
    interval_level: float


def prediction_id(model: Served, match_id: str, partition: int, offset: int) -> str:
    """Identity of a prediction: the first 32 hex digits of a SHA-256 over model, version and position."""
    text = "|".join((model.name, model.version, match_id, EVENTS, str(partition), str(offset)))
    return hashlib.sha256(text.encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Position:
    """Where a feature vector lay: partition, offset and append time (ms) on ``match-features``."""

    partition: int
    offset: int
    time: int


def facts(
    model: Served,
    rows: Sequence[tuple[Any, ...]],
    positions: Sequence[Position],
    matrix: np.ndarray,
    scores: Scores,
    model_time: int,
    now: int,
) -> list[Record]:
    """``Prediction`` records of one scored batch.

    Args:
        model: Which model version answered.
        rows: Values of ``PROVENANCE`` for each vector.
        positions: Where each vector lay.
        matrix: The vectors, float32, shape [n, f].
        scores: What the model said, see ``Scorer.score``.
        model_time: When the model had answered, ms since the Unix epoch.
        now: When the predictions are published, ms since the Unix epoch.
    """
    probability, low, high = (values.tolist() for values in scores)
    records = []
    for index, (row, position) in enumerate(zip(rows, positions, strict=True)):
        given = dict(zip(PROVENANCE, row, strict=True))
        event_time = given["event_time"]
        records.append(
            {
                "prediction_id": prediction_id(
                    model, given["match_id"], given["source_partition"], given["source_offset"]
                ),
                "model_name": model.name,
                "model_version": model.version,
                "subject_type": "match",
                "subject_id": given["match_id"],
                "match_id": given["match_id"],
                "event_id": given["event_id"],
                "game_time_ms": given["game_time_ms"],
                "event_time": event_time,
                "probability": probability[index],
                "interval_low": low[index],
                "interval_high": high[index],
                "interval_level": model.interval_level,
                "feature_service": model.service,
                "features_sha256": sha256(matrix[index], model.service),
                "source_topic": EVENTS,
                "source_partition": given["source_partition"],
                "source_offset": given["source_offset"],
                "feature_partition": position.partition,
                "feature_offset": position.offset,
                "watermark": given["watermark"],
                "as_of": model_time,
                "age_kafka_ms": given["kafka_time"] - event_time,
                "age_flink_ms": given["flink_time"] - event_time,
                "age_features_ms": position.time - event_time,
                "age_model_ms": model_time - event_time,
                "age_published_ms": now - event_time,
                "degraded": False,
                "shadow": False,
                "league": given["league"],
                "blue_team": given["blue_team"],
                "red_team": given["red_team"],
            }
        )
    return records


class PredictionLoop:
    """Consumes ``match-features``, scores, publishes ``predictions``.

    Args:
        model: The model version that is served.
        scorer: What answers; raises ``ModelError`` while it is away.
        settings: Where Kafka and the registry are.
        batch: Most vectors that are scored at once.
        poll_seconds: How long to wait for the first vector of a batch.
        commit_seconds: How often offsets are committed.
    """

    def __init__(
        self,
        model: Served,
        scorer: Scorer,
        settings: Settings | None = None,
        *,
        batch: int = 512,
        poll_seconds: float = 0.2,
        commit_seconds: float = 1.0,
    ) -> None:
        settings = settings or get_settings()
        self.model = model
        self.predicted = 0
        self._scorer = scorer
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._commit_seconds = commit_seconds
        self._committed_at = time.monotonic()
        self._stopping = False
        self._settings = settings
        self._read = codec_for(FEATURES, settings).projection((*PROVENANCE, *model.features))
        self._predictions = Producer(settings, topic=PREDICTIONS, linger_ms=0)
        self._dead_letters: Producer | None = None
        self._done: dict[int, int] = {}
        self._consumer = kafka.Consumer(
            {
                "bootstrap.servers": settings.kafka_bootstrap,
                "group.id": f"predictor-{model.name}",
                "enable.auto.commit": False,
                "enable.auto.offset.store": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 5,
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Work until ``stop`` is called or ``until`` says so.

        Raises:
            StackError: Kafka can't be read.
            DeliveryError: Kafka did not take the predictions; nothing of that batch was committed.
        """
        self._consumer.subscribe([FEATURES], on_revoke=lambda *_: self._commit())
        log.info("predictor.started", model=self.model.name, version=self.model.version)
        try:
            while not self._stopping and not until():
                self._step()
            self._commit()
        finally:
            self._consumer.close()
            log.info("predictor.stopped", predicted=self.predicted)

    def stop(self) -> None:
        """Finish the batch at hand, commit, and leave. Safe in a signal handler."""
        self._stopping = True

    def _step(self) -> None:
        messages = self._take()
        if messages:
            self._predict(messages)
        if self._done and time.monotonic() - self._committed_at >= self._commit_seconds:
            self._commit()

    def _take(self) -> list[kafka.Message]:
        """What is there now: the first message is waited for, the rest of the batch is not."""
        first = self._consumer.poll(self._poll_seconds)
        if first is None:
            return []
        messages = [first, *self._consumer.consume(self._batch - 1, 0)]
        for message in messages:
            error = message.error()
            if error is not None:
                raise StackError(f"{FEATURES} cannot be read: {error.str()}.", "See 'rift status'.")
        return messages

    def _predict(self, messages: Sequence[kafka.Message]) -> None:
        rows, positions = self._decode(messages)
        if rows:
            split = len(PROVENANCE)
            matrix = to_matrix([row[split:] for row in rows])
            scores = self._score(matrix)
            if scores is None:
                return
            model_time = now_ms()
            given = [row[:split] for row in rows]
            for record in facts(self.model, given, positions, matrix, scores, model_time, now_ms()):
                self._predictions.send(record)
            self.predicted += len(rows)
        for message in messages:
            self._done[message.partition() or 0] = (message.offset() or 0) + 1

    def _decode(self, messages: Sequence[kafka.Message]) -> tuple[list[tuple[Any, ...]], list[Position]]:
        rows, positions = [], []
        for message in messages:
            value = message.value()
            try:
                rows.append(self._read(value if value is not None else b""))
            except SchemaError as broken:
                self._bury(message, broken)
                continue
            positions.append(
                Position(message.partition() or 0, message.offset() or 0, message.timestamp()[1])
            )
        return rows, positions

    def _bury(self, message: kafka.Message, broken: SchemaError) -> None:
        """Keep a vector that can't be read; it must not stop those behind it."""
        if self._dead_letters is None:
            self._dead_letters = Producer(self._settings, topic="dead-letters")
        partition, offset = message.partition() or 0, message.offset() or 0
        self._dead_letters.send(
            {
                "dead_letter_id": f"{FEATURES}:{partition}:{offset}",
                "source_topic": FEATURES,
                "source_partition": partition,
                "source_offset": offset,
                "source_time": message.timestamp()[1],
                "stage": "serving",
                "reason": "undecodable",
                "detail": broken.message,
                "record_key": message.key(),
                "record_value": message.value(),
                "first_seen": now_ms(),
            }
        )
        log.warning("predictor.dead_letter", partition=partition, offset=offset)

    def _score(self, matrix: np.ndarray) -> Scores | None:
        """Ask the model until it answers, longer and longer apart; none when told to stop meanwhile."""
        pause = 0.05
        while not self._stopping:
            try:
                return self._scorer.score(matrix)
            except ModelError as away:
                log.warning("predictor.model_away", error=str(away), retry_in_s=pause)
                self._hold(pause)
                pause = min(pause * 2, 2.0)
        return None

    def _hold(self, seconds: float) -> None:
        """Wait without losing the place in the consumer group: polling a paused partition gives nothing."""
        held = self._consumer.assignment()
        self._consumer.pause(held)
        deadline = time.monotonic() + seconds
        while not self._stopping and (left := deadline - time.monotonic()) > 0:
            self._consumer.poll(min(left, 0.1))
        self._consumer.resume(self._consumer.assignment())

    def _commit(self) -> None:
        """Commit what is done, after the broker has every prediction and dead letter of it."""
        self._committed_at = time.monotonic()
        if not self._done:
            return
        self._predictions.flush()
        if self._dead_letters is not None:
            self._dead_letters.flush()
        places = [
            kafka.TopicPartition(FEATURES, partition, offset) for partition, offset in self._done.items()
        ]
        self._done = {}
        try:
            self._consumer.commit(offsets=places, asynchronous=False)
        except kafka.KafkaException as cause:
            if cause.args[0].code() in _LOST_PLACE:
                log.warning("predictor.place_lost", error=cause.args[0].str())
                return
            raise DeliveryError(
                f"Offsets of {FEATURES} could not be committed: {cause.args[0].str()}."
            ) from cause


_LOST_PLACE = (
    kafka.KafkaError.ILLEGAL_GENERATION,
    kafka.KafkaError.UNKNOWN_MEMBER_ID,
    kafka.KafkaError.REBALANCE_IN_PROGRESS,
    kafka.KafkaError._ASSIGNMENT_LOST,
)
