"""Reading feature vectors from the online store: one round trip, whatever is there, with its age.

``get("win_probability_v1", ["LCK/1"])`` gives the vectors of a feature service for 1 to 1,000 entities. What
is missing is missing (NaN, null), what is older than its view's time to live is marked as stale, and every
row comes with its age: nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import IntEnum
from functools import cached_property, lru_cache
from typing import Any

import numpy as np
import pyarrow as pa
import redis

from features import layout
from features.transcode import bulk
from features.views import Service, View, find_service
from riftstream.errors import FeatureError, StackError
from riftstream.settings import Settings, get_settings
from streams.clock import now_ms
from streams.schemas import Field

MOST_ENTITIES = 1000
"""Most entities that are read at once."""

_TIMEOUT_SECONDS = 2.0
_MAX_VALUES = 65_536
_MISSING = -1

_ARROW = {
    "string": pa.string(),
    "int": pa.int32(),
    "long": pa.int64(),
    "double": pa.float64(),
    "boolean": pa.bool_(),
    "bytes": pa.binary(),
    "array<string>": pa.list_(pa.string()),
    "array<double>": pa.list_(pa.float64()),
}
_NUMBERS = ("int", "long", "double", "boolean")

Raw = list[bytes | None]


class State(IntEnum):
    """What there is of a view for an entity."""

    PRESENT = 0
    STALE = 1
    MISSING = 2


class _Values(dict[bytes | None, Any]):
    """Python values by their encoding; most values occur again and again."""

    def __missing__(self, raw: bytes | None) -> Any:
        value = None if raw is None else layout.value_of(raw)
        return self._keep(raw, value)

    def _keep(self, raw: bytes | None, value: Any) -> Any:
        if len(self) >= _MAX_VALUES:
            self.clear()
        self[raw] = value
        return value


class _Numbers(_Values):
    """The same as numbers, NaN for null."""

    def __missing__(self, raw: bytes | None) -> Any:
        value = None if raw is None else layout.value_of(raw)
        return self._keep(raw, np.nan if value is None else float(value))


_values = _Values()
_numbers = _Numbers()


@dataclass(frozen=True)
class Vectors:
    """Feature vectors of some entities; row i is that of entity i.

    Attributes:
        service: The service that was read.
        entities: Values of each join key, one an entity.
        age_ms: Time since the event that each view's row holds, ms; -1 where it is missing. Shape [n, views],
            in the order of ``service.views``.
        state: ``State`` of each view, shape [n, views].
        event_time: Time of the event that each view's row holds, ms since the Unix epoch; -1 where it is
            missing. Shape [n, views].
    """

    service: Service
    entities: dict[str, list[str]]
    age_ms: np.ndarray
    state: np.ndarray
    event_time: np.ndarray
    _raw: list[Raw]

    @cached_property
    def matrix(self) -> np.ndarray:
        """Values as float32, shape [n, features], in the service's order; NaN for null and missing.

        Raises:
            FeatureError: A feature is no number.
        """
        for view, field in self.service.parts:
            if field.type not in _NUMBERS or field.logical:
                raise FeatureError(
                    f"{view.name}:{field.name} is no number.", "Read the vectors as an Arrow table instead."
                )
        numbers = _numbers
        rows = [[numbers[raw] for raw in row] for row in self._raw]
        return np.asarray(rows, dtype=np.float32)

    def numbers_of(self, features: Sequence[str]) -> np.ndarray:
        """Some features (``view:feature``) as float32, shape [n, those], in the order given; NaN for null.

        Raises:
            ValueError: The service has no such feature.
        """
        numbers = _numbers
        places = [self.service.features.index(feature) for feature in features]
        rows = [[numbers[row[place]] for place in places] for row in self._raw]
        return np.asarray(rows, dtype=np.float32).reshape(len(self._raw), len(places))

    def values_of(self, features: Sequence[str]) -> list[tuple[Any, ...]]:
        """Some features (``view:feature``) as Python values, one tuple an entity; None for null and missing.

        Raises:
            ValueError: The service has no such feature.
        """
        values = _values
        places = [self.service.features.index(feature) for feature in features]
        return [tuple([values[row[place]] for place in places]) for row in self._raw]

    @cached_property
    def rows(self) -> list[dict[str, Any]]:
        """Values by feature name, one dictionary an entity; None for null and missing."""
        values, names = _values, self.service.names
        return [dict(zip(names, [values[raw] for raw in row], strict=True)) for row in self._raw]

    @cached_property
    def table(self) -> pa.Table:
        """Keys, features, and for each view ``VIEW__age_ms`` and ``VIEW__state``, as an Arrow table."""
        values = _values
        columns: dict[str, pa.Array] = {key: pa.array(given) for key, given in self.entities.items()}
        for (_, field), name, raw in zip(
            self.service.parts, self.service.names, zip(*self._raw, strict=True), strict=True
        ):
            columns[name] = _column(field, [values[one] for one in raw])
        for place, view in enumerate(self.service.views):
            columns[f"{view.name}__age_ms"] = pa.array(self.age_ms[:, place])
            columns[f"{view.name}__state"] = pa.array([State(state).name for state in self.state[:, place]])
        return pa.table(columns)


def _column(field: Field, values: list[Any]) -> pa.Array:
    if field.logical:
        return pa.array(values, pa.timestamp("s", "UTC"))
    return pa.array(values, _ARROW[field.type])


class _Hash:
    """What is read of one kind of entity: its hash's fields, and where they belong in a vector."""

    def __init__(self, keys: tuple[str, ...], service: Service) -> None:
        self.keys = keys
        self.make_key = layout.KeyMaker(keys).key
        parts = [
            (place, view, field) for place, (view, field) in enumerate(service.parts) if view.keys == keys
        ]
        self.places = [place for place, _, _ in parts]
        self.views = [(n, view) for n, view in enumerate(service.views) if view.keys == keys]
        fields = [layout.feature_field(view.name, field.name) for _, view, field in parts]
        fields += [layout.time_field(view.name) for _, view in self.views]
        self.head = b"*%d\r\n" % (2 + len(fields)) + bulk(b"HMGET")
        self.tail = b"".join(map(bulk, fields))

    def request(self, entities: Mapping[str, Sequence[str]]) -> bytes:
        """Commands that read the hashes of all entities."""
        head, tail, make_key = self.head, self.tail, self.make_key
        columns = [[value.encode() for value in entities[key]] for key in self.keys]
        return b"".join([head + bulk(make_key(*key)) + tail for key in zip(*columns, strict=True)])


