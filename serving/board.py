"""What the predictions topic tells, as it comes: the newest predictions of each match, and live feeds.

A thread reads the topic; all else happens in the event loop. Memory is bounded: matches that were quiet for
the longest are forgotten first. A client of a feed that does not keep up is let go, and holds up nobody.
"""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson
import structlog

from riftstream.errors import RiftError
from riftstream.settings import Settings, get_settings
from serving.metrics import FEED_DROPPED, FEEDS
from serving.questions import MATCH
from streams.avro import Record
from streams.client import Subscriber

log = structlog.get_logger()

TOPIC = "predictions"
MOST_PREDICTIONS = 100_000
MOST_CLIENTS = 2_000
MOST_UNSENT = 256

_BACK = 25_000
"""Records of each partition's past that are read at the start."""
_PAUSE_SECONDS = 1.0
_CATCH_UP_SECONDS = 30.0


class Told(NamedTuple):
    """A prediction with its JSON, and the places that order a match's history."""

    clock_ms: int
    offset: int
    prediction_id: str
    json: bytes


@dataclass
class MatchLog:
    """Predictions of a match that are served, by id; and the newest."""

    told: dict[str, Told] = field(default_factory=dict)
    newest: Record | None = None

    def history(self) -> list[Told]:
        """By match clock, then by place in the log."""
        return sorted(self.told.values())


class Client:
    """One client of a feed: what it wants, and what it has not been sent yet.

    Args:
        match: Only predictions of this match; all where it is None.
        shadow: Whether predictions of versions that are only tried are wanted too.
        max_age_ms: Oldest prediction that is wanted, by its age when it was published; None for any.
    """

    def __init__(self, match: str | None = None, shadow: bool = False, max_age_ms: int | None = None) -> None:
        self.match = match
        self.too_slow = False
        self._shadow = shadow
        self._max_age_ms = max_age_ms
        self._unsent: deque[bytes] = deque()
        self._news = asyncio.Event()

    def offer(self, record: Record, json: bytes) -> None:
        """Take a prediction in, if it is wanted; a client that has too many unsent is too slow."""
        if record["shadow"] and not self._shadow:
            return
        age = record["age_published_ms"]
        if self._max_age_ms is not None and (age is None or age > self._max_age_ms):
            return
        if len(self._unsent) >= MOST_UNSENT:
            self.too_slow = True
        else:
            self._unsent.append(json)
        self._news.set()

    async def take(self, seconds: float) -> list[bytes]:
        """What is unsent, waiting for the first that many seconds at most."""
        if not self._unsent and not self.too_slow:
            self._news.clear()
            try:
                async with asyncio.timeout(seconds):
                    await self._news.wait()
            except TimeoutError:
                return []
        found = list(self._unsent)
        self._unsent.clear()
        return found


class Board:
    """Follows the predictions topic for one event loop.

    Args:
        settings: Where Kafka and the registry are; the process's settings by default.
        heard: Told each prediction, in the event loop.
        most: Most predictions that are remembered.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        heard: Callable[[Record], None] = lambda record: None,
        most: int = MOST_PREDICTIONS,
    ) -> None:
        self._settings = settings or get_settings()
        self._heard = heard
        self._most = most
        self._matches: OrderedDict[str, MatchLog] = OrderedDict()
        self._count = 0
        self._everything: set[Client] = set()
        self._by_match: dict[str, set[Client]] = {}
        self._clients = 0
        self._stopping = threading.Event()
        self._caught_up = asyncio.Event()
        self._thread: threading.Thread | None = None

    @property
    def following(self) -> bool:
        """Whether the topic's past is known and its news come in."""
        return self._caught_up.is_set()

    async def start(self) -> None:
        """Follow the topic; gives back control when its past is known, or after 30 s."""
        loop = asyncio.get_running_loop()
        self._thread = threading.Thread(target=self._follow, args=(loop,), name="predictions", daemon=True)
        self._thread.start()
        try:
            async with asyncio.timeout(_CATCH_UP_SECONDS):
                await self._caught_up.wait()
        except TimeoutError:
            log.warning("board.slow_start", topic=TOPIC)

    async def stop(self) -> None:
        """Follow no longer."""
        self._stopping.set()
        if self._thread is not None:
            await asyncio.to_thread(self._thread.join, 5)

    def match(self, match_id: str) -> MatchLog | None:
        """What was told of a match."""
        return self._matches.get(match_id)

    def matches(self) -> Iterator[tuple[str, Record]]:
        """The newest prediction of each match."""
        for match_id, told in self._matches.items():
            if told.newest is not None:
                yield match_id, told.newest

    @property
    def full(self) -> bool:
        """Whether no more clients are taken."""
        return self._clients >= MOST_CLIENTS

    def join(self, client: Client, kind: str) -> None:
        """Let a client hear what comes."""
        self._clients += 1
        FEEDS.labels(kind).inc()
        self._of(client).add(client)

    def leave(self, client: Client, kind: str) -> None:
        """Let a client go."""
        self._clients -= 1
        FEEDS.labels(kind).dec()
        if client.too_slow:
            FEED_DROPPED.inc()
        clients = self._of(client)
        clients.discard(client)
        if not clients and client.match is not None:
            del self._by_match[client.match]

    def _of(self, client: Client) -> set[Client]:
        if client.match is None:
            return self._everything
        return self._by_match.setdefault(client.match, set())

    def _follow(self, loop: asyncio.AbstractEventLoop) -> None:
        while not self._stopping.is_set():
            try:
                self._read(loop)
            except RiftError as error:
                log.warning("board.away", error=str(error))
                loop.call_soon_threadsafe(self._caught_up.clear)
                self._stopping.wait(_PAUSE_SECONDS)

    def _read(self, loop: asyncio.AbstractEventLoop) -> None:
        with Subscriber(TOPIC, self._settings, skip_broken=True, start=_BACK) as subscriber:
            told = False
            while not self._stopping.is_set():
                found = subscriber.poll(0.1)
                batch = [(received.record, orjson.dumps(received.record)) for received in found]
                live = told
                if batch:
                    loop.call_soon_threadsafe(self._take, batch, live)
                if subscriber.at_end and not told:
                    told = True
                    loop.call_soon_threadsafe(self._caught_up.set)

    def _take(self, batch: list[tuple[Record, bytes]], live: bool) -> None:
        for record, json in batch:
            match_id = record["match_id"]
            if _on_live_path(record):
                self._remember(match_id, record, json)
                if live:
                    self._heard(record)
            if live and self._clients:
                # Answers about players name the match that they play, and are not about it.
                about = match_id if record["subject_type"] == MATCH else None
                for client in (*self._everything, *self._by_match.get(about or "", ())):
                    client.offer(record, json)

    def _remember(self, match_id: str, record: Record, json: bytes) -> None:
        told = self._matches.setdefault(match_id, MatchLog())
        self._matches.move_to_end(match_id)
        name = record["prediction_id"]
        self._count += name not in told.told
        told.told[name] = Told(record["game_time_ms"], record["source_offset"], name, json)
        newest = told.newest
        if newest is None or _place(record) >= _place(newest):
            told.newest = record
        while self._count > self._most and len(self._matches) > 1:
            _, forgotten = self._matches.popitem(last=False)
            self._count -= len(forgotten.told)


def _on_live_path(record: Record) -> bool:
    """Whether the prediction loop said it of a match; answers to requests and shadows are no history."""
    return (
        record["subject_type"] == MATCH
        and record["match_id"] is not None
        and record["request_id"] is None
        and not record["shadow"]
    )


def _place(record: Record) -> tuple[int, int]:
    return record["source_offset"], record["as_of"]
