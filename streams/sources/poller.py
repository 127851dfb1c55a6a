"""Polls a live feed over HTTP and sends what is new.

The answer's size is bounded, redirects are not followed, a failing server is asked less and less often, and a
``threading.Event`` stops the poller between two questions.
"""

from __future__ import annotations

import ipaddress
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson

from riftstream.errors import SourceError
from streams.sources.lolesports import LolEsports
from streams.sources.recorded import Feed
from streams.sources.snapshots import Snapshots

Event = dict[str, Any]

MAX_BYTES = 8 * 1024 * 1024
_LONGEST_WAIT = 30.0
_QUIET = frozenset((204, 404))


@dataclass
class Polled:
    """What a poller did.

    Attributes:
        polls: Questions asked.
        quiet: Answers that say that there is nothing yet (204, 404).
        failures: Questions without a usable answer.
        events: Events sent.
        reasons: The last 20 failures, as sentences.
    """

    polls: int = 0
    quiet: int = 0
    failures: int = 0
    events: int = 0
    reasons: list[str] = field(default_factory=list)

    def fail(self, reason: str) -> None:
        """Count a failure."""
        self.failures += 1
        self.reasons = [*self.reasons[-19:], reason]


def is_loopback(url: str) -> bool:
    """Whether a URL names this machine."""
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def client(
    url: str, *, trust_loopback: bool = False, headers: Mapping[str, str] | None = None, timeout: float = 5.0
) -> httpx.Client:
    """An HTTP client for a feed.

    Args:
        url: Address of the feed.
        trust_loopback: Accept any certificate, on this machine only: the game client signs its own.
        headers: Headers to send, for example an API key.
        timeout: Seconds to wait for an answer.

    Raises:
        SourceError: The address is not HTTP, or trust is asked for another machine.
    """
    if urlsplit(url).scheme not in ("http", "https") or not urlsplit(url).hostname:
        raise SourceError(f"{url} is not an http or https address.")
    if trust_loopback and not is_loopback(url):
        raise SourceError(
            f"{url} is not on this machine, so its certificate must be checked.",
            "Leave out --trust-loopback.",
        )
    return httpx.Client(
        timeout=timeout,
        follow_redirects=False,
        verify=not trust_loopback,
        headers=dict(headers or {}),
        trust_env=not is_loopback(url),
    )


def poll(
    url: str,
    feed: Feed,
    send: Callable[[Event], None],
    http: httpx.Client,
    *,
    every: float = 1.0,
    stop: threading.Event | None = None,
    patience: float = 60.0,
    max_bytes: int = MAX_BYTES,
    on_poll: Callable[[Polled], None] | None = None,
    polled: Polled | None = None,
    snapshots: Snapshots | None = None,
) -> Polled:
    """Ask a feed again and again until its match is over, and send the events that are new.

    Args:
        url: Address of the feed.
        feed: Reader of the feed.
        send: Takes each event, for example ``Producer.send``.
        http: Client to ask with.
        every: Seconds between two questions; after failures twice as long each time, at most 30 s.
        stop: Ends the loop when set.
        patience: Seconds without a usable answer after which the poller gives up. Answers that say that
            there is nothing yet are usable.
        max_bytes: Longest answer that is read (bytes, unpacked).
        on_poll: Called after each question.
        polled: Counts to go on with.
        snapshots: Keeps each answer as it was told, usable or not.

    Raises:
        SourceError: No usable answer for longer than ``patience``; or what ``send`` raises.
    """
    stop = stop or threading.Event()
    polled = polled or Polled()
    last_good = time.monotonic()
    failures_in_a_row = 0
    while not stop.is_set() and not feed.finished:
        parameters: dict[str, str] | None = {}
        if isinstance(feed, LolEsports):
            parameters = feed.parameters(datetime.now(UTC))
        if parameters is not None:
            polled.polls += 1
            reason = _ask(url, parameters, feed, send, http, max_bytes, polled, snapshots)
            if reason is None:
                last_good = time.monotonic()
                failures_in_a_row = 0
            else:
                polled.fail(reason)
                failures_in_a_row += 1
                if time.monotonic() - last_good > patience:
                    raise SourceError(
                        f"{url} gave no usable answer for {patience:.0f} s; the last time: {reason}.",
                        "Is the game running, and the address right?",
                    )
            if on_poll is not None:
                on_poll(polled)
        stop.wait(min(every * 2**failures_in_a_row, _LONGEST_WAIT) if not feed.finished else 0)
    return polled


def _ask(
    url: str,
    parameters: dict[str, str],
    feed: Feed,
    send: Callable[[Event], None],
    http: httpx.Client,
    max_bytes: int,
    polled: Polled,
    snapshots: Snapshots | None,
) -> str | None:
    """One question; why it failed, or None."""
    try:
        with http.stream("GET", url, params=parameters) as response:
            if response.status_code in _QUIET:
                polled.quiet += 1
                return None
            if response.status_code != 200:
                return f"status {response.status_code}"
            body = bytearray()
            for part in response.iter_bytes():
                body += part
                if len(body) > max_bytes:
                    return f"an answer longer than {max_bytes} bytes"
    except (httpx.HTTPError, httpx.InvalidURL) as cause:
        return f"{type(cause).__name__}: {cause}"
    received = int(time.time() * 1000)
    events, refused = _read(feed, bytes(body), received)
    if snapshots is not None:
        snapshots.keep(bytes(body), received, parameters, events, refused)
    for event in events:
        send(event)
        polled.events += 1
    return refused


def _read(feed: Feed, body: bytes, received: int) -> tuple[list[Event], str | None]:
    """The events of an answer, or why there are none."""
    try:
        return feed.read(orjson.loads(body), received), None
    except orjson.JSONDecodeError as cause:
        return [], f"not JSON: {cause}"
    except SourceError as cause:
        return [], cause.message.rstrip(".")
