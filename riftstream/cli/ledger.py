"""The account of a run: every event that was sent is accepted or rejected, and has its prediction or not.

``Ledger`` takes records in, in any order and any number of times; ``summary`` adds up. Nothing here reads or
writes anything.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from riftstream.cli.live import MODEL, percentile
from streams.client import Received

TOPICS = ("live-matches", "match-features", "predictions", "match-results", "dead-letters")
WARM_UP_MS = 10_000
"""How long after the first event the servers count as warm: until then the JVM compiles what it runs."""

Position = tuple[int, int]


@dataclass(frozen=True)
class Latency:
    """How long it took from an event (its ``event_time``) to its prediction (the broker's append).

    Attributes:
        count: Events measured.
        p50_ms: Median.
        p99_ms: 99th percentile.
        max_ms: The longest.
    """

    count: int
    p50_ms: float | None
    p99_ms: float | None
    max_ms: float | None


@dataclass(frozen=True)
class Score:
    """How good the predictions were, over matches that ended with a winner.

    Attributes:
        matches: Matches scored.
        predictions: Predictions scored; the one after the end event is none, since the result is known then.
        brier: Mean squared error of the probability (Brier 1950): the mean over matches of each one's mean.
        brier_even: The same of a forecast that always says 50 %.
        brier_base_rate: The same of a forecast that always says how often blue won in training; None where
            that is not known.
        by_match: Score of each match.
    """

    matches: int
    predictions: int
    brier: float | None
    brier_even: float | None
    brier_base_rate: float | None
    by_match: dict[str, float]


@dataclass(frozen=True)
class Summary:
    """What a run came to.

    Attributes:
        sent: Events handed to Kafka.
        read: Records of the run in ``live-matches``.
        accepted: Records that have features, each position in the log once.
        rejected: Records that are dead letters, by reason.
        features: ``match-features`` records, repetitions included.
        predictions: Predictions, each ``prediction_id`` once.
        repeated: Predictions that came again under the same id.
        results: Matches that have a result.
        known_before: Matches that were predicted with what was known of their teams before. Where the same
            matches were played before, that holds how they ended.
        latency: From the moment when an event happened to the broker's append of its prediction.
        latency_warm: The same without the events of the first ``WARM_UP_MS``.
        score: How good the predictions were.
        faults: What does not add up, a sentence each; empty when all is well.
    """

    sent: int
    read: int
    accepted: int
    rejected: dict[str, int]
    features: int
    predictions: int
    repeated: int
    results: int
    known_before: list[str]
    latency: Latency
    latency_warm: Latency
    score: Score
    faults: list[str]


@dataclass(frozen=True)
class _Prediction:
    match_id: str
    event_id: str
    probability: float | None
    event_time: int
    age_ms: int
    known_before: bool


@dataclass
class Ledger:
    """Keeps account of the matches whose id ends with ``suffix``.

    Attributes:
        suffix: What the match ids of this run end with.
        matches: How many matches are played.
        sent: Events handed to Kafka so far; set by who sends.
    """

    suffix: str
    matches: int
    sent: int = 0
    _events: set[Position] = field(default_factory=set)
    _features: dict[Position, str] = field(default_factory=dict)
    _feature_records: set[Position] = field(default_factory=set)
    _rejected: dict[Position, str] = field(default_factory=dict)
    _predictions: dict[str, _Prediction] = field(default_factory=dict)
    _prediction_records: set[Position] = field(default_factory=set)
    _results: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def take(self, topic: str, received: Received) -> bool:
        """Enter one record of one of ``TOPICS``; records of other runs are left out.

        Returns:
            Whether it belongs to this run.
        """
        record = received.record
        match = record.get("match_id")
        if not match or not match.endswith(self.suffix):
            return False
        if topic == "live-matches":
            self._events.add((received.partition, received.offset))
        elif topic == "match-features":
            self._feature_records.add((received.partition, received.offset))
            self._features[record["source_partition"], record["source_offset"]] = record["event_id"]
        elif topic == "dead-letters":
            self._rejected[record["source_partition"], record["source_offset"]] = record["reason"]
        elif topic == "match-results":
            self._results[match] = (record["event_id"], record["winner"])
        elif topic == "predictions" and record["model_name"] == MODEL and not record["shadow"]:
            self._predict(received)
        return True

    def _predict(self, received: Received) -> None:
        record = received.record
        self._prediction_records.add((received.partition, received.offset))
        if record["prediction_id"] in self._predictions:
            return
        self._predictions[record["prediction_id"]] = _Prediction(
            match_id=record["match_id"],
            event_id=record["event_id"],
            probability=record["probability"],
            event_time=record["event_time"],
            age_ms=received.time - record["event_time"],
            known_before=record["pre_match"] is not None,
        )

    def missing(self) -> dict[str, int]:
        """What has not come yet, by what it is; empty once the run is complete."""
        predicted = {prediction.event_id for prediction in self._predictions.values()}
        gaps = {
            "events not in the topic": self.sent - len(self._events),
            "events neither accepted nor rejected": len(
                self._events - self._features.keys() - self._rejected.keys()
            ),
            "accepted events without a prediction": len(set(self._features.values()) - predicted),
            "matches without a result": self.matches - len(self._results),
        }
        return {what: count for what, count in gaps.items() if count > 0}

    def summary(self, base_rate: float | None = None) -> Summary:
        """Add up.

        Args:
            base_rate: How often blue won in the model's training matches.
        """
        rejected = Counter(self._rejected.values())
        return Summary(
            sent=self.sent,
            read=len(self._events),
            accepted=len(self._features),
            rejected=dict(sorted(rejected.items())),
            features=len(self._feature_records),
            predictions=len(self._predictions),
            repeated=len(self._prediction_records) - len(self._predictions),
            results=len(self._results),
            known_before=sorted({one.match_id for one in self._predictions.values() if one.known_before}),
            latency=self._latency(0),
            latency_warm=self._latency(WARM_UP_MS),
            score=score(self._scored(), self._winners(), base_rate),
            faults=self._faults(),
        )

    def _faults(self) -> list[str]:
        faults = [f"{count} {what}" for what, count in self.missing().items()]
        if len(self._events) > self.sent:
            faults.append(f"{len(self._events) - self.sent} more records in the topic than were sent")
        both = len(self._features.keys() & self._rejected.keys())
        if both:
            faults.append(f"{both} records both accepted and rejected")
        strange = len((self._features.keys() | self._rejected.keys()) - self._events)
        if strange:
            faults.append(f"{strange} features or dead letters of no record of this run")
        return faults

    def _latency(self, after_ms: int) -> Latency:
        predictions = self._predictions.values()
        begun = min((prediction.event_time for prediction in predictions), default=0)
        ages = [p.age_ms for p in predictions if p.event_time - begun >= after_ms]
        return Latency(len(ages), percentile(ages, 50), percentile(ages, 99), percentile(ages, 100))

    def _winners(self) -> dict[str, str]:
        return {match: winner for match, (_, winner) in self._results.items() if winner}

    def _scored(self) -> dict[str, list[float]]:
        """Probabilities by match, without those that were made when the result was known."""
        endings = {event_id for event_id, _ in self._results.values()}
        found: dict[str, list[float]] = defaultdict(list)
        for prediction in self._predictions.values():
            if prediction.probability is not None and prediction.event_id not in endings:
                found[prediction.match_id].append(prediction.probability)
        return found


def score(
    probabilities: Mapping[str, Iterable[float]], winners: Mapping[str, str], base_rate: float | None
) -> Score:
    """Score probabilities that blue wins.

    Args:
        probabilities: What was said in each match.
        winners: Side that won, by match; matches without a winner are left out.
        base_rate: How often blue won in training.
    """
    said = {match: list(values) for match, values in probabilities.items() if match in winners}
    said = {match: values for match, values in said.items() if values}

    def error(values: Iterable[float], match: str) -> float:
        won = 1.0 if winners[match] == "blue" else 0.0
        errors = [(value - won) ** 2 for value in values]
        return sum(errors) / len(errors)

    by_match = {match: error(values, match) for match, values in said.items()}
    if not by_match:
        return Score(0, 0, None, None, None, {})

    def constant(value: float) -> float:
        return sum(error([value], match) for match in by_match) / len(by_match)

    return Score(
        matches=len(by_match),
        predictions=sum(map(len, said.values())),
        brier=sum(by_match.values()) / len(by_match),
        brier_even=constant(0.5),
        brier_base_rate=None if base_rate is None else constant(base_rate),
        by_match=by_match,
    )
