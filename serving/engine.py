"""Answers to questions: the one way from a ``Question`` to a ``Prediction``, by HTTP, by topic and in Python.

For each question: which version answers, an answer that is kept, else features from the online store and the
model on Triton. What is away does not end in an error where an honest answer is left:

- Triton away: an answer that was given lately, else the model's base rate. Its circuit opens, so that the
  next questions do not wait for it.
- Redis away: an answer that is kept in memory, else what the model says where nothing is known.

Both are marked ``degraded``. A question that says how old features may be (``max_age_ms``) gets no answer
that is older, degraded or not.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import orjson
import structlog

from features.online import MOST_ENTITIES, OnlineReader
from models.artefact import Card
from riftstream.errors import ModelError, StackError
from riftstream.settings import Settings, get_settings
from serving import pre_match, problems
from serving.caches import REDIS_MS, Answer, Key, Memory, Shared, age_ms
from serving.circuit import Circuit
from serving.deployments import Deployments
from serving.metrics import ANSWERS, BATCH, CACHE, DEGRADED, SECONDS
from serving.pre_match import Before, Lookup
from serving.predictor import Served, identity
from serving.problems import Refused
from serving.questions import MATCH, Question
from serving.triton import TritonClient
from streams.avro import Record
from streams.clock import now_ms

log = structlog.get_logger()

TRITON_SECONDS = 2.0

_HIT, _MISSED = (CACHE.labels("memory", result) for result in ("hit", "miss"))


class Kind(Protocol):
    """What a model answers about, and how: one for each model."""

    @property
    def model(self) -> str:
        """The model."""

    @property
    def subject_type(self) -> str:
        """What it answers about: ``match`` or ``player``."""

    @property
    def outputs(self) -> tuple[str, ...]:
        """Outputs of the model that it needs."""

    def asked(self, prediction: Record) -> Question:
        """The question that a ``Prediction`` answers, as far as its features depend on it."""

    def context(self, question: Question) -> tuple[str, ...]:
        """What of a question, beside its subject, the features depend on; empty for what is not given."""

    def key(self, question: Question) -> tuple[str, ...]:
        """What of a question, beside its subject and context, the answer depends on."""

    def refusal(self, question: Question) -> str:
        """Why the model cannot answer a question; empty where it can."""

    def read(self, sources: Sources, card: Card, questions: Sequence[Question]) -> list[Known]:
        """What is known of the subjects of questions, in the context that each gives.

        Raises:
            StackError: The online store is away.
        """

    def nothing(self, card: Card) -> Known:
        """What is known where the online store is away."""

    def facts(
        self, card: Card, question: Question, known: Known, said: list[np.ndarray] | None
    ) -> Facts | None:
        """What the model's outputs for ``known.rows`` say; without them a fallback, if there is one."""

    def reasons(self, card: Card, question: Question, known: Known) -> dict[str, Any]:
        """Why the model says what it says: unit, base, reasons (the strongest first) and others."""


@dataclass(frozen=True)
class Sources:
    """Where kinds read what is known.

    Attributes:
        reader: Reads the online store.
        before: What was known before matches; for one thread at a time, see ``lock``.
        lock: Held while ``before`` is used.
        chances: Probability that blue wins, for questions about matches; None where none is known.
    """

    reader: OnlineReader
    before: Lookup
    lock: threading.Lock
    chances: Callable[[Sequence[Question]], list[float | None]]


@dataclass(frozen=True)
class Known:
    """What the online store knows of a subject.

    Attributes:
        vector: Features in the model's order, float32, shape [f].
        record: Fields of the ``Prediction`` that come from the features: identity, place in the log, clock.
        event_ms: Time of the newest event behind them, ms since the Unix epoch; None where nothing is known.
        live: Whether it is about a match that is being played.
        missing: Whether the online store has nothing of the subject.
        means: What a fallback answer may stand on, by statistic.
        before: Of a match, the pre-match log odds; None where nothing was known.
        then: Of a player, the vector of the maps after a map that is being played; None where it is like
            ``vector``.
        context: Of a player, what was taken into account, by name; told by HTTP.
        refusal: Why the question cannot be answered, now that its context was read; empty where it can.
    """

    vector: np.ndarray
    record: dict[str, Any]
    event_ms: int | None
    live: bool
    missing: bool = False
    means: Mapping[str, float | None] = field(default_factory=dict)
    before: float | None = None
    then: np.ndarray | None = None
    context: Mapping[str, Any] = field(default_factory=dict)
    refusal: str = ""

    @property
    def rows(self) -> list[np.ndarray]:
        """The vectors that the model is asked for, one or two."""
        return [self.vector] if self.then is None else [self.vector, self.then]

    def sha256(self, service: str) -> str:
        """Identity of all that an answer depends on, for a feature service."""
        return pre_match.digest(np.concatenate(self.rows), self.before, service)


