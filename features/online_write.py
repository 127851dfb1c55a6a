"""From feature topics to Redis: every row is written, the newest event wins, nothing is lost.

``RedisWriter`` writes rows of a view: each entity at once and whole, by a script that compares the row's
place (event time, then the view's ``order``) with that of the row that is there. Records may come twice and
in any order; what is there at the end is the same.

``OnlineWriteLoop`` reads the topics of all views. Of a batch only the newest row of each entity is sent;
while Redis works on one batch the next is prepared; offsets are committed after Redis has answered. While
Redis is away the loop holds its place in the consumer group and reads no further.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import confluent_kafka as kafka
import redis
import structlog

from features import layout
from features.transcode import Row, Transcoder, bulk
from features.views import TIMESTAMP, VIEWS, View
from riftstream.errors import SchemaError, StackError
from riftstream.settings import Settings, get_settings
from streams.client import codec_for
from streams.group import GroupReader

log = structlog.get_logger()

GROUP = "online-store"
TIMEOUT_SECONDS = 5.0

# ARGV: time to live (ms), place, event time, and the values of the view's features in MessagePack. What is
# the same in all rows of a view, its fields above all, stands in the script: of each argument Lua makes a
# string, and that is most of what a write costs.
# A place is fixed-width digits, event time first, so that places compare as text. A row of Feast's own
# (materialize) has an event time and no place of ours for it: then a newer or equal event time wins.
_SCRIPT = """
local held = redis.call('HMGET', KEYS[1], TIME, PLACE)
if held[1] then
  local bytes = {string.byte(held[1], 1, -1)}
  local numbers, at = {[8] = 0, [16] = 0}, 1
  while bytes[at] do
    local tag, value, scale = bytes[at], 0, 1
    at = at + 1
    while bytes[at] > 127 do
      value = value + (bytes[at] - 128) * scale
      scale = scale * 128
      at = at + 1
    end
    numbers[tag] = value + bytes[at] * scale
    at = at + 1
  end
  local there = numbers[8] * 1000 + math.floor(numbers[16] / 1000000)
  local new = tonumber(string.sub(ARGV[2], 1, 15))
  if there > new then return 0 end
  if there == new and held[2] and held[2] > ARGV[2] then return 0 end
end
local v = cmsgpack.unpack(ARGV[4])
redis.call('HSET', unpack({KEYS[1], PLACE, ARGV[2], TIME, ARGV[3], FEATURES}))
if redis.call('PTTL', KEYS[1]) < tonumber(ARGV[1]) then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return 1
"""
_ARGUMENTS = 8
"""EVALSHA, its script, the number of keys, the key, and four arguments."""
_PASSING = (
    redis.exceptions.BusyLoadingError,
    redis.exceptions.ReadOnlyError,
    redis.exceptions.NoScriptError,
    redis.exceptions.OutOfMemoryError,
    redis.exceptions.MasterDownError,
)
_PASSING_WORDS = ("BUSY", "OOM", "MISCONF", "READONLY")


class RedisAway(Exception):
    """Redis does not answer, or can't take writes now."""


Place = tuple[int, ...]
"""Where a row stands among its entity's: event time (ms), the view's order, offset on the topic."""


@dataclass(frozen=True)
class Packed:
    """Rows as they are sent to Redis.

    Attributes:
        commands: One command a row, in RESP.
        rows: Their number.
        scripts: The scripts that they call.
    """

    commands: bytes
    rows: int
    scripts: frozenset[str]


@dataclass(frozen=True)
class _Prefix:
    """What all commands of one view have in common.

    Attributes:
        script: The script that writes a row.
        head: What stands before the key, in RESP.
        ttl: The time to live, in RESP.
        count: How an array of the view's values begins in MessagePack.
    """

    script: str
    head: bytes
    ttl: bytes
    count: bytes


