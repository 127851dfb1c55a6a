"""In front of every request: its id, the version of the API, limits, compression, and the metrics.

Raw ASGI, since every request goes through it. Routes that must be quick are answered here, by functions that
get the request's head and give a ``Reply``; all others go to the application behind.
"""

from __future__ import annotations

import asyncio
import gzip
import itertools
import os
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
import zstandard
from prometheus_client import Counter, Histogram
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving import problems
from serving.metrics import LATENCY, REQUESTS
from serving.problems import Refused

log = structlog.get_logger()

VERSION = "v1"
MEDIA_TYPE = "application/vnd.lol-predictions.v1+json"
JSON = "application/json"
PROBLEM = "application/problem+json"
MOST_BODY = 1024 * 1024
BODY_SECONDS = 10.0
MOST_IN_FLIGHT = 4_096
COMPRESSED_FROM = 2_048

_VENDOR = re.compile(r"application/vnd\.lol-predictions\.v(\d+)\+json")
_REQUEST_ID = re.compile(rb"[\x21-\x7e]{1,128}")
_NEVER_VERSIONED = ("/health/", "/metrics", "/openapi.json", "/ingest/")

Headers = Mapping[bytes, bytes]


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer.

    Attributes:
        status: HTTP status.
        body: Its body.
        media_type: What the body is.
        headers: Further headers.
    """

    status: int
    body: bytes
    media_type: str = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()


def reply_of(refused: Refused) -> Reply:
    """A problem as a whole answer."""
    headers = tuple((name.lower().encode(), value.encode()) for name, value in refused.headers.items())
    return Reply(refused.status, orjson.dumps(refused.body), PROBLEM, headers)


Hot = Callable[[Headers, Receive], Awaitable[Reply]]


class Front:
    """The outermost part of the API.

    Args:
        app: The application behind.
        hot: Quick routes by path without version: their method, and what answers.
        route_of: Gives the name of the route that a scope was answered by, for the metrics.
        most_in_flight: Most requests that are answered at once, clients of feeds among them; further ones are
            refused.
    """

    def __init__(
        self,
        app: ASGIApp,
        hot: Mapping[str, tuple[str, Hot]],
        route_of: Callable[[Scope], str],
        *,
        most_in_flight: int = MOST_IN_FLIGHT,
    ) -> None:
        self._app = app
        self._hot = hot
        self._route_of = route_of
        self._in_flight = 0
        self._most_in_flight = most_in_flight
        self._prefix = os.urandom(6).hex().encode()
        self._numbers = itertools.count(1)
        self._known: dict[tuple[str, str], tuple[Counter, Histogram]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, or pass a WebSocket or the application's life on."""
        if scope["type"] == "http":
            await self._http(scope, receive, send)
            return
        if scope["type"] == "websocket":
            scope = _unversioned(scope)
        await self._app(scope, receive, send)

    async def _http(self, scope: Scope, receive: Receive, send: Send) -> None:
        begun = time.perf_counter()
        headers: Headers = dict(scope["headers"])
        given = headers.get(b"x-request-id", b"")
        request_id = given if given and _REQUEST_ID.fullmatch(given) else self._new_id()
        answer = _Answer(send, headers, request_id)
        route = "other"
        self._in_flight += 1
        try:
            if self._in_flight > self._most_in_flight:
                raise problems.busy(f"{self._most_in_flight} requests are being answered already.")
            answer.vendor = _accepted(headers, scope["path"])
            scope = _unversioned(scope)
            hot = self._hot.get(scope["path"])
            if hot is not None:
                route, (method, reply) = scope["path"], hot
                if scope["method"] != method:
                    raise problems.not_allowed(scope["method"], [method])
                await answer.whole(await reply(headers, receive))
            else:
                await self._app(scope, receive, answer.send)
                route = self._route_of(scope)
        except Refused as refused:
            await answer.whole(reply_of(refused))
        except Exception:
            if answer.started:
                raise
            log.exception("request.failed", request_id=request_id.decode(), path=scope["path"][:200])
            detail = f"It is in the log under the request id {request_id.decode()}."
            body = {"type": "about:blank", "title": "The service has a defect.", "status": 500}
            await answer.whole(Reply(500, orjson.dumps(body | {"detail": detail}), PROBLEM))
        finally:
            self._in_flight -= 1
            count, latency = self._measures(route, answer.status)
            count.inc()
            latency.observe(time.perf_counter() - begun)

    def _new_id(self) -> bytes:
        """A request id that no other process and no other request has."""
        return b"%b-%x" % (self._prefix, next(self._numbers))

    def _measures(self, route: str, status: str) -> tuple[Counter, Histogram]:
        found = self._known.get((route, status))
        if found is None:
            found = REQUESTS.labels(route, status), LATENCY.labels(route)
            self._known[route, status] = found
        return found