@dataclass(frozen=True)
class Facts:
    """What a model says of a subject.

    Attributes:
        record: Fields of the ``Prediction``: probability, distribution, interval.
        more: What HTTP tells beside it.
    """

    record: dict[str, Any]
    more: dict[str, Any]


@dataclass(frozen=True)
class Given:
    """An answer to one question.

    Attributes:
        answer: The answer.
        origin: Where it comes from: ``model``, ``memory``, ``redis``, ``topic`` or ``fallback``.
        request_id: Identity of the question.
    """

    answer: Answer
    origin: str
    request_id: str | None = None

    @property
    def record(self) -> Record:
        """The ``Prediction`` as it goes to the topic."""
        return self.answer.record | {"request_id": self.request_id}

    def json(self, now: int | None = None) -> bytes:
        """The answer as HTTP gives it."""
        age = age_ms(self.answer, now)
        name = b"null" if self.request_id is None else orjson.dumps(self.request_id)
        head = b'{"request_id":%b,"answered_from":"%b","age_ms":%b,' % (
            name,
            self.origin.encode(),
            b"null" if age is None else b"%d" % age,
        )
        return head + self.answer.tail


Outcome = Given | Refused

_Asked = tuple[str, ...]
"""A subject and the context in which it is asked about."""


class Version:
    """One version of a model, ready to be asked.

    Args:
        card: Its card.
        kind: What it answers about.
        settings: Where Triton is.
    """

    def __init__(self, card: Card, kind: Kind, settings: Settings) -> None:
        self.card = card
        self.kind = kind
        self.served = Served.of(card)
        self.circuit = Circuit()
        self.client = TritonClient(settings.triton_url, card.name, card.version, timeout=TRITON_SECONDS)

    def ask(self, matrix: np.ndarray, before: np.ndarray) -> list[np.ndarray] | None:
        """Outputs for vectors; None while Triton is away or its circuit is open.

        Args:
            matrix: The vectors, float32, shape [n, f].
            before: Pre-match log odds, float32, shape [n]; NaN where unknown.
        """
        if not self.circuit.allows():
            return None
        try:
            found = self.client.infer(matrix, self.kind.outputs, before)
        except ModelError as away:
            self.circuit.failed()
            log.warning("engine.model_away", model=self.card.name, error=str(away))
            return None
        self.circuit.succeeded()
        return found


