"""A person in the online store: what it holds of them, and how it is taken out."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import redis

from features.layout import LENGTH
from features.online import OnlineReader
from features.views import ENTITIES, VIEWS
from riftstream.errors import StackError
from riftstream.settings import Settings

PLAYER = "player"
_BATCH = 10_000


@dataclass(frozen=True)
class Forgotten:
    """What was done in the online store.

    Attributes:
        deleted: Entities that were deleted.
        left: Entities of the person that are there again: something still writes them.
    """

    deleted: int
    left: int


def held(settings: Settings, player: str) -> dict[str, list[dict[str, Any]]]:
    """Rows that the online store holds of a player, by feature view.

    Raises:
        StackError: Redis does not answer.
    """
    reader = OnlineReader(settings)
    views = [view for view in VIEWS if view.entities == (PLAYER,)]
    rows = {view.name: reader.get(view.name, [player]).table.to_pylist() for view in views}
    return {name: found for name, found in rows.items() if found[0][f"{name}__state"] != "MISSING"}


def forget(settings: Settings, player: str) -> Forgotten:
    """Delete every entity of a player from the online store, whatever other keys it has.

    Raises:
        StackError: Redis does not answer.
    """
    client: Any = redis.Redis.from_url(settings.redis_url.get_secret_value())
    try:
        keys = list(_keys(client, player))
        deleted = sum(client.unlink(key) for key in keys)
        return Forgotten(deleted, len(list(_keys(client, player))))
    except redis.RedisError as cause:
        raise StackError(f"The online store does not answer: {cause}.", "See `rift status`.") from cause
    finally:
        client.close()


def _keys(client: Any, player: str) -> Iterator[bytes]:
    """Keys of entities that have this player among their join keys."""
    value = player.encode()
    name = _literal(ENTITIES[PLAYER].key.encode())
    pattern = b"*" + name + b"*" + _literal(LENGTH.pack(len(value)) + value) + b"*"
    yield from client.scan_iter(match=pattern, count=_BATCH)


def _literal(text: bytes) -> bytes:
    """A text in a pattern of Redis, standing for itself."""
    return re.sub(rb"([*?\[\]^\\-])", rb"\\\1", text)
