"""Answers that are kept: in this process for half a minute, in Redis for five.

A key holds model and version, so that an answer of a version that is no longer live is never found. How long
an answer counts as fresh depends on what it is about: that of a match that is being played counts for the
match's budget only (a second by default), in both caches. Shortly before its time is up a caller is told now
and then that there is none (Vattani et al. 2015, "Optimal Probabilistic Cache Stampede Prevention"), so that
many callers do not compute the same at once.

What is no longer fresh is kept for five minutes: while the model is away it may be given, marked as degraded.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import orjson
import redis
import structlog

from riftstream.settings import Settings
from serving.circuit import Circuit
from streams.clock import now_ms

log = structlog.get_logger()

MEMORY_MS = 30_000
REDIS_MS = 300_000
KEPT_MS = 300_000
MOST_ENTRIES = 50_000

_EAGERNESS = 1.0
_TIMEOUT_SECONDS = 0.5
_PREFIX = b"rift:answer:"

Key = tuple[str, ...]
"""Model, version, kind of subject, subject, and what else the answer depends on."""


@dataclass(frozen=True)
class Answer:
    """An answer without what differs from request to request.

    Attributes:
        record: The ``Prediction``, without ``request_id``.
        made_ms: When it was computed, ms since the Unix epoch.
        event_ms: Event time of its newest features; None where it stands on none.
        cost_ms: How long it took to compute.
        live_ms: How long it counts as fresh where its match is being played; None elsewhere.
        more: What HTTP tells beside the record, by name.
    """

    record: dict[str, Any]
    made_ms: int
    event_ms: int | None
    cost_ms: float
    live_ms: int | None
    more: dict[str, Any]

    @cached_property
    def tail(self) -> bytes:
        """Its JSON without the opening brace."""
        return orjson.dumps(self.record | self.more)[1:]

    def fresh(self, now: int, limit_ms: int) -> bool:
        """Whether it may be given at a time, by a cache that keeps answers for ``limit_ms``."""
        limit = limit_ms if self.live_ms is None else min(limit_ms, self.live_ms)
        early = -self.cost_ms * _EAGERNESS * math.log(1.0 - random.random())  # noqa: S311
        return now - self.made_ms + early < limit


class Memory:
    """The cache of this process. Safe to use from several threads.

    Args:
        most: Most answers that are kept; the oldest go first.
    """

    def __init__(self, most: int = MOST_ENTRIES) -> None:
        self._most = most
        self._answers: dict[Key, Answer] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._answers)

    def fresh(self, key: Key, now: int) -> Answer | None:
        """The answer of a key where it is fresh."""
        found = self._answers.get(key)
        return found if found is not None and found.fresh(now, MEMORY_MS) else None

    def kept(self, key: Key, now: int) -> Answer | None:
        """The answer of a key where it is not older than five minutes, fresh or not."""
        found = self._answers.get(key)
        return found if found is not None and now - found.made_ms <= KEPT_MS else None

    def put(self, key: Key, answer: Answer) -> None:
        """Keep an answer, unless a newer one is there."""
        with self._lock:
            found = self._answers.pop(key, None)
            if found is not None and found.made_ms > answer.made_ms:
                answer = found
            self._answers[key] = answer
            while len(self._answers) > self._most:
                del self._answers[next(iter(self._answers))]


class Shared:
    """The cache in Redis, which all processes share. Where Redis is away it holds nothing and says so once.

    Args:
        settings: Where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._client: Any = redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        )
        self._circuit = Circuit()
        self._away = False

    def get(self, keys: Sequence[Key]) -> list[Answer | None]:
        """The answers of keys, fresh or not; None where there is none."""
        if not self._circuit.allows():
            return [None] * len(keys)
        try:
            found = self._client.mget([_name(key) for key in keys])
        except redis.RedisError as away:
            self._note(away)
            return [None] * len(keys)
        self._note(None)
        return [None if raw is None else _read(raw) for raw in found]

    def put(self, answers: Sequence[tuple[Key, Answer]]) -> None:
        """Keep answers for five minutes."""
        if not self._circuit.allows():
            return
        pipe = self._client.pipeline(transaction=False)
        for key, answer in answers:
            pipe.set(_name(key), _written(answer), px=REDIS_MS)
        try:
            pipe.execute()
        except redis.RedisError as away:
            self._note(away)
            return
        self._note(None)

    def ping(self) -> bool:
        """Whether Redis answers."""
        try:
            return bool(self._client.ping())
        except redis.RedisError:
            return False

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _note(self, away: redis.RedisError | None) -> None:
        if away is None:
            self._circuit.succeeded()
        else:
            self._circuit.failed()
        if (away is not None) != self._away:
            self._away = away is not None
            log.warning("shared_cache.away" if self._away else "shared_cache.back", error=str(away or ""))


def _name(key: Key) -> bytes:
    return _PREFIX + orjson.dumps(key)


def _written(answer: Answer) -> bytes:
    return orjson.dumps(
        [answer.record, answer.made_ms, answer.event_ms, answer.cost_ms, answer.live_ms, answer.more]
    )


def _read(raw: bytes) -> Answer | None:
    """An answer, or None where another version of this code wrote something else."""
    try:
        record, made, event, cost, live, more = orjson.loads(raw)
        return Answer(record, made, event, cost, live, more)
    except (orjson.JSONDecodeError, ValueError, TypeError):
        return None


def age_ms(answer: Answer, now: int | None = None) -> int | None:
    """Age of the newest features behind an answer, ms; None where it stands on none."""
    if answer.event_ms is None:
        return None
    return max(0, (now_ms() if now is None else now) - answer.event_ms)