class Engine:
    """Answers questions. Safe to use from several threads.

    Args:
        kinds: What can be answered, by model.
        deployments: Which versions answer; started by whoever makes it.
        version: Gives a version that is ready to be asked.
        settings: Where Redis is; the process's settings by default.
    """

    def __init__(
        self,
        kinds: Iterable[Kind],
        deployments: Deployments,
        version: Callable[[str, str], Version],
        settings: Settings | None = None,
    ) -> None:
        settings = settings or get_settings()
        self.kinds = {kind.model: kind for kind in kinds}
        self.deployments = deployments
        self.memory = Memory()
        self._reader = OnlineReader(settings)
        self._before = Before(settings)
        self.sources = Sources(self._reader, self._before, threading.Lock(), self._chances)
        self._by_subject = {kind.subject_type: kind for kind in self.kinds.values()}
        self._version = version
        self._shared = Shared(settings)
        self._store = Circuit()
        self._live_ms = settings.live_cache_ms

    def close(self) -> None:
        """Close the connections."""
        self._shared.close()
        self._before.close()
        self._reader.close()

    def online(self) -> bool:
        """Whether Redis answers."""
        return self._shared.ping()

    def key(self, question: Question) -> Key:
        """The key under which the answer to a question is kept.

        Raises:
            Refused: No model answers it.
        """
        name = question.model_name
        kind = self._by_subject.get(question.subject_type) if name is None else self.kinds.get(name)
        if kind is None:
            what = name or f"a {question.subject_type}"
            raise problems.unknown_model(f"No model answers for {what}; there are: {', '.join(self.kinds)}.")
        if question.subject_type != kind.subject_type:
            raise problems.unfit(f"{kind.model} answers for a {kind.subject_type} only.")
        refusal = kind.refusal(question)
        if refusal:
            raise problems.unfit(refusal)
        deployment = self.deployments[kind.model]
        version = question.model_version or deployment.version_for(question.subject_id)
        if question.model_version is not None and version not in self.known_versions(kind.model):
            known = ", ".join(self.known_versions(kind.model))
            raise problems.unknown_model(f"{kind.model} has no version {version}; there are: {known}.")
        asked = (*kind.context(question), *kind.key(question))
        return (kind.model, version, kind.subject_type, question.subject_id, *asked)

    def known_versions(self, model: str) -> tuple[str, ...]:
        """Versions of a model that can be asked for, the live one first."""
        deployment = self.deployments[model]
        return tuple(dict.fromkeys((*deployment.serving, *deployment.shadow, *deployment.artefacts)))

    def recall(self, question: Question) -> Given | None:
        """The answer of the cache in memory, where it is fresh enough for the question.

        Raises:
            Refused: No model answers the question.
        """
        now = now_ms()
        found = self.memory.fresh(self.key(question), now)
        if found is None or not _young_enough(found, question, now):
            _MISSED.inc()
            return None
        _HIT.inc()
        return Given(found, "memory", question.request_id)

    def answer(self, questions: Sequence[Question], *, anew: bool = False) -> list[Outcome]:
        """Answers in the order of the questions; each is an answer, or what stands in its way.

        Args:
            questions: The questions; those that are alike are asked once.
            anew: Leave the caches out, and ask the model.
        """
        BATCH.observe(len(questions))
        keys: list[Key | Refused] = []
        wanted: dict[Key, list[Question]] = {}
        for question in questions:
            try:
                key = self.key(question)
            except Refused as refused:
                keys.append(refused)
                continue
            keys.append(key)
            wanted.setdefault(key, []).append(question)
        found = self._find(wanted, anew) if wanted else {}
        return [
            key if isinstance(key, Refused) else _checked(found[key], question)
            for key, question in zip(keys, questions, strict=True)
        ]

    def heard(self, record: Record) -> None:
        """Keep a prediction of the live path, which is newer than what is kept of its match."""
        if record["shadow"] or record["degraded"] or record["model_name"] not in self.kinds:
            return
        key = (record["model_name"], record["model_version"], record["subject_type"], record["subject_id"])
        if self.kinds[record["model_name"]].subject_type == record["subject_type"] == "match":
            kept = {name: value for name, value in record.items() if name != "request_id"}
            self.memory.put(key, Answer(kept, now_ms(), record["event_time"], 1.0, self._live_ms, {}))

    def _find(self, wanted: Mapping[Key, list[Question]], anew: bool) -> dict[Key, _Found]:
        found: dict[Key, _Found] = {}
        if not anew:
            self._recall_shared(wanted, found)
        missing: dict[tuple[str, str], list[Key]] = {}
        for key in wanted:
            if key not in found:
                missing.setdefault((key[0], key[1]), []).append(key)
        for (model, number), keys in missing.items():
            try:
                version = self._version(model, number)
            except ModelError as away:
                refused = problems.unavailable(away.message)
                found.update(dict.fromkeys(keys, _Found(refused=refused)))
                continue
            self._compute(version, keys, wanted, found)
        return found

    def _recall_shared(self, wanted: Mapping[Key, list[Question]], found: dict[Key, _Found]) -> None:
        now = now_ms()
        for key, answer in zip(wanted, self._shared.get(list(wanted)), strict=True):
            fresh = answer is not None and answer.fresh(now, REDIS_MS)
            if answer and fresh and all(_young_enough(answer, one, now) for one in wanted[key]):
                CACHE.labels("redis", "hit").inc()
                self.memory.put(key, answer)
                found[key] = _Found(Given(answer, "redis"))
            else:
                CACHE.labels("redis", "miss").inc()

    def _compute(
        self,
        version: Version,
        keys: list[Key],
        wanted: Mapping[Key, list[Question]],
        found: dict[Key, _Found],
    ) -> None:
        """Answer by the model, or by what is left where something is away."""
        begun = time.perf_counter()
        asked = {key: (key[3], *version.kind.context(wanted[key][0])) for key in keys}
        known, store_away = self._read(version, {asked[key]: wanted[key][0] for key in keys})
        said = self._said(version, known)
        cost = (time.perf_counter() - begun) * 1000
        SECONDS.observe(cost / 1000)
        degraded = said is None or store_away
        kept = self._kept(keys, store_away) if degraded else {}
        made: list[tuple[Key, Answer]] = []
        for key in keys:
            subject = known[asked[key]]
            if subject.missing:
                found[key] = _Found(refused=problems.unknown_subject(version.kind.subject_type, key[3]))
                continue
            if subject.refusal:
                found[key] = _Found(refused=problems.unfit(subject.refusal))
                continue
            outputs = None if said is None else said[asked[key]]
            answer = self._made(version, key, wanted[key][0], subject, outputs, cost, degraded)
            if degraded:
                fallback = None if answer is None else Given(answer, "fallback")
                found[key] = _Found(fallback, kept.get(key))
            elif answer is not None:
                made.append((key, answer))
                self.memory.put(key, answer)
                found[key] = _Found(Given(answer, "model"))
        if made:
            self._shared.put(made)

    def _read(self, version: Version, asked: Mapping[_Asked, Question]) -> tuple[dict[_Asked, Known], bool]:
        """What is known of what is asked about, and whether the online store is away."""
        nothing = version.kind.nothing(version.card)
        if not self._store.allows():
            return dict.fromkeys(asked, nothing), True
        try:
            known = version.kind.read(self.sources, version.card, list(asked.values()))
        except StackError as away:
            self._store.failed()
            log.warning("engine.features_away", error=str(away))
            return dict.fromkeys(asked, nothing), True
        self._store.succeeded()
        return dict(zip(asked, known, strict=True)), False

    def _said(self, version: Version, known: Mapping[_Asked, Known]) -> dict[_Asked, list[np.ndarray]] | None:
        """The model's outputs by what is asked about, each shape [1 or 2, ...]; None while it is away."""
        asked = [one for one, found in known.items() if not found.missing and not found.refusal]
        if not asked:
            return {}
        rows = [(known[one].before, vector) for one in asked for vector in known[one].rows]
        before = np.array([known_before for known_before, _ in rows], np.float32)
        outputs = version.ask(np.stack([vector for _, vector in rows]), before)
        if outputs is None:
            return None
        ends = np.cumsum([len(known[one].rows) for one in asked]).tolist()
        spans = zip([0, *ends], ends, strict=False)
        return {
            one: [values[first:last] for values in outputs]
            for one, (first, last) in zip(asked, spans, strict=True)
        }

    def _chances(self, questions: Sequence[Question]) -> list[float | None]:
        """Probability that blue wins, for questions about matches; None where there is no answer."""
        return [
            one.answer.record["probability"]
            if isinstance(one, Given) and not one.answer.record["degraded"]
            else None
            for start in range(0, len(questions), MOST_ENTITIES)
            for one in self.answer(questions[start : start + MOST_ENTITIES])
        ]

    def _made(
        self,
        version: Version,
        key: Key,
        question: Question,
        known: Known,
        outputs: list[np.ndarray] | None,
        cost: float,
        degraded: bool,
    ) -> Answer | None:
        """The answer to a question; None where the model is away and there is no fallback."""
        kind, card = version.kind, version.card
        facts = kind.facts(card, question, known, outputs)
        if facts is None:
            return None
        now = now_ms()
        record = prediction(card, kind.subject_type, key[3], known, facts, now)
        parts = ("degraded", now) if degraded else ()
        record = {"prediction_id": answer_id(record, key[4:], *parts), **record, "degraded": degraded}
        return Answer(record, now, known.event_ms, cost, self._live_ms if known.live else None, facts.more)

    def _kept(self, keys: list[Key], store_away: bool) -> dict[Key, Given]:
        """The newest answer to each key in either cache, marked as degraded."""
        now = now_ms()
        shared = [None] * len(keys) if store_away else self._shared.get(keys)
        found: dict[Key, Given] = {}
        for key, from_redis in zip(keys, shared, strict=True):
            candidates = [("memory", self.memory.kept(key, now)), ("redis", from_redis)]
            held = [(origin, answer) for origin, answer in candidates if answer is not None]
            if held:
                origin, answer = max(held, key=lambda one: one[1].made_ms)
                marked = replace(answer, record=answer.record | {"degraded": True})
                found[key] = Given(marked, origin)
        return found


