"""A player of a live feed or a timeline, and the fields by which an event names who acted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Player:
    """A player of one match.

    Attributes:
        name: The feed's name for the player; the ``player_id`` of the events.
        side: blue or red.
        role: top, jungle, mid, adc or support; None where the feed does not tell.
        champion: Champion; None where the feed does not tell.
    """

    name: str
    side: str
    role: str | None = None
    champion: str | None = None


def actor(player: Player) -> dict[str, Any]:
    """The fields of an event in which this player acted."""
    return {
        "team": player.side,
        "player_id": player.name,
        "role": player.role,
        "champion": player.champion,
    }