class RedisWriter:
    """Writes rows of views to Redis, in Feast's layout.

    Rows are sent by a thread of its own: Redis reads a batch only as fast as it works through it, and the
    next batch can be prepared meanwhile.

    Args:
        settings: Where Redis is; the process's settings by default.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        url = (settings or get_settings()).redis_url.get_secret_value()
        self._client = redis.Redis.from_url(
            url, socket_timeout=TIMEOUT_SECONDS, socket_connect_timeout=TIMEOUT_SECONDS
        )
        self._connection: Any = None
        self._loaded: set[str] = set()
        self._thread = ThreadPoolExecutor(1, "online-store")
        self._answers: Future[int] | None = None
        self._prefixes: dict[str, _Prefix] = {}

    def pack(self, rows: Iterable[tuple[View, Place, Row]]) -> Packed:
        """Make the commands that write rows."""
        scripts: set[str] = set()
        commands = []
        for view, place, row in rows:
            prefix = self._prefix(view)
            scripts.add(prefix.script)
            commands.append(_command(prefix, place, row))
        return Packed(b"".join(commands), len(commands), frozenset(scripts))

    def send(self, packed: Packed) -> None:
        """Begin to write rows, after those that were sent before; ``settle`` gives what came of it.

        Raises:
            RedisAway, StackError: As ``settle``, about the rows that were sent before.
        """
        self.settle()
        self._answers = self._thread.submit(self._exchange, packed)

    def settle(self) -> int:
        """Wait until what was sent is written; gives the number of rows that were the newest.

        Raises:
            RedisAway: Redis does not answer, or takes no writes now; any number of the rows was written.
            StackError: Redis refuses a row for a reason that waiting does not cure.
        """
        if self._answers is None:
            return 0
        answers, self._answers = self._answers, None
        return answers.result()

    def close(self) -> None:
        """Close the connection."""
        self._thread.shutdown()
        self._drop()
        self._client.close()

    def _exchange(self, packed: Packed) -> int:
        """Send commands and add up their answers."""
        try:
            if self._connection is None:
                self._connection = self._client.connection_pool.get_connection()
            read = self._connection.read_response
            for script in packed.scripts - self._loaded:
                self._connection.send_command("SCRIPT", "LOAD", script)
                read()
                self._loaded.add(script)
            self._connection.send_packed_command([packed.commands], check_health=False)
            return sum(read() for _ in range(packed.rows))
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as cause:
            self._drop()
            raise RedisAway(str(cause)) from cause
        except redis.exceptions.ResponseError as cause:
            self._drop()
            if isinstance(cause, _PASSING) or any(word in str(cause) for word in _PASSING_WORDS):
                raise RedisAway(str(cause)) from cause
            raise StackError(f"Redis refuses a row: {cause}.", "See the log of Redis.") from cause

    def _drop(self) -> None:
        """Answers may still be on their way: the connection can't be used again."""
        self._loaded.clear()
        if self._connection is not None:
            self._connection.disconnect()
            self._client.connection_pool.release(self._connection)
            self._connection = None

    def _prefix(self, view: View) -> _Prefix:
        prefix = self._prefixes.get(view.name)
        if prefix is None:
            prefix = self._prefixes[view.name] = _prefix(view)
        return prefix


def _command(prefix: _Prefix, place: Place, row: Row) -> bytes:
    return b"".join(
        (
            prefix.head,
            bulk(row.key),
            prefix.ttl,
            bulk(encode_place(place)),
            bulk(layout.timestamp(row.time)),
            bulk(prefix.count + b"".join(row.values)),
        )
    )


def _prefix(view: View) -> _Prefix:
    script = _script(view)
    sha = hashlib.sha1(script.encode()).hexdigest().encode()  # noqa: S324 (Redis names scripts by it)
    return _Prefix(
        script,
        b"*%d\r\n" % _ARGUMENTS + b"".join(map(bulk, (b"EVALSHA", sha, b"1"))),
        bulk(b"%d" % int(view.ttl.total_seconds() * 1000)),
        # MessagePack specification, "array format family": array 16.
        b"\xdc" + len(view.features).to_bytes(2, "big"),
    )


def _script(view: View) -> str:
    """The script that writes a row of a view where it is not older than what is there."""
    fields = [layout.feature_field(view.name, field.name) for field in view.features]
    pairs = ", ".join(f"{_lua(field)}, v[{number}]" for number, field in enumerate(fields, start=1))
    names = {"TIME": layout.time_field, "PLACE": layout.place_field}
    text = _SCRIPT.replace("FEATURES", pairs)
    for word, field_of in names.items():
        text = text.replace(word, _lua(field_of(view.name)))
    return text


def _lua(text: bytes) -> str:
    """A string as Lua reads it."""
    return '"' + "".join(f"\\{byte:03d}" for byte in text) + '"'


def encode_place(place: Place) -> bytes:
    """A place as text that sorts like the place itself; numbers must not be negative."""
    return b" ".join((b"%015d" % place[0], *(b"%020d" % number for number in place[1:])))


@dataclass
class Written:
    """What a loop has done so far.

    Attributes:
        records: Records read from the topics.
        rows: Rows sent to Redis: the newest of each entity in each batch.
        newest: Rows that were newer than what Redis held.
        buried: Records that could not be read.
    """

    records: int = 0
    rows: int = 0
    newest: int = 0
    buried: int = 0


@dataclass
class _Flight:
    """A batch on its way to Redis."""

    messages: list[kafka.Message]
    packed: Packed
    sent: bool = False


class _Source:
    """How the records of one view's topic become rows."""

    def __init__(self, view: View, settings: Settings) -> None:
        codec = codec_for(view.topic, settings)
        self.view = view
        self.row = Transcoder(view, codec).row
        self.look = codec.projection((TIMESTAMP, *view.order, *view.keys))
        self.split = 1 + len(view.order)


