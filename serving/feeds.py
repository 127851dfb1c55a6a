"""Live feeds of predictions: server-sent events, and WebSocket. A client may ask for one match only.

A client that does not read is let go: by its own bounded list of what is unsent, and by the time that one
message may take to be sent.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qsl

from starlette.types import Message, Receive, Scope, Send

from serving import problems
from serving.board import Board, Client
from serving.lists import flag, whole
from serving.problems import Refused
from serving.questions import LONGEST_ID

PARAMETERS = ("match", "shadow", "max_age_ms")
BEAT_SECONDS = 15.0
SEND_SECONDS = 10.0

_TRY_AGAIN_LATER, _POLICY = 1013, 1008
_FEED_HEADERS = [
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-cache"),
    (b"x-accel-buffering", b"no"),
]


def client_of(query_string: bytes) -> Client:
    """The client that a query describes.

    Raises:
        Refused: A parameter is unknown or has no use.
    """
    pairs = parse_qsl(query_string.decode("latin-1"), keep_blank_values=True)
    for name, _ in pairs:
        if name not in PARAMETERS:
            raise problems.wrong_query(name[:60], f"there are {', '.join(PARAMETERS)}.")
    query = dict(pairs)
    match = query.get("match")
    if match is not None and not 1 <= len(match) <= LONGEST_ID:
        raise problems.wrong_query("match", f"must have from 1 to {LONGEST_ID} characters.")
    return Client(match, flag(query, "shadow"), whole(query, "max_age_ms", None, 0, 2**53))


async def _until_gone(receive: Receive) -> None:
    """Wait until the client goes away; what it sends meanwhile has no meaning."""
    while (await receive())["type"] not in ("http.disconnect", "websocket.disconnect"):
        pass


async def _tell(client: Client, receive: Receive, send: Callable[[list[bytes]], Awaitable[None]]) -> None:
    """Send what a client wants until it goes away, or turns out to be too slow."""
    gone = asyncio.create_task(_until_gone(receive))
    try:
        while not gone.done() and not client.too_slow:
            taking = asyncio.create_task(client.take(BEAT_SECONDS))
            await asyncio.wait((taking, gone), return_when=asyncio.FIRST_COMPLETED)
            if gone.done():
                taking.cancel()
                return
            try:
                async with asyncio.timeout(SEND_SECONDS):
                    await send(await taking)
            except TimeoutError:
                client.too_slow = True
    finally:
        gone.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await gone


class Events:
    """``GET /predict/live``: server-sent events, each with a ``Prediction`` as JSON.

    Args:
        board: What tells the predictions.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        client = client_of(scope["query_string"])
        if self._board.full:
            raise problems.busy("There are too many clients of the live feeds.")
        self._board.join(client, "sse")
        try:
            await send({"type": "http.response.start", "status": 200, "headers": _FEED_HEADERS})
            await send(_part(b": predictions follow as they are made\n\n"))

            async def tell(found: list[bytes]) -> None:
                events = b"".join([b"event: prediction\ndata: %b\n\n" % json for json in found])
                await send(_part(events or b": still here\n\n"))

            await _tell(client, receive, tell)
            if client.too_slow:
                await send(_part(b"event: too-slow\ndata: {}\n\n"))
            await send({"type": "http.response.body", "body": b""})
        finally:
            self._board.leave(client, "sse")


def _part(body: bytes) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": True}


class Socket:
    """``/predict/live/ws``: a WebSocket that sends each ``Prediction`` as one JSON text.

    Args:
        board: What tells the predictions.
    """

    def __init__(self, board: Board) -> None:
        self._board = board

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one connection."""
        await receive()
        try:
            client = client_of(scope["query_string"])
        except Refused as refused:
            await send({"type": "websocket.accept"})
            reason = str(refused.body["detail"])[:120]
            await send({"type": "websocket.close", "code": _POLICY, "reason": reason})
            return
        await send({"type": "websocket.accept"})
        if self._board.full:
            await send({"type": "websocket.close", "code": _TRY_AGAIN_LATER, "reason": "too many clients"})
            return
        self._board.join(client, "websocket")
        try:

            async def tell(found: list[bytes]) -> None:
                for json in found:
                    await send({"type": "websocket.send", "text": json.decode()})

            await _tell(client, receive, tell)
            if client.too_slow:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(SEND_SECONDS):
                        too_slow = {"code": _TRY_AGAIN_LATER, "reason": "too slow"}
                        await send({"type": "websocket.close", **too_slow})
        finally:
            self._board.leave(client, "websocket")