class OnlineReader:
    """Reads feature services from Redis; plans are made once a service.

    Safe to use from several threads.

    Args:
        settings: Where Redis is; the process's settings by default.
        timeout_seconds: How long Redis may take to answer or to be connected.
    """

    def __init__(
        self, settings: Settings | None = None, *, timeout_seconds: float = _TIMEOUT_SECONDS
    ) -> None:
        url = (settings or get_settings()).redis_url.get_secret_value()
        self._client = redis.Redis.from_url(
            url, socket_timeout=timeout_seconds, socket_connect_timeout=timeout_seconds
        )
        self._plans: dict[str | Service, tuple[Service, list[_Hash]]] = {}

    def get(self, service: str | Service, entities: Sequence[str] | Mapping[str, Sequence[str]]) -> Vectors:
        """Vectors of a feature service (or of a whole view, by its name).

        Args:
            service: Name of the service, or a service that is declared nowhere.
            entities: Values of its join key, or of each join key by its name where it has several.

        Raises:
            FeatureError: The service is unknown, the keys are not its keys, or there are none or too many.
            StackError: Redis does not answer.
        """
        plan, hashes = self._plan(service)
        given = given_entities(plan, entities)
        number = len(next(iter(given.values())))
        answers = self._ask(b"".join([one.request(given) for one in hashes]), number * len(hashes))
        return arranged(plan, hashes, given, answers, number, now_ms())

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _plan(self, wanted: str | Service) -> tuple[Service, list[_Hash]]:
        if wanted not in self._plans:
            service = find_service(wanted) if isinstance(wanted, str) else wanted
            kinds = dict.fromkeys(view.keys for view in service.views)
            self._plans[wanted] = service, [_Hash(keys, service) for keys in kinds]
        return self._plans[wanted]

    def _ask(self, request: bytes, answers: int) -> list[Raw]:
        """Send commands and read that many answers; a connection that died meanwhile is made anew once."""
        pool = self._client.connection_pool
        try:
            connection = pool.get_connection()
            try:
                try:
                    return _exchange(connection, request, answers)
                except redis.exceptions.ConnectionError:
                    return _exchange(connection, request, answers)
            except BaseException:
                # Answers may still be on their way.
                connection.disconnect()
                raise
            finally:
                pool.release(connection)
        except (redis.exceptions.ConnectionError, redis.exceptions.TimeoutError) as cause:
            raise StackError(
                f"The online store (Redis) does not answer: {cause}.",
                "Start it with 'rift up', or set RIFT_REDIS_URL.",
            ) from cause
        except redis.exceptions.ResponseError as cause:
            raise StackError(f"The online store (Redis) refuses a read: {cause}.") from cause


