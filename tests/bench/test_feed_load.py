"""The clients of a feed, against a server whose frames come in pieces."""

from __future__ import annotations

import asyncio
import time

import pytest

from bench.feed_load import Listen, run


def frame(as_of: int, filler: int) -> bytes:
    """A text frame, by the length of its head of each of the three kinds."""
    text = b'{"as_of":%d,"filler":"%b"}' % (as_of, b"x" * filler)
    size = len(text)
    head = (
        bytes([size])
        if size < 126
        else b"\x7e" + size.to_bytes(2)
        if size < 65536
        else b"\x7f" + size.to_bytes(8)
    )
    return b"\x81" + head + text


def listen(status: bytes) -> list[int]:
    sent = round(time.time() * 1000) - 5_000
    frames = frame(sent, 0) + b"\x89\x01p" + frame(sent, 500) + frame(sent, 70_000)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        asked = await reader.readuntil(b"\r\n\r\n")
        assert b"upgrade: websocket" in asked and asked.startswith(b"GET /feed ")
        writer.write(b"HTTP/1.1 " + status + b"\r\n\r\n")
        for place in range(0, len(frames), 10_007):
            writer.write(frames[place : place + 10_007])
            await writer.drain()
            await asyncio.sleep(0)
        await reader.read()
        writer.close()

    async def main() -> list[int]:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await run(Listen(port, "/feed", 7, 3, 10.0))

    return asyncio.run(main())


def test_every_text_of_every_client_is_timed_and_other_frames_are_not() -> None:
    heard = listen(b"101 Switching Protocols")
    assert len(heard) == 7 * 3
    assert min(heard) >= 5_000


def test_a_server_that_opens_no_websocket_is_an_error() -> None:
    with pytest.raises(OSError, match="/feed opens no WebSocket"):
        listen(b"403 Forbidden")
