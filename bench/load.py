"""Load for benchmarks: real matches without end, at an even pace."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from typing import TypeVar

from streams.avro import Record

LIVE_MATCHES = 200
TICK = 0.005

_Item = TypeVar("_Item")


def live_load(matches: list[list[Record]], run: str, live: int = LIVE_MATCHES) -> Iterator[Record]:
    """Events without end: ``live`` real matches at once, one event of each in turn; a match that has ended is
    followed by another. Ids are new, event times are the sender's business."""
    originals = itertools.cycle(matches)
    numbers = itertools.count()

    def one() -> Iterator[Record]:
        match, number = next(originals), next(numbers)
        for event in match:
            yield event | {
                "match_id": f"{event['match_id']}#{run}-{number}",
                "source": "simulator",
                "event_id": f"{run}{number:012x}{event['ordinal']:012x}",
            }

    playing = [one() for _ in range(live)]
    while True:
        for place in range(live):
            event = next(playing[place], None)
            if event is None:
                playing[place] = one()
                event = next(playing[place])
            yield event


def paced(items: Iterator[_Item], rate: float, seconds: float) -> Iterator[_Item]:
    """Items at an even pace, ``rate`` a second, for so many seconds."""
    given, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < seconds:
        for item in itertools.islice(items, max(0, int(passed * rate) - given)):
            given += 1
            yield item
        time.sleep(TICK)