class _Answer:
    """Sends one answer, with the headers that every answer has, compressed where that helps."""

    def __init__(self, send: Send, headers: Headers, request_id: bytes) -> None:
        self.status = "499"
        self.started = False
        self.vendor = False
        self._send = send
        self._coding = _coding(headers.get(b"accept-encoding", b""))
        self._request_id = request_id
        self._head: Message | None = None

    async def whole(self, reply: Reply) -> None:
        """Send a reply."""
        media_type = MEDIA_TYPE if self.vendor and reply.media_type == JSON else reply.media_type
        head = [(b"content-type", media_type.encode()), *reply.headers]
        await self._complete(reply.status, head, reply.body)

    async def send(self, message: Message) -> None:
        """Pass on what an application sends; a body that comes whole may be compressed."""
        if message["type"] == "http.response.start":
            self._head = message
            return
        head, self._head = self._head, None
        if head is None:
            await self._send(message)
        elif message.get("more_body"):
            headers = [*self._of_ours(head["headers"]), *self._common()]
            await self._start(head["status"], headers)
            await self._send(message)
        else:
            kept = [pair for pair in self._of_ours(head["headers"]) if pair[0] != b"content-length"]
            await self._complete(head["status"], kept, message.get("body", b""))

    def _of_ours(self, headers: Any) -> list[tuple[bytes, bytes]]:
        if not self.vendor:
            return list(headers)
        plain, own = JSON.encode(), MEDIA_TYPE.encode()
        return [
            (name, own if name == b"content-type" and value == plain else value) for name, value in headers
        ]

    def _common(self) -> list[tuple[bytes, bytes]]:
        return [(b"x-request-id", self._request_id), (b"vary", b"accept, accept-encoding")]

    async def _complete(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        if len(body) >= COMPRESSED_FROM and self._coding:
            body = _compressed(body, self._coding)
            headers.append((b"content-encoding", self._coding))
        headers += [(b"content-length", b"%d" % len(body)), *self._common()]
        await self._start(status, headers)
        await self._send({"type": "http.response.body", "body": body})

    async def _start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        self.status, self.started = str(status), True
        await self._send({"type": "http.response.start", "status": status, "headers": headers})


def _unversioned(scope: Scope) -> Scope:
    """The scope without the version that its path begins with."""
    path = scope["path"]
    if path.startswith("/v1/"):
        return {**scope, "path": path[3:], "raw_path": path[3:].encode()}
    return scope


def _accepted(headers: Headers, path: str) -> bool:
    """Whether the client asked for our own media type.

    Raises:
        Refused: It takes only versions that there are not.
    """
    accept = headers.get(b"accept")
    if accept is None or accept == b"*/*" or path.startswith(_NEVER_VERSIONED):
        return False
    text = accept.decode("latin-1").lower()
    versions = _VENDOR.findall(text)
    if "1" in versions:
        return True
    if versions and "*/*" not in text and JSON not in text:
        raise problems.not_acceptable(f"The API has version 1, not {', '.join(versions)[:50]}.")
    return False


def _coding(accepted: bytes) -> bytes:
    """The best coding that a client takes, or nothing."""
    if not accepted:
        return b""
    weights: dict[str, float] = {}
    for part in accepted.decode("latin-1").lower().split(","):
        name, _, parameter = part.partition(";")
        weight = parameter.strip().removeprefix("q=")
        try:
            weights[name.strip()] = float(weight) if weight else 1.0
        except ValueError:
            weights[name.strip()] = 0.0
    return next((coding.encode() for coding in ("zstd", "gzip") if weights.get(coding, 0) > 0), b"")


def _compressed(body: bytes, coding: bytes) -> bytes:
    if coding == b"zstd":
        return zstandard.ZstdCompressor(level=3).compress(body)
    return gzip.compress(body, compresslevel=5, mtime=0)


async def body_of(headers: Headers, receive: Receive, most: int = MOST_BODY) -> bytes:
    """The whole body of a JSON request.

    Raises:
        Refused: It is no JSON by its media type, too large, or comes too slowly.
    """
    found = headers.get(b"content-type", b"").decode("latin-1")
    media_type = found.partition(";")[0].strip().lower()
    if media_type not in (JSON, MEDIA_TYPE) or headers.get(b"content-encoding", b"identity") != b"identity":
        raise problems.media_type(f"{found} {headers.get(b'content-encoding', b'').decode('latin-1')}", JSON)
    announced = headers.get(b"content-length", b"0")
    if announced.isdigit() and int(announced) > most:
        raise problems.too_large(f"A body may hold {most} bytes.")
    try:
        async with asyncio.timeout(BODY_SECONDS):
            body = await _whole(receive, most)
    except TimeoutError:
        raise problems.malformed(f"The body did not come within {BODY_SECONDS:g} s.") from None
    if not body:
        raise problems.malformed("The body is empty.")
    return body


async def _whole(receive: Receive, most: int) -> bytes:
    parts = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise problems.malformed("The client went away.")
        parts += message.get("body", b"")
        if len(parts) > most:
            raise problems.too_large(f"A body may hold {most} bytes.")
        if not message.get("more_body"):
            return bytes(parts)
