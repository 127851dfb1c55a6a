"""The prediction loop: every record of ``match-features`` becomes one ``Prediction``.

Read a batch, score it, publish it, and commit the offsets only after the broker has the predictions. After a
crash the uncommitted batch is scored again; its predictions carry the same ``prediction_id``, so a consumer
sees a fact twice at most, and never misses one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import confluent_kafka as kafka
import numpy as np
import structlog

from models.artefact import Card
from models.vector import to_matrix
from riftstream.errors import ModelError, SchemaError
from riftstream.settings import Settings, get_settings
from serving import pre_match
from serving.deployments import Deployment
from streams.avro import Record
from streams.client import Producer, codec_for
from streams.clock import now_ms
from streams.group import GroupReader

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

_MATCH, _BLUE, _RED, _TIME = (
    PROVENANCE.index(name) for name in ("match_id", "blue_team", "red_team", "event_time")
)

Scores = tuple[np.ndarray, np.ndarray, np.ndarray]


class Scorer(Protocol):
    """What answers: a model on Triton."""

    def score(self, matrix: np.ndarray, before: np.ndarray | None = None) -> Scores:
        """Probability, lower and upper end of the interval, each of shape [n], for rows of shape [n, f].

        ``before`` holds the pre-match log odds of each row, NaN where unknown.
        """
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
        card: Its card; None where nothing but the above is known.
    """

    name: str
    version: str
    service: str
    features: tuple[str, ...]
    interval_level: float
    card: Card | None = None

    @classmethod
    def of(cls, card: Card) -> Served:
        """The version of a card."""
        return cls(
            card.name, card.version, card.feature_service, tuple(card.features), card.interval_level, card
        )


class Choice(Protocol):
    """Which versions of the model answer now; each has the same features."""

    def deployment(self) -> Deployment:
        """Which versions answer for which subjects, and which are only tried."""

    def version(self, number: str) -> tuple[Served, Scorer]:
        """A version and what answers for it.

        Raises:
            ModelError: It cannot be had.
        """


def identity(*parts: object) -> str:
    """Identity of a prediction: the first 32 hex digits of a SHA-256 over what it depends on."""
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:32]


def prediction_id(
    model: Served, match_id: str, partition: int, offset: int, before: float | None = None
) -> str:
    """Identity of a prediction about a match: model, version, position in the log, and the pre-match log odds
    where they are known."""
    parts = () if before is None else (before,)
    return identity(model.name, model.version, match_id, EVENTS, partition, offset, *parts)


@dataclass(frozen=True)
class Position:
    """Where a feature vector lay: partition, offset and append time (ms) on ``match-features``."""

    partition: int
    offset: int
    time: int


@dataclass(frozen=True)
class Batch:
    """Vectors that are scored together.

    Attributes:
        rows: Values of ``PROVENANCE`` for each vector.
        positions: Where each vector lay.
        matrix: The vectors, float32, shape [n, f].
        inputs: What was known before each match, shape [n, k], see ``pre_match.Before.of``.
    """

    rows: Sequence[tuple[Any, ...]]
    positions: Sequence[Position]
    matrix: np.ndarray
    inputs: np.ndarray

    def take(self, places: Sequence[int]) -> Batch:
        """Some of them."""
        if len(places) == len(self.rows):
            return self
        rows, positions = [self.rows[n] for n in places], [self.positions[n] for n in places]
        return Batch(rows, positions, self.matrix[places], self.inputs[places])