def _exchange(connection: Any, request: bytes, answers: int) -> list[Raw]:
    connection.send_packed_command([request], check_health=False)
    read = connection.read_response
    return [read(disable_decoding=True) for _ in range(answers)]


def given_entities(
    service: Service, given: Sequence[str] | Mapping[str, Sequence[str]]
) -> dict[str, list[str]]:
    """Values of each join key of a service's entities.

    Raises:
        FeatureError: They do not fit the service.
    """
    if not isinstance(given, Mapping):
        if len(service.keys) > 1:
            raise FeatureError(
                f"{service.name} needs {' and '.join(service.keys)}.",
                "Give the values of each key by its name.",
            )
        given = {service.keys[0]: given}
    if set(given) != set(service.keys):
        raise FeatureError(f"{service.name} needs {', '.join(service.keys)}, not {', '.join(given)}.")
    columns = {key: list(given[key]) for key in service.keys}
    sizes = {len(values) for values in columns.values()}
    if len(sizes) != 1:
        raise FeatureError("The keys have different numbers of values.")
    if not 1 <= sizes.pop() <= MOST_ENTITIES:
        raise FeatureError(f"From 1 to {MOST_ENTITIES:,} entities can be read at once.")
    return columns


def arranged(
    service: Service,
    hashes: list[_Hash],
    given: dict[str, list[str]],
    answers: list[Raw],
    number: int,
    at_ms: int,
) -> Vectors:
    """Put answers, hash by hash and entity by entity, into vectors, with their ages at a moment (ms)."""
    times = np.empty((number, len(service.views)), dtype=np.int64)
    for start, one in zip(range(0, len(answers), number), hashes, strict=True):
        for row, answer in enumerate(answers[start : start + number]):
            for place, (column, _) in enumerate(one.views, start=len(one.places)):
                held = answer[place]
                times[row, column] = _MISSING if held is None else layout.milliseconds(held)
    missing = times == _MISSING
    ages = np.where(missing, _MISSING, np.maximum(0, at_ms - times))
    limits = np.array([_ttl_ms(view) for view in service.views])
    states = np.where(ages > limits, State.STALE, State.PRESENT)
    states = np.where(missing, State.MISSING, states).astype(np.uint8)
    return Vectors(service, given, ages, states, times, _in_order(service, hashes, answers, number))


def _in_order(service: Service, hashes: list[_Hash], answers: list[Raw], number: int) -> list[Raw]:
    """The values of each vector in the service's order."""
    if len(hashes) == 1:
        size = len(hashes[0].places)
        return [answer[:size] for answer in answers]
    rows: list[Raw] = [[None] * len(service.parts) for _ in range(number)]
    for start, one in zip(range(0, len(answers), number), hashes, strict=True):
        for row, answer in zip(rows, answers[start : start + number], strict=True):
            for place, value in zip(one.places, answer, strict=False):
                row[place] = value
    return rows


def _ttl_ms(view: View) -> int:
    return int(view.ttl.total_seconds() * 1000)


@lru_cache(maxsize=4)
def _reader(redis_url: str) -> OnlineReader:
    return OnlineReader(get_settings())


def get(service: str, entities: Sequence[str] | Mapping[str, Sequence[str]]) -> Vectors:
    """Vectors from the online store of this process's settings; see ``OnlineReader.get``.

    Example:
        >>> vectors = get("win_probability_v1", ["LCK/1", "LCK/2"])          # doctest: +SKIP
        >>> vectors.matrix.shape                                             # doctest: +SKIP
        (2, 44)
    """
    return _reader(get_settings().redis_url.get_secret_value()).get(service, entities)
