"""Live feeds: what a client gets, and what becomes of one that does not keep up."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from riftstream.settings import Settings
from serving import board as boards
from serving import feeds
from serving.board import Board, Client
from serving.problems import Refused


def told(match: str, offset: int, **more: Any) -> tuple[dict[str, Any], bytes]:
    record = {
        "prediction_id": f"{match}-{offset}",
        "match_id": match,
        "subject_type": "match",
        "request_id": None,
        "shadow": False,
        "game_time_ms": offset,
        "source_offset": offset,
        "as_of": offset,
        "age_published_ms": 20,
        **more,
    }
    return record, b'{"offset":%d}' % offset


def heard(client: Client) -> list[bytes]:
    return asyncio.run(client.take(0))


def test_a_client_gets_what_it_asked_for() -> None:
    everything, fresh, shadows = Client(), Client(max_age_ms=10), Client(shadow=True)
    for one in (told("A", 1), told("A", 2, shadow=True), told("A", 3, age_published_ms=5)):
        for client in (everything, fresh, shadows):
            client.offer(*one)
    assert heard(everything) == [b'{"offset":1}', b'{"offset":3}']
    assert heard(fresh) == [b'{"offset":3}']
    assert heard(shadows) == [b'{"offset":1}', b'{"offset":2}', b'{"offset":3}']


def test_what_is_unsent_is_bounded_and_who_is_behind_is_too_slow() -> None:
    client = Client()
    for offset in range(boards.MOST_UNSENT + 50):
        client.offer(*told("A", offset))
    assert client.too_slow
    assert len(heard(client)) == boards.MOST_UNSENT


def test_quiet_matches_are_forgotten_first() -> None:
    board = Board(Settings(), most=6)
    for match in ("A", "B", "A", "C"):
        board._take([told(match, offset) for offset in range(2)], live=False)
    board._take([told("A", 9)], live=False)
    board._take([told("D", offset) for offset in range(2)], live=False)
    assert board.match("B") is None
    kept = board.match("A")
    assert kept is not None and [one.offset for one in kept.history()] == [0, 1, 9]


def test_a_prediction_that_comes_twice_is_one() -> None:
    board = Board(Settings())
    board._take([told("A", 1), told("A", 1), told("A", 0)], live=False)
    log = board.match("A")
    assert log is not None and [one.clock_ms for one in log.history()] == [0, 1]
    assert log.newest is not None and log.newest["source_offset"] == 1


@pytest.mark.parametrize("feed", [feeds.Events, feeds.Socket])
def test_a_client_that_does_not_read_is_let_go(feed: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feeds, "SEND_SECONDS", 0.05)
    board = Board(Settings())
    sent: list[str] = []

    async def main() -> None:
        never = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if sent:
                await never.wait()
            return {"type": "websocket.connect"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message["type"])
            if message["type"] == "websocket.send" or b"offset" in message.get("body", b""):
                await never.wait()

        serving = asyncio.create_task(feed(board)({"query_string": b"match=A"}, receive, send))
        await asyncio.sleep(0.02)
        board._take([told("A", 1)], live=True)
        async with asyncio.timeout(5):
            await serving

    asyncio.run(main())
    assert not board.full and board._clients == 0 and not board._by_match
    assert sent[-1] in ("websocket.close", "http.response.body")


@pytest.mark.parametrize("query", [b"match=", b"shadow=1", b"max_age_ms=-1", b"team=SKT"])
def test_a_feed_of_nothing_is_refused(query: bytes) -> None:
    with pytest.raises(Refused):
        feeds.client_of(query)