def facts(
    model: Served, batch: Batch, before: np.ndarray, scores: Scores, model_time: int, now: int
) -> list[Record]:
    """``Prediction`` records of one scored batch.

    Args:
        model: Which model version answered.
        batch: What it was asked.
        before: Pre-match log odds of each vector, float32, shape [n], NaN where unknown.
        scores: What the model said, see ``Scorer.score``.
        model_time: When the model had answered, ms since the Unix epoch.
        now: When the predictions are published, ms since the Unix epoch.
    """
    probability, low, high = (values.tolist() for values in scores)
    told = pre_match.told(before, batch.inputs)
    digests = pre_match.digests(batch.matrix, before, model.service)
    records = []
    for index, (row, position, known) in enumerate(zip(batch.rows, batch.positions, told, strict=True)):
        given = dict(zip(PROVENANCE, row, strict=True))
        event_time = given["event_time"]
        records.append(
            {
                "prediction_id": prediction_id(
                    model,
                    given["match_id"],
                    given["source_partition"],
                    given["source_offset"],
                    known["pre_match"],
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
                "features_sha256": digests[index],
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
                **known,
            }
        )
    return records


class PredictionLoop:
    """Consumes ``match-features``, scores, publishes ``predictions``.

    Which versions answer is looked up for each batch, so a new one is live with the next. Versions in shadow
    score the same vectors; what they say is marked, and their failures hold up nobody.

    Args:
        model: The model version that is live at the start; all its versions read the same features.
        choice: Which versions answer.
        settings: Where Kafka, the registry and Redis are.
        batch: Most vectors that are scored at once.
        poll_seconds: How long to wait for the first vector of a batch.
        commit_seconds: How often offsets are committed.
    """

    def __init__(
        self,
        model: Served,
        choice: Choice,
        settings: Settings | None = None,
        *,
        batch: int = 512,
        poll_seconds: float = 0.2,
        commit_seconds: float = 1.0,
    ) -> None:
        settings = settings or get_settings()
        self.model = model
        self.predicted = 0
        self._choice = choice
        self._before = pre_match.Before(settings)
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._stopping = False
        self._read = codec_for(FEATURES, settings).projection((*PROVENANCE, *model.features))
        self._predictions = Producer(settings, topic=PREDICTIONS, linger_ms=0)
        self._reader = GroupReader(
            f"predictor-{model.name}",
            [FEATURES],
            settings,
            commit_seconds=commit_seconds,
            before_commit=self._deliver,
        )

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Work until ``stop`` is called or ``until`` says so.

        Raises:
            StackError: Kafka can't be read.
            DeliveryError: Kafka did not take the predictions; nothing of that batch was committed.
        """
        self._reader.join()
        log.info("predictor.started", model=self.model.name, version=self.model.version)
        try:
            while not self._stopping and not until():
                self._step()
            self._reader.commit()
        finally:
            self._reader.close()
            self._before.close()
            log.info("predictor.stopped", predicted=self.predicted)

    def stop(self) -> None:
        """Finish the batch at hand, commit, and leave. Safe in a signal handler."""
        self._stopping = True

    def _step(self) -> None:
        messages = self._reader.take(self._batch, self._poll_seconds)
        if messages:
            self._predict(messages)
        self._reader.commit_when_due()

    def _deliver(self) -> None:
        """Wait until the broker has every prediction."""
        self._predictions.flush()

    def _predict(self, messages: Sequence[kafka.Message]) -> None:
        rows, positions = self._decode(messages)
        if rows:
            split = len(PROVENANCE)
            given = [row[:split] for row in rows]
            inputs = self._before.of([_match_of(row) for row in given])
            batch = Batch(given, positions, to_matrix([row[split:] for row in rows]), inputs)
            records = self._told(batch)
            if records is None:
                return
            for record in records:
                self._predictions.send(record)
            self.predicted += len(rows)
        self._reader.done(messages)

    def _told(self, batch: Batch) -> list[Record] | None:
        """Ask the model until it answers, longer and longer apart; none when told to stop meanwhile."""
        pause = 0.05
        while not self._stopping:
            try:
                return self._ask(batch)
            except ModelError as away:
                log.warning("predictor.model_away", error=str(away), retry_in_s=pause)
                self._reader.hold(pause, lambda: self._stopping)
                pause = min(pause * 2, 2.0)
        return None

    def _ask(self, batch: Batch) -> list[Record]:
        """Predictions in the order of the rows, and those of versions in shadow after them.

        Raises:
            ModelError: A version that is served does not answer.
        """
        deployment = self._choice.deployment()
        found: list[tuple[int, Record]] = []
        for number in deployment.serving:
            places = [n for n, row in enumerate(batch.rows) if deployment.version_for(row[_MATCH]) == number]
            if places:
                found += zip(places, self._said(number, batch.take(places)), strict=True)
        records = [record for _, record in sorted(found, key=lambda one: one[0])]
        for number in deployment.shadow:
            records += self._tried(number, batch)
        return records

    def _said(self, number: str, batch: Batch) -> list[Record]:
        served, scorer = self._choice.version(number)
        if served.card is None:
            before = np.full(len(batch.rows), np.nan, np.float32)
        else:
            before = pre_match.estimates(served.card, batch.inputs)
        scores = scorer.score(batch.matrix, before)
        model_time = now_ms()
        return facts(served, batch, before, scores, model_time, now_ms())

    def _tried(self, number: str, batch: Batch) -> list[Record]:
        """What a version in shadow says; nothing while it does not answer."""
        try:
            records = self._said(number, batch)
        except ModelError as away:
            log.warning("predictor.shadow_away", version=number, error=str(away))
            return []
        return [record | {"shadow": True} for record in records]

    def _decode(self, messages: Sequence[kafka.Message]) -> tuple[list[tuple[Any, ...]], list[Position]]:
        rows, positions = [], []
        for message in messages:
            value = message.value()
            try:
                rows.append(self._read(value if value is not None else b""))
            except SchemaError as broken:
                self._reader.bury(message, broken)
                continue
            positions.append(
                Position(message.partition() or 0, message.offset() or 0, message.timestamp()[1])
            )
        return rows, positions


def _match_of(row: tuple[Any, ...]) -> pre_match.Match:
    """The match that a vector is of, from its values of ``PROVENANCE``."""
    return pre_match.Match(row[_MATCH], (row[_BLUE] or None, row[_RED] or None), row[_TIME])