class OnlineWriteLoop:
    """Keeps the online store up to date from the topics.

    Args:
        settings: Where Kafka, the registry and Redis are; the process's settings by default.
        views: Views to keep up to date.
        group: Name of the consumer group.
        batch: Most records that are taken at once.
        poll_seconds: How long to wait for the first record of a batch.
        commit_seconds: How often offsets are committed.
        watch: Shown every batch that was read, an empty one where nothing came.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        views: Sequence[View] = VIEWS,
        group: str = GROUP,
        batch: int = 2000,
        poll_seconds: float = 0.2,
        commit_seconds: float = 1.0,
        watch: Callable[[Sequence[kafka.Message]], None] = lambda messages: None,
    ) -> None:
        settings = settings or get_settings()
        self.written = Written()
        self._watch = watch
        self._batch = batch
        self._poll_seconds = poll_seconds
        self._stopping = False
        self._redis = RedisWriter(settings)
        self._sources: dict[str, list[_Source]] = {}
        for view in views:
            self._sources.setdefault(view.topic, []).append(_Source(view, settings))
        self._flight: _Flight | None = None
        self._landing = False
        self._reader = GroupReader(
            group,
            list(self._sources),
            settings,
            commit_seconds=commit_seconds,
            before_commit=self._land,
        )

    def run(self, until: Callable[[], bool] = lambda: False) -> None:
        """Work until ``stop`` is called or ``until`` says so.

        Raises:
            StackError: Kafka can't be read, or Redis refuses a row for good.
            DeliveryError: Kafka did not take a dead letter or the offsets.
        """
        self._reader.join()
        log.info("online_store.started", topics=list(self._sources))
        try:
            while not self._stopping and not until():
                self._step()
            self._reader.commit()
        finally:
            self._reader.close()
            self._redis.close()
            log.info("online_store.stopped", **vars(self.written))

    def stop(self) -> None:
        """Finish the batch at hand, commit, and leave. Safe in a signal handler."""
        self._stopping = True

    def _step(self) -> None:
        messages = self._reader.take(self._batch, 0 if self._flight else self._poll_seconds)
        packed = self._redis.pack(self._rows(messages)) if messages else None
        self._land()
        if packed is not None:
            self._flight = _Flight(messages, packed)
            self._send(self._flight)
        self._watch(messages)
        self._reader.commit_when_due()

    def _rows(self, messages: Sequence[kafka.Message]) -> list[tuple[View, Place, Row]]:
        """The newest row of each entity and view; what can't be read is buried."""
        broken: set[int] = set()
        while True:
            newest = self._newest(messages, broken)
            rows = []
            for number, (place, source) in newest.items():
                try:
                    rows.append((source.view, place, source.row(messages[number].value() or b"")))
                except SchemaError as cause:
                    self._bury(messages[number], cause)
                    broken.add(number)
            if broken.isdisjoint(newest):
                return rows

    def _newest(
        self, messages: Sequence[kafka.Message], broken: set[int]
    ) -> dict[int, tuple[Place, _Source]]:
        """Places of the rows to write by the number of their message; ``broken`` grows by what is buried."""
        found: dict[tuple[Any, ...], tuple[Place, int, _Source]] = {}
        for number, message in enumerate(messages):
            value = message.value()
            if number in broken or value is None:
                continue
            for source in self._sources[message.topic() or ""]:
                try:
                    seen = source.look(value)
                except SchemaError as cause:
                    self._bury(message, cause)
                    broken.add(number)
                    break
                place = (*seen[: source.split], message.offset() or 0)
                key = (source.view.name, *seen[source.split :])
                known = found.get(key)
                if known is None or known[0] <= place:
                    found[key] = (place, number, source)
        return {(number): (place, source) for place, number, source in found.values()}

    def _bury(self, message: kafka.Message, cause: SchemaError) -> None:
        self.written.buried += 1
        self._reader.bury(message, cause)

    def _send(self, flight: _Flight) -> None:
        self._redis.send(flight.packed)
        flight.sent = True

    def _land(self) -> None:
        """Wait until Redis has the batch in hand, however long that takes; then its records are done.

        Kafka may take partitions away while this waits, and ask for a commit: that one is of earlier batches.
        """
        if self._flight is None or self._landing:
            return
        self._landing = True
        try:
            if self._settle(self._flight):
                self._reader.done(self._flight.messages)
            self._flight = None
        finally:
            self._landing = False

    def _settle(self, flight: _Flight) -> bool:
        """Whether Redis has the batch; False when told to stop while it is away."""
        pause = 0.05
        while True:
            try:
                if not flight.sent:
                    self._send(flight)
                self.written.newest += self._redis.settle()
                self.written.records += len(flight.messages)
                self.written.rows += flight.packed.rows
                return True
            except RedisAway as away:
                flight.sent = False
                if self._stopping:
                    return False
                log.warning("online_store.redis_away", error=str(away), retry_in_s=pause)
                self._reader.hold(pause, lambda: self._stopping)
                pause = min(pause * 2, 2.0)
