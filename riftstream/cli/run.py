"""Playing matches on the platform, watching what comes of them, and keeping account."""

from __future__ import annotations

import math
import threading
import time
from dataclasses import dataclass
from typing import Any

from riftstream.cli import ledger, live
from riftstream.cli.ledger import Ledger
from riftstream.cli.live import Board
from riftstream.cli.report import Lake
from riftstream.cli.story import Story, tell
from riftstream.console import err
from streams.avro import Record

_PATIENCE_SECONDS = 60.0
_SECOND_LOOK_SECONDS = 10.0
_LAKE_PATIENCE_SECONDS = 60.0
_SECOND_LOOK_SECONDS = 10.0


@dataclass(frozen=True)
class Chosen:
    """The matches of a run.

    Attributes:
        origin: Where they came from, in words.
        matches: Events of each match, in log order.
        rows: The account of the rows that were read; empty for the sample, which holds events already.
    """

    origin: str
    matches: list[list[Record]]
    rows: dict[str, Any]


class Stopped(Exception):
    """The playing was called off."""


class Player:
    """Plays matches in a thread of its own while the block runs.

    Args:
        matches: Events of each match, in log order.
        label: What is put after ``#`` to their ids.
        speed: Seconds of match clock a second; None for as fast as it goes.
    """

    def __init__(self, matches: list[list[Record]], label: str, speed: float | None) -> None:
        from streams.replay import Replayed

        self._matches = matches
        self._label = label
        self._speed = math.inf if speed is None else speed
        self._progress = Replayed()
        self._off = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._play, name="player", daemon=True)

    @property
    def running(self) -> bool:
        """Whether there are events to come."""
        return self._thread.is_alive()

    @property
    def sent(self) -> int:
        """Events handed to Kafka so far."""
        return self._progress.events

    def check(self) -> None:
        """Raise what made the playing fail, if anything did."""
        if self._failure is not None:
            raise self._failure

    def _play(self) -> None:
        from streams.client import Producer
        from streams.replay import replay

        try:
            with Producer() as producer:
                replay(
                    self._matches,
                    producer.send,
                    speed=self._speed,
                    concurrent=len(self._matches),
                    label=self._label,
                    clock=stoppable_clock(self._off),
                    progress=self._progress,
                )
        except Stopped:
            return
        except Exception as failure:  # the main thread raises it
            self._failure = failure

    def __enter__(self) -> Player:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._off.set()
        self._thread.join()


def stoppable_clock(off: threading.Event) -> Any:
    """The system's clock, but it stops the playing once ``off`` is set."""
    from streams.replay import SystemClock

    class Clock(SystemClock):
        def now_ms(self) -> float:
            if off.is_set():
                raise Stopped
            return super().now_ms()

        def sleep(self, seconds: float) -> None:
            off.wait(seconds)

    return Clock()


class Run:
    """One run: its matches are played, and what comes of them is watched and kept account of.

    Args:
        chosen: The matches.
        suffix: What the match ids of this run end with.
        speed: Seconds of match clock a second; None for as fast as it goes.
    """

    def __init__(self, chosen: Chosen, suffix: str, speed: float | None) -> None:
        self.chosen = chosen
        self.speed = speed
        self.suffix = suffix
        self.ledger = Ledger(suffix, len(chosen.matches))
        self.board = Board(suffix=suffix)
        self.records: list[tuple[str, Record]] = []
        self.seconds = 0.0

    def play(self) -> None:
        """Play the matches until every event has its prediction, or nothing more comes.

        Raises:
            DeliveryError: The events could not be sent.
        """
        from riftstream.cli.reading import Feed
        from riftstream.cli.watch import Picture

        begun = time.monotonic()
        title = f"{len(self.chosen.matches)} matches from {self.chosen.origin}, at {self._pace()}"
        with Feed(ledger.TOPICS) as feed, self._player() as player, Picture(err, title) as picture:
            heard = time.monotonic()
            looked_again = False
            while True:
                playing = player.running
                player.check()
                self.ledger.sent = player.sent
                for arrival in feed.poll():
                    if self._take(arrival.topic, arrival.received):
                        heard = time.monotonic()
                picture.show(self.board)
                silence = time.monotonic() - heard
                if not playing and (not self.ledger.missing() or silence > _PATIENCE_SECONDS):
                    break
                if not playing and not looked_again and silence > _SECOND_LOOK_SECONDS:
                    looked_again = True
                    self._look_again()
            picture.show(self.board, last=True)
        self.seconds = time.monotonic() - begun

    def _look_again(self) -> None:
        """Take in what the topics keep: the log counts, not what was heard of it."""
        from riftstream.cli.reading import kept

        for topic in ledger.TOPICS:
            for received in kept(topic):
                self._take(topic, received)

    def _player(self) -> Player:
        return Player(self.chosen.matches, self.suffix.lstrip("#"), self.speed)

    def _take(self, topic: str, received: Any) -> bool:
        if not self.ledger.take(topic, received):
            return False
        if topic in live.TOPICS:
            self.board.update(topic, received.record)
            self.records.append((topic, received.record))
        return True

    def _pace(self) -> str:
        return "full speed" if self.speed is None else f"{self.speed:g} times the match clock"

    def stories(self) -> list[Story]:
        """The story of each match."""
        return [tell(match, self.records) for match in self.board.rows]

    def lake(self) -> Lake:
        """Wait until the lakehouse holds every accepted event, or nothing more comes, and count."""
        from lakehouse.tables import MATCH_EVENTS, event_ids

        accepted = self.ledger.summary().accepted
        # Where events are missing already, the pipeline is ill: no use in waiting for its next commit.
        patience = 0.0 if self.ledger.missing() else _LAKE_PATIENCE_SECONDS
        deadline = time.monotonic() + patience
        with err.status(f"waiting for {accepted} rows in {MATCH_EVENTS}"):
            while len(found := event_ids(self.board.rows)) < accepted and time.monotonic() < deadline:
                time.sleep(1.0)
        return Lake(MATCH_EVENTS, len(found), len(set(found)))
