"""Many clients of a WebSocket feed, by a process of its own: when each text came.

``python -m bench.feed_load LISTEN HEARD`` reads a ``Listen`` as JSON, prints ``ready`` when all clients are
connected, and writes milliseconds from each prediction's ``as_of`` to its arrival into a file.

The frames of a server are not masked, so a client has little to do: what is measured is the server.
"""

from __future__ import annotations

import asyncio
import base64
import json
import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import uvloop

_TEXT = 0x81
_AS_OF = b'"as_of":'


@dataclass(frozen=True)
class Listen:
    """What is listened to.

    Attributes:
        port: Port on loopback.
        path: Path of the feed.
        clients: How many clients.
        texts: Texts that each client is to hear.
        patience: Seconds after which what was not heard is given up.
    """

    port: int
    path: str
    clients: int
    texts: int
    patience: float


class _Client(asyncio.Protocol):
    """One client."""

    def __init__(self, heard: list[int]) -> None:
        self._heard = heard
        self._buffer = bytearray()
        self.opened = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        now = time.time()
        self._buffer += data
        if not self.opened.done():
            end = self._buffer.find(b"\r\n\r\n")
            if end < 0:
                return
            self.opened.set_result(self._buffer[9:12] == b"101")
            del self._buffer[: end + 4]
        while (size := self._frame()) is not None:
            text = self._buffer[:size]
            del self._buffer[:size]
            if text[0] == _TEXT:
                start = text.index(_AS_OF) + len(_AS_OF)
                self._heard.append(round(now * 1000) - int(text[start : text.index(b",", start)]))

    def _frame(self) -> int | None:
        """Length of the first frame with its head (RFC 6455); None while it is not whole."""
        held = self._buffer
        if len(held) < 2:
            return None
        length, head = held[1], 2
        if length >= 126:
            head += 2 if length == 126 else 8
            if len(held) < head:
                return None
            length = int.from_bytes(held[2:head])
        return head + length if len(held) >= head + length else None


async def run(listen: Listen) -> list[int]:
    """Connect, say so, and listen.

    Raises:
        OSError: The server does not take the clients.
    """
    loop = asyncio.get_running_loop()
    heard: list[int] = []
    transports = []
    for _ in range(listen.clients):
        transport, client = await loop.create_connection(lambda: _Client(heard), "127.0.0.1", listen.port)
        key = base64.b64encode(os.urandom(16)).decode()
        transport.write(
            f"GET {listen.path} HTTP/1.1\r\nhost: 127.0.0.1:{listen.port}\r\nupgrade: websocket\r\n"
            f"connection: Upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: {key}\r\n\r\n".encode()
        )
        if not await client.opened:
            raise OSError(f"{listen.path} opens no WebSocket.")
        transports.append(transport)
    print("ready", flush=True)
    until = time.monotonic() + listen.patience
    while len(heard) < listen.clients * listen.texts and time.monotonic() < until:
        await asyncio.sleep(0.05)
    for transport in transports:
        transport.abort()
    return heard


if __name__ == "__main__":
    asked, told = map(Path, sys.argv[1:])
    told.write_text(json.dumps(uvloop.run(run(Listen(**json.loads(asked.read_text()))))))
