"""What stands in front of every request, with an application behind it that the test holds in its hand."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from serving import front, problems
from serving.front import Front, Headers, Reply, body_of

PATH = "/predict/single"


def scope(path: str = f"/v1{PATH}", method: str = "POST", **headers: str) -> dict[str, Any]:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    pairs = [
        (name.encode(), value.encode()) for name, value in ({"content-type": front.JSON} | named).items()
    ]
    return {"type": "http", "method": method, "path": path, "headers": pairs}


async def inner(scope: Any, receive: Any, send: Any) -> None:
    raise problems.not_found(scope["path"])


class Sent:
    """Keeps what is sent."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[bytes, bytes] = {}
        self.body = b""

    async def __call__(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.headers = message["status"], dict(message["headers"])
        else:
            self.body += message["body"]

    @property
    def kind(self) -> str:
        return str(json.loads(self.body)["type"]).rpartition(":")[2]


async def parts(*bodies: bytes) -> Any:
    rest = list(bodies)

    async def receive() -> dict[str, Any]:
        if not rest:
            await asyncio.Event().wait()
        body = rest.pop(0)
        return {"type": "http.request", "body": body, "more_body": bool(rest) or body == b"slow"}

    return receive


def answered(hot: Any, given: dict[str, Any], *bodies: bytes, **limits: Any) -> Sent:
    async def main() -> Sent:
        sent = Sent()
        whole = Front(inner, {PATH: ("POST", hot)}, lambda scope: "other", **limits)
        await whole(given, await parts(*bodies), sent)
        return sent

    return asyncio.run(main())


async def echo(headers: Headers, receive: Any) -> Reply:
    return Reply(200, await body_of(headers, receive, 100))


def test_a_body_in_parts_is_put_together() -> None:
    sent = answered(echo, scope(), b"{}", b" " * 10)
    assert (sent.status, sent.body) == (200, b"{}" + b" " * 10)


@pytest.mark.parametrize(
    ("given", "bodies", "kind"),
    [
        (scope(), (b"x" * 60, b"x" * 60), "too-large"),
        (scope(content_length="101"), (b"",), "too-large"),
        (scope(content_type="text/plain"), (b"{}",), "media-type"),
        (scope(content_encoding="gzip"), (b"{}",), "media-type"),
        (scope(), (b"",), "malformed"),
        (scope(method="GET"), (b"{}",), "method"),
        (scope(accept="application/vnd.lol-predictions.v3+json"), (b"{}",), "not-acceptable"),
        (scope("/v9/predict/single"), (b"{}",), "not-found"),
    ],
)
def test_what_cannot_be_taken_is_a_problem(given: Any, bodies: tuple[bytes, ...], kind: str) -> None:
    sent = answered(echo, given, *bodies)
    assert sent.kind == kind
    assert sent.headers[b"content-type"] == b"application/problem+json"


def test_a_body_that_comes_too_slowly_holds_up_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(front, "BODY_SECONDS", 0.05)
    assert answered(echo, scope(), b"slow").kind == "malformed"


def test_too_many_requests_at_once_are_sent_away() -> None:
    sent = answered(echo, scope(), b"{}", most_in_flight=0)
    assert (sent.status, sent.kind) == (503, "busy")
    assert sent.headers[b"retry-after"] == b"1"


def test_a_defect_is_told_without_its_inside() -> None:
    async def broken(headers: Headers, receive: Any) -> Reply:
        raise RuntimeError("redis://user:secret@host")

    sent = answered(broken, scope(x_request_id="mine"), b"{}")
    assert sent.status == 500 and b"secret" not in sent.body
    assert b"mine" in sent.body and sent.headers[b"x-request-id"] == b"mine"


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", b"gzip"),
        ("gzip, zstd", b"zstd"),
        ("zstd;q=0, gzip;q=0.5", b"gzip"),
        ("br", None),
        ("gzip;q=never", None),
    ],
)
def test_the_coding_is_the_best_that_the_client_takes(accepted: str, coding: bytes | None) -> None:
    async def large(headers: Headers, receive: Any) -> Reply:
        return Reply(200, b"x" * 5_000)

    sent = answered(large, scope(accept_encoding=accepted), b"{}")
    assert sent.headers.get(b"content-encoding") == coding
    assert int(sent.headers[b"content-length"]) == len(sent.body)
