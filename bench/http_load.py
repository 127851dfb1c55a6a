"""A load of HTTP requests over kept connections, by a process of its own; quicker than what it measures.

``python -m bench.http_load LOAD HEARD`` reads a ``Load`` as JSON and writes what came of it into a file.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import uvloop


@dataclass(frozen=True)
class Load:
    """What is asked.

    Attributes:
        port: Port on loopback.
        paths: Paths, taken in turn.
        bodies: Bodies, taken in turn, of requests by POST; without any the requests are by GET.
        headers: Headers beside those of JSON.
        connections: Connections, each with one request under way.
        seconds: How long it is measured.
        warm_up: Seconds before that.
    """

    port: int
    paths: list[str]
    bodies: list[str]
    headers: dict[str, str]
    connections: int
    seconds: float
    warm_up: float = 2.0


@dataclass
class Heard:
    """What came of it.

    Attributes:
        latencies_ms: Milliseconds of each answer.
        failed: Answers that were not 200.
        seconds: How long it was measured.
    """

    latencies_ms: list[float]
    failed: int
    seconds: float


class _Connection(asyncio.Protocol):
    """One connection: a request, its whole answer, the next request."""

    def __init__(self, requests: list[bytes], first: int, heard: Heard, begins: float) -> None:
        self._requests = requests
        self._next = first
        self._heard = heard
        self._begins = begins
        self._buffer = bytearray()
        self._sent = 0.0
        # uvloop's transports are none of asyncio's.
        self._transport: Any = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._ask()

    def _ask(self) -> None:
        self._sent = time.perf_counter()
        self._transport.write(self._requests[self._next % len(self._requests)])
        self._next += 1

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if not self._whole():
            return
        now = time.perf_counter()
        if now >= self._begins:
            self._heard.latencies_ms.append((now - self._sent) * 1000)
            self._heard.failed += self._buffer[9:12] != b"200"
        self._buffer.clear()
        self._ask()

    def _whole(self) -> bool:
        """Whether the answer has come to its end, by its length or by its last chunk."""
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            return False
        head = bytes(self._buffer[:end]).lower()
        at = head.find(b"content-length:")
        if at < 0:
            return self._buffer.endswith(b"\r\n0\r\n\r\n")
        return len(self._buffer) >= end + 4 + int(head[at + 15 :].split(b"\r\n", 1)[0])


def _requests(load: Load) -> list[bytes]:
    method = "POST" if load.bodies else "GET"
    headers = {"host": f"127.0.0.1:{load.port}", "content-type": "application/json", **load.headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    bodies, paths = load.bodies or [""], load.paths
    return [
        f"{method} {paths[place % len(paths)]} HTTP/1.1\r\n{head}content-length: {len(body.encode())}\r\n\r\n"
        f"{body}".encode()
        for place in range(max(len(paths), len(bodies)))
        for body in [bodies[place % len(bodies)]]
    ]


async def run(load: Load) -> Heard:
    """Ask, and keep count."""
    loop = asyncio.get_running_loop()
    requests, heard = _requests(load), Heard([], 0, load.seconds)
    begins = time.perf_counter() + load.warm_up
    made = [
        await loop.create_connection(
            lambda place=place: _Connection(requests, place * 7, heard, begins),  # type: ignore[misc]
            "127.0.0.1",
            load.port,
        )
        for place in range(load.connections)
    ]
    await asyncio.sleep(load.warm_up + load.seconds)
    for transport, _ in made:
        transport.close()
    return heard


if __name__ == "__main__":
    asked, told = map(Path, sys.argv[1:])
    told.write_text(json.dumps(asdict(uvloop.run(run(Load(**json.loads(asked.read_text())))))))
