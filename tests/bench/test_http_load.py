"""The load against a server that answers in pieces, and now and then with an error."""

from __future__ import annotations

import asyncio
import itertools

from bench.http_load import Heard, Load, run

ANSWERS = ((b"200 OK", b"x" * 3_000), (b"503 Busy", b"no"))


def test_every_answer_is_waited_for_whole_and_errors_are_counted() -> None:
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        for status, body in itertools.cycle(ANSWERS):
            try:
                head = await reader.readuntil(b"\r\n\r\n")
            except asyncio.IncompleteReadError:
                break
            asked.append(head + await reader.readexactly(len(b"one")))
            writer.write(b"HTTP/1.1 %b\r\nContent-Length: %d\r\n\r\n" % (status, len(body)))
            await writer.drain()
            await asyncio.sleep(0)
            writer.write(body)
            await writer.drain()
        writer.close()

    async def main() -> Heard:
        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with server:
            return await run(Load(port, ["/there"], ["one", "two"], {"x-mine": "1"}, 3, 0.3, warm_up=0.0))

    heard = asyncio.run(main())
    assert len(heard.latencies_ms) > 20 and min(heard.latencies_ms) > 0
    assert abs(heard.failed - len(heard.latencies_ms) / 2) <= 3
    assert {ask[-3:] for ask in asked} == {b"one", b"two"}
    assert asked[0].startswith(b"POST /there HTTP/1.1\r\n") and b"x-mine: 1\r\n" in asked[0]