@dataclass(frozen=True)
class _Found:
    """What was found for a key: an answer, one that was given before, or what stands in the way."""

    given: Given | None = None
    kept: Given | None = None
    refused: Refused | None = None


def _young_enough(answer: Answer, question: Question, now: int) -> bool:
    limit = question.max_age_ms
    return limit is None or (answer.event_ms is not None and now - answer.event_ms <= limit)


def _checked(found: _Found, question: Question) -> Outcome:
    """The outcome of one question: features that are too old for it answer nothing."""
    if found.refused is not None:
        return found.refused
    now = now_ms()
    for given in (found.kept, found.given):
        if given is not None and _young_enough(given.answer, question, now):
            ANSWERS.labels(given.origin).inc()
            if given.answer.record["degraded"]:
                DEGRADED.inc()
            return replace(given, request_id=question.request_id)
    if found.given is None or question.max_age_ms is None:
        return problems.unavailable("The model is away, and nothing else can answer.")
    age = age_ms(found.given.answer, now)
    if age is None:
        return problems.unavailable("The age of the features is not known: the online store is away.")
    return problems.stale(age, question.max_age_ms)


def answer_id(record: Record, asked: Sequence[str], *parts: object) -> str:
    """Identity of an answer.

    Of a match it is that of the live path, see ``predictor.prediction_id``. A player's place in the log stays
    while forms of the teams and the chance to win change, so there the features themselves are in it.

    Args:
        record: The ``Prediction`` without its identity.
        asked: What of the question, beside its subject, the answer depends on.
        parts: What else makes it another one.
    """
    named = ("model_name", "model_version", "subject_id", "source_topic", "source_partition", "source_offset")
    stood_on = record["pre_match"] if record["subject_type"] == MATCH else record["features_sha256"]
    known = () if stood_on is None else (stood_on,)
    return identity(*(record[name] for name in named), *asked, *known, *parts)


