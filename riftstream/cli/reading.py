"""Reading the platform's topics for the commands: what is kept, and what comes."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
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
    """Follows several topics at once.

    Args:
        topics: Topics to read; those that the live picture is made of by default.
        settings: Where Kafka and the registry are; the process's settings by default.
        start: ``latest`` for what comes from now on, ``earliest`` for all that is kept.
    """

    def __init__(
        self, topics: Iterable[str] = TOPICS, settings: Settings | None = None, *, start: str = "latest"
    ) -> None:
        self._subscribers: list[Subscriber] = []
        try:
            for topic in topics:
                self._subscribers.append(Subscriber(topic, settings, start=start))
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


def kept(topic: str, settings: Settings | None = None) -> Iterator[Received]:
    """Every record that a topic keeps, up to the end that it has now."""
    with Subscriber(topic, settings, start="earliest", stop_at_end=True) as subscriber:
        yield from subscriber


def read_match(match: str, settings: Settings | None = None) -> Story:
    """The story of a match from what the topics keep.

    Raises:
        RiftError: No prediction of this match is kept.
    """
    known: dict[str, None] = {}

    def mine() -> Iterator[tuple[str, Record]]:
        for topic in TOPICS:
            for received in kept(topic, settings):
                if topic == "predictions" and received.record["match_id"]:
                    known[received.record["match_id"]] = None
                if received.record["match_id"] == match:
                    yield topic, received.record

    story = tell(match, mine())
    if not story.points:
        raise unknown_match(match, known, settings)
    return story


def newest(
    match: str, wanted: Callable[[Record], bool], settings: Settings | None = None
) -> tuple[Record | None, dict[str, None]]:
    """The newest prediction of a match that is ``wanted``, and every match that has predictions."""
    found: Record | None = None
    known: dict[str, None] = {}
    for received in kept("predictions", settings):
        record = received.record
        if record["match_id"]:
            known[record["match_id"]] = None
        if record["subject_id"] == match and wanted(record):
            position = (record["source_partition"], record["source_offset"])
            if found is None or position > (found["source_partition"], found["source_offset"]):
                found = record
    return found, known


def unknown_match(match: str, known: Iterable[str], settings: Settings | None = None) -> RiftError:
    """The error for a match without predictions: it names the nearest that have some, or says what else it is."""
    if is_player(match, settings):
        return RiftError(
            f"{match} is a player: player predictions are not there yet, only matches are predicted.",
            "Name a match; 'rift watch --once' lists those that have predictions.",
        )
    near = nearest(match, known)
    if not near:
        hint = "No match has predictions yet: 'rift demo' or 'rift replay' brings some."
    else:
        hint = f"Nearest: {', '.join(near)}."
    return RiftError(f"There is no prediction of a match {match}.", hint)


def nearest(match: str, known: Iterable[str], most: int = _HINTS) -> list[str]:
    """The ids in ``known`` that are most like ``match``: copies of it first, newest first, then by likeness."""
    names = list(dict.fromkeys(known))
    copies = [name for name in reversed(names) if name.startswith(f"{match}#")]
    alike = difflib.get_close_matches(match, names, n=most, cutoff=0.0)
    return list(dict.fromkeys([*copies, *alike]))[:most]


def is_player(name: str, settings: Settings | None = None) -> bool:
    """Whether an event that is kept names such a player."""
    for received in kept("live-matches", settings):
        record = received.record
        rosters = (record["blue_players"] or []) + (record["red_players"] or [])
        if name in (record["player_id"], record["victim_id"], *rosters):
            return True
    return False
