"""Recorded answers of a live feed, read from a file as if they had been polled."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import orjson

from riftstream.errors import SourceError
from streams.sources.account import Account
from streams.sources.json_lines import read_bytes
from streams.sources.live_client import LiveClient
from streams.sources.lolesports import LolEsports

if TYPE_CHECKING:
    from streams.sources import Options

Event = dict[str, Any]


class Feed(Protocol):
    """A live feed: remembers what it has read, and gives what is new."""

    account: Account
    finished: bool

    def read(self, answer: Any, received_ms: int | None = None) -> list[Event]:
        """Events that this answer adds to those before."""


def feed(name: str, match_id: str | None = None, league: str | None = None) -> Feed:
    """The reader of a live feed.

    Raises:
        SourceError: There is no such feed.
    """
    if name == "live-client":
        return LiveClient(match_id, league)
    if name == "lolesports":
        return LolEsports(match_id, league)
    raise SourceError(f"There is no live feed {name}.", "Feeds: live-client, lolesports.")


def documents(path: Path) -> list[Any]:
    """The JSON documents of a file: one, or one a line, plain or gzipped.

    Raises:
        SourceError: The file cannot be read, is empty, or is not JSON.
    """
    content = read_bytes(path)
    try:
        return [orjson.loads(content)]
    except orjson.JSONDecodeError:
        pass
    found = []
    for number, line in enumerate(content.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            found.append(orjson.loads(line))
        except orjson.JSONDecodeError as cause:
            raise SourceError(f"{path}, line {number}, is not JSON: {cause}.") from cause
    if not found:
        raise SourceError(f"{path} is empty.", "It needs one answer of the feed, or one a line.")
    return found


class Recorded:
    """One match of a live feed from a file that holds its answers, in the order in which they came.

    Args:
        name: ``live-client`` or ``lolesports``.
        path: The file.
        options: Match id, league, and start of the match where the feed has none.

    Raises:
        SourceError: The file cannot be read, or holds something else.
    """

    def __init__(self, name: str, path: Path, options: Options) -> None:
        self._feed = feed(name, options.match_id, options.league)
        self.account = self._feed.account
        self._matches: dict[str, list[Event]] = {}
        for document in documents(path):
            for event in self._feed.read(document, self._received(document, options.start_ms)):
                self._matches.setdefault(event["match_id"], []).append(event)
        self.account.matches = 0
        self.account.kinds.clear()
        if options.limit is not None and options.limit < len(self._matches):
            raise SourceError(
                f"{path} holds {len(self._matches)} matches.", "A recorded feed is imported whole."
            )

    def __len__(self) -> int:
        """Matches that ``matches`` will give."""
        return len(self._matches)

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match, in the order in which they were told."""
        for events in self._matches.values():
            self.account.hand_out(events)
            yield events

    @staticmethod
    def _received(document: Any, start_ms: int | None) -> int | None:
        """When an answer was received, from the start of the match and the answer's own clock."""
        if start_ms is None:
            return None
        try:
            return start_ms + round(float(document["gameData"]["gameTime"]) * 1000)
        except (KeyError, TypeError, ValueError, OverflowError):
            return None
