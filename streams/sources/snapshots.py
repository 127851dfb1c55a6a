"""What a poller read, kept as it was told: records of ``feed-snapshots``, by provenance and hash."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import urlsplit

import orjson

MAX_BODY = 2_000_000
"""Longest answer (bytes) that a record holds; of longer ones length and hash are kept."""


class Snapshots:
    """Makes a record of each answer of one feed; one that says what the one before said makes none.

    Args:
        feed: Name of the feed.
        url: Address that is asked; what may be secret in it (user, password, query) is left out.
        send: Takes each record.
    """

    def __init__(self, feed: str, url: str, send: Callable[[dict[str, Any]], None]) -> None:
        self._feed = feed
        self._url = _public(url)
        self._send = send
        self._match: str | None = None
        self._last = ""

    def keep(
        self,
        body: bytes,
        received_ms: int,
        parameters: Mapping[str, str],
        events: list[dict[str, Any]],
        refused: str | None,
    ) -> None:
        """Keep one answer.

        Args:
            body: The answer, unpacked.
            received_ms: When it was there (ms since the Unix epoch).
            parameters: What the poller asked with.
            events: Events that were made of it.
            refused: Why nothing could be made of it.
        """
        digest = hashlib.sha256(body).hexdigest()
        if events:
            self._match = events[-1]["match_id"]
        if digest == self._last:
            return
        self._last = digest
        asked = orjson.dumps(dict(parameters), option=orjson.OPT_SORT_KEYS).decode() if parameters else None
        identity = f"{self._feed}|{self._url}|{asked or ''}|{received_ms}|{digest}"
        self._send(
            {
                "snapshot_id": hashlib.sha256(identity.encode()).hexdigest()[:32],
                "feed": self._feed,
                "url": self._url,
                "parameters": asked,
                "match_id": self._match,
                "received_at": received_ms,
                "body": body if len(body) <= MAX_BODY else None,
                "body_bytes": len(body),
                "body_sha256": digest,
                "events": len(events),
                "refused": refused,
            }
        )


def _public(url: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl()
