"""Writes the events of one match: ordinal, identity, and the order of the fields."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from streams.identity import event_id, participants
from streams.schemas import for_topic

Event = dict[str, Any]

UNDATED_MS = 1_577_836_800_000
"""Start of a match of which no date is known: 2020-01-01T00:00:00Z, which is made up."""


class EventWriter:
    """Makes events of one match, in log order.

    Args:
        source: Where they come from.
        match_id: The match.
        head: Fields that every event of the match carries (league, season, patch); None is left out.
    """

    def __init__(self, source: str, match_id: str, **head: Any) -> None:
        self.source = source
        self.match_id = match_id
        self._head = head
        self._names = [field.name for field in for_topic("live-matches").fields]
        self._ordinal = 0

    def __call__(
        self,
        event_type: str,
        game_time_ms: int,
        event_time: int,
        *,
        natural: tuple[Iterable[str], int] | None = None,
        **fields: Any,
    ) -> Event:
        """The next event; fields that are None are left out.

        Args:
            event_type: Type of the event.
            game_time_ms: Match clock (ms).
            event_time: When it happened (ms since the Unix epoch).
            natural: For feeds that are polled: what identifies the event in the feed itself (participants
                and number), so that a poller that starts again gives it the same ``event_id``. By default
                the event's own participants, clock and place in the match.
            fields: The other fields of the event.
        """
        event = {
            **self._head,
            **fields,
            "match_id": self.match_id,
            "event_type": event_type,
            "event_time": event_time,
            "game_time_ms": game_time_ms,
            "ordinal": self._ordinal,
            "source": self.source,
        }
        people, number = natural if natural is not None else (participants(event), self._ordinal)
        clock = game_time_ms if natural is None else 0
        event["event_id"] = event_id(self.source, self.match_id, clock, event_type, people, number)
        self._ordinal += 1
        return {name: event[name] for name in self._names if event.get(name) is not None}
