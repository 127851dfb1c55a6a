"""Reading the platform's topics for the commands: what is kept, and what comes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, Self

from riftstream.cli.live import TOPICS
from riftstream.cli.story import Story, tell
from riftstream.errors import RiftError
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Received, Subscriber

_HINTS = 5


class Arrival(NamedTuple):
    """A record with the topic that it came from."""

    topic: str
    received: Received

    @property
    def record(self) -> Record:
        """The decoded record."""
        return self.received.record


class Feed:
    """Follows several topics at once; bytes that are no record are left out.

    Args:
        topics: Topics to read; those that the live picture is made of by default.
        settings: Where Kafka and the registry are; the process's settings by default.
        start: ``latest`` for what comes from now on, ``earliest`` for all that is kept.
        match: Only records of this match; all by default.
    """

    def __init__(
        self,
        topics: Iterable[str] = TOPICS,
        settings: Settings | None = None,
        *,
        start: str = "latest",
        match: str | None = None,
    ) -> None:
        self._subscribers: list[Subscriber] = []
        try:
            for topic in topics:
                subscriber = Subscriber(topic, settings, start=start, skip_broken=True, key=match)
                self._subscribers.append(subscriber)
        except BaseException:
            self.close()
            raise

    def poll(self, timeout: float = 0.1) -> Iterator[Arrival]:
        """What arrived, waiting ``timeout`` seconds at most when there is nothing.

        The wait is shared among the topics; one that has much to give does not hold back the others.
        """
        share = timeout / len(self._subscribers)
        for subscriber in self._subscribers:
            for received in subscriber.poll(share):
                yield Arrival(subscriber.topic, received)

    def close(self) -> None:
        """Leave the broker."""
        for subscriber in self._subscribers:
            subscriber.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def kept(
    topic: str,
    settings: Settings | None = None,
    key: str | Collection[str] | None = None,
    fields: Sequence[str] | None = None,
) -> Iterator[Received]:
    """Every record that a topic keeps, up to the end that it has now; bytes that are no record are left out.

    Args:
        topic: Topic to read.
        settings: Where Kafka and the registry are; the process's settings by default.
        key: Only records with this key, or one of these; all by default.
        fields: Read only these fields; all by default.
    """
    subscriber = Subscriber(
        topic, settings, start="earliest", stop_at_end=True, skip_broken=True, key=key, fields=fields
    )
    with subscriber:
        yield from subscriber


def read_match(match: str, settings: Settings | None = None) -> Story:
    """The story of a match from what the topics keep.

    Raises:
        RiftError: No prediction of this match is kept.
    """
    records = ((topic, got.record) for topic in TOPICS for got in kept(topic, settings, match))
    story = tell(match, records)
    if not story.points:
        raise unknown_match(match, settings)
    return story


def newest(match: str, wanted: Callable[[Record], bool], settings: Settings | None = None) -> Record | None:
    """The prediction of a match that is ``wanted`` and covers most of the log; None where there is none."""
    found = (got.record for got in kept("predictions", settings, match) if wanted(got.record))
    return max(found, key=lambda record: (record["source_offset"], record["as_of"]), default=None)


def unknown_match(match: str, settings: Settings | None = None) -> RiftError:
    """The error for a match without predictions: it names the nearest, or says that this is a player."""
    if next(kept("player-performance", settings, match), None) is not None:
        return RiftError(
            f"{match} is a player, of whom no form is known yet, or no model answers for players.",
            "A form is known ten seconds after a match ended.",
        )
    near = nearest(match, (got.record["match_id"] or "" for got in kept("predictions", settings)))
    if near:
        return RiftError(f"There is no prediction of a match {match}.", f"Nearest: {', '.join(near)}.")
    return RiftError(
        f"There is no prediction of a match {match}.",
        "No match has predictions yet: 'rift demo' or 'rift replay' brings some.",
    )


def nearest(match: str, known: Iterable[str], most: int = _HINTS) -> list[str]:
    """The ids in ``known`` that are most like ``match``: first its copies, newest first, then by likeness."""
    names = list(dict.fromkeys(filter(None, known)))
    copies = [name for name in reversed(names) if name.startswith(f"{match}#")]
    alike = difflib.get_close_matches(match, names, n=most, cutoff=0.0)
    return list(dict.fromkeys([*copies, *alike]))[:most]