def prediction(
    card: Card, subject_type: str, subject_id: str, known: Known, facts: Facts, now: int
) -> dict[str, Any]:
    """A ``Prediction`` without ``request_id``: what a model says of what is known.

    Args:
        card: The model version that answers.
        subject_type: ``match`` or ``player``.
        subject_id: The match or player.
        known: What is known of it.
        facts: What the model says.
        now: When it says it, ms since the Unix epoch.
    """
    age = None if known.event_ms is None else now - known.event_ms
    return {
        "model_name": card.name,
        "model_version": card.version,
        "subject_type": subject_type,
        "subject_id": subject_id,
        "match_id": None,
        "player_id": None,
        "event_id": None,
        "probability": None,
        "statistic": None,
        "line": None,
        "push": None,
        "distribution": None,
        "interval_low": None,
        "interval_high": None,
        "interval_level": None,
        "feature_service": card.feature_service,
        "features_sha256": known.sha256(card.feature_service),
        "feature_partition": None,
        "feature_offset": None,
        "watermark": None,
        "as_of": now,
        "age_kafka_ms": None,
        "age_flink_ms": None,
        "age_features_ms": None,
        "age_model_ms": age,
        "age_published_ms": age,
        "degraded": False,
        "shadow": False,
        "league": None,
        "blue_team": None,
        "red_team": None,
        "maps": None,
        "opponent": None,
        "side": None,
        "champion": None,
        "win_probability": None,
        "win_probability_next": None,
        "pre_match": None,
        "pre_match_inputs": None,
        **known.record,
        **facts.record,
    }
