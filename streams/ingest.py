"""`POST /ingest/events`: match events by HTTP, as JSON or Avro, one or many.

Media types:

- ``application/json``: one event, or an array of events;
- ``application/x-ndjson``, ``application/jsonl``: one event a line;
- ``application/vnd.riftstream.avro``: one event in Confluent wire format;
- ``application/vnd.riftstream.avro-sequence``: many of them, each after its length (4 bytes, big-endian).

All or nothing: one bad event, and none is taken (422, a problem as RFC 9457 has it, naming each index and
field). With ``?partial=true`` the good ones are taken and the answer lists the others. 202 means that Kafka
has the events on all in-sync replicas. An event without ``event_id`` gets its deterministic one (and needs
``source`` and ``ordinal`` for it), so that sending again after a 503 changes nothing downstream.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import anyio
import anyio.to_thread
import orjson
from confluent_kafka import KafkaError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from riftstream.errors import DeliveryError, SchemaError, StackError
from streams.avro import Codec
from streams.rules import Fault, faults, identified

MAX_BODY = 1024 * 1024
MAX_EVENT = 65_536
"""Longest frame that the jobs decode (``max-bytes`` of their Avro format)."""
MAX_LISTED = 100
RETRY_AFTER_S = 2

_LENGTH = struct.Struct(">I")


class Refused(Exception):
    """The request as a whole cannot be taken.

    Args:
        status: HTTP status.
        slug: Kind of problem; ends its type URI.
        title: What is wrong, the same for every problem of this kind.
        detail: What is wrong here.
        more: Further members of the problem.
        headers: Further headers of the answer.
    """

    def __init__(
        self,
        status: int,
        slug: str,
        title: str,
        detail: str,
        more: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = headers or {}
        self.body = {
            "type": f"urn:riftstream:problem:{slug}",
            "title": title,
            "status": status,
            "detail": detail,
        }
        self.body |= more or {}

    def response(self) -> Response:
        """The problem as an answer (RFC 9457)."""
        content = orjson.dumps(self.body)
        return Response(content, self.status, self.headers, media_type="application/problem+json")


@dataclass(frozen=True)
class Item:
    """One event of a request as it was read: its fields, or what is wrong with it.

    Attributes:
        event: Fields by name.
        frame: The bytes it came as, where it came as Avro.
        faults: What is wrong with it.
    """

    event: dict[str, Any]
    frame: bytes | None = None
    faults: tuple[Fault, ...] = ()


class Sender(Protocol):
    """What is needed of a producer; ``streams.client.Producer`` is one."""

    @property
    def codec(self) -> Codec:
        """Encodes match events."""

    def send_bytes(
        self,
        value: bytes | None,
        key: bytes | None = None,
        headers: Sequence[tuple[str, bytes]] = (),
        *,
        on_delivery: Callable[[KafkaError | None], None] | None = None,
        patience: float | None = None,
    ) -> None:
        """Hand over one record, or raise DeliveryError where there is no room for it."""

    def poll(self, timeout: float) -> None:
        """Let deliveries be reported."""


class Ingest:
    """Takes requests for one producer.

    Args:
        producer: Sends to ``live-matches``.
        patience: Seconds that a request waits for Kafka before it is answered with 503.
        max_in_flight: Requests that may be worked on at once; more are answered with 503.
    """

    def __init__(self, producer: Sender, *, patience: float = 5.0, max_in_flight: int = 64) -> None:
        self._producer = producer
        self._codec = producer.codec
        self._patience = patience
        self._max_in_flight = max_in_flight
        self._in_flight = 0
        self._threads: anyio.CapacityLimiter | None = None

    async def endpoint(self, request: Request) -> Response:
        """Answer ``POST /ingest/events``."""
        try:
            read = _reader(request)
            partial = _flag(request, "partial")
            if self._in_flight >= self._max_in_flight:
                raise _busy("Too many requests are being worked on.", 0, 0)
            self._in_flight += 1
            try:
                body = await _body(request)
                # Encoding and waiting for Kafka would hold up the event loop.
                self._threads = self._threads or anyio.CapacityLimiter(self._max_in_flight)
                return await anyio.to_thread.run_sync(self._take, read, body, partial, limiter=self._threads)
            finally:
                self._in_flight -= 1
        except Refused as refused:
            return refused.response()
        except StackError as away:
            return _busy(away.message, 0, 0).response()

    def _take(self, read: Reader, body: bytes, partial: bool) -> Response:
        items = [self._checked(item) for item in read(body, self._codec)]
        good = [item for item in items if not item.faults]
        errors = _errors(items)
        if errors and not (partial and good):
            raise _invalid(items, errors)
        delivered = self._deliver(good)
        if delivered < len(good):
            detail = (
                f"Kafka confirmed {delivered} of {len(good)} events in time; the others may still arrive."
            )
            raise _busy(detail, len(items), delivered)
        answer: dict[str, Any] = {"received": len(items), "accepted": delivered}
        if partial:
            answer |= {"rejected": len(items) - len(good), "errors": errors[:MAX_LISTED]}
        return Response(orjson.dumps(answer), 202, media_type="application/json")

    def _checked(self, item: Item) -> Item:
        """The item with its frame, or with what is wrong with it."""
        if item.faults:
            return item
        event = item.event
        found = faults(event, self._codec.schema)
        if found:
            return Item(event, None, tuple(found))
        frame = item.frame
        if frame is None or not event.get("event_id"):
            event = identified(event)
            frame = self._codec.encode(event)
        if len(frame) > MAX_EVENT:
            detail = f"The event takes {len(frame)} bytes; {MAX_EVENT} are allowed."
            return Item(event, None, (Fault(None, "too_large", detail),))
        return Item(event, frame)

    def _deliver(self, items: list[Item]) -> int:
        """Send events and wait until Kafka has them; the number that it confirmed in time."""
        deadline = time.monotonic() + self._patience
        outcomes: list[KafkaError | None] = []
        sent = 0
        try:
            for item in items:
                wait = max(0.0, deadline - time.monotonic())
                key = str(item.event["match_id"]).encode()
                self._producer.send_bytes(item.frame, key, on_delivery=outcomes.append, patience=wait)
                sent += 1
        except DeliveryError:
            pass  # What could not be sent counts as not delivered.
        while len(outcomes) < sent and time.monotonic() < deadline:
            self._producer.poll(0.02)
        return sum(error is None for error in outcomes)


def routes(producer: Sender, *, patience: float = 5.0) -> list[Route]:
    """The route of this module, for an application that has others beside it.

    Args:
        producer: Sends to ``live-matches``.
        patience: Seconds that a request waits for Kafka before it is answered with 503.
    """
    return [Route("/ingest/events", Ingest(producer, patience=patience).endpoint, methods=["POST"])]


def app(producer: Sender) -> Starlette:
    """An ASGI application that takes ``POST /ingest/events`` and sends to ``producer``."""
    return Starlette(routes=routes(producer))


def _reader(request: Request) -> Reader:
    """How to read the body, from its media type."""
    media = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    coding = request.headers.get("content-encoding", "identity").lower()
    if media not in _READERS or coding != "identity":
        raise Refused(
            415,
            "media-type",
            "The media type is not supported.",
            f"{media or 'No media type'} ({coding}) was sent; one of {', '.join(_READERS)} is understood.",
            headers={"Accept-Post": ", ".join(_READERS)},
        )
    return _READERS[media]


def _flag(request: Request, name: str) -> bool:
    value = request.query_params.get(name, "false").lower()
    if value not in ("true", "false"):
        detail = f"{name} must be true or false, not {value[:20]!r}."
        raise Refused(400, "query", "A query parameter is wrong.", detail)
    return value == "true"


async def _body(request: Request) -> bytes:
    """The whole body, no more than is allowed of it."""
    detail = f"A request may hold {MAX_BODY} bytes; send the events in several."
    too_large = Refused(413, "too-large", "The request is too large.", detail)
    announced = request.headers.get("content-length", "0")
    if announced.isdigit() and int(announced) > MAX_BODY:
        raise too_large
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY:
            raise too_large
    if not body:
        raise _malformed("The body is empty.")
    return bytes(body)


def _read_json(body: bytes, codec: Codec) -> list[Item]:
    try:
        found = orjson.loads(body)
    except orjson.JSONDecodeError as cause:
        raise _malformed(f"The body is not JSON: {cause}.") from cause
    return [_item(value) for value in (found if isinstance(found, list) else [found])]


def _read_json_lines(body: bytes, codec: Codec) -> list[Item]:
    items = []
    for number, line in enumerate(body.split(b"\n"), start=1):
        if not line.strip():
            continue
        try:
            items.append(_item(orjson.loads(line)))
        except orjson.JSONDecodeError as cause:
            items.append(Item({}, None, (Fault(None, "malformed", f"Line {number} is not JSON: {cause}."),)))
    return items


def _read_avro(body: bytes, codec: Codec) -> list[Item]:
    try:
        return [Item(codec.decode(body), body)]
    except SchemaError as cause:
        return [Item({}, None, (Fault(None, "malformed", cause.message),))]


def _read_avro_sequence(body: bytes, codec: Codec) -> list[Item]:
    items: list[Item] = []
    at = 0
    while at < len(body):
        start = at + _LENGTH.size
        size = _LENGTH.unpack_from(body, at)[0] if start <= len(body) else 0
        at = start + size
        if at > len(body):
            raise _malformed(f"The body ends within record {len(items)} of the sequence.")
        items += _read_avro(body[start:at], codec)
    return items


Reader = Callable[[bytes, Codec], list[Item]]

_READERS: dict[str, Reader] = {
    "application/json": _read_json,
    "application/x-ndjson": _read_json_lines,
    "application/jsonl": _read_json_lines,
    "application/vnd.riftstream.avro": _read_avro,
    "application/vnd.riftstream.avro-sequence": _read_avro_sequence,
}


def _item(value: Any) -> Item:
    if isinstance(value, dict):
        return Item(value)
    return Item({}, None, (Fault(None, "not_an_object", "An event must be an object with fields."),))


def _errors(items: list[Item]) -> list[dict[str, Any]]:
    return [{"index": index, **asdict(fault)} for index, item in enumerate(items) for fault in item.faults]


def _invalid(items: list[Item], errors: list[dict[str, Any]]) -> Refused:
    bad = sum(bool(item.faults) for item in items)
    first = errors[0]
    detail = f"{bad} of {len(items)} events cannot be accepted, and none was. "
    detail += f"Event {first['index']}: {first['detail']}"
    more = {"received": len(items), "accepted": 0, "errors": errors[:MAX_LISTED], "errors_total": len(errors)}
    return Refused(422, "invalid-events", "Events cannot be accepted.", detail, more)


def _malformed(detail: str) -> Refused:
    return Refused(400, "malformed", "The body cannot be read.", detail)


def _busy(detail: str, received: int, accepted: int) -> Refused:
    """A 503: sending all again is right and harmless, as events are known by their ids."""
    more = {"received": received, "accepted": accepted}
    headers = {"Retry-After": str(RETRY_AFTER_S)}
    return Refused(503, "busy", "Kafka does not keep up; send all events again.", detail, more, headers)
