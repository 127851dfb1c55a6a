"""What live feeds said when they were recorded, as matches of ours."""

from __future__ import annotations

from pathlib import Path

from streams.sources import Event, Options, open_source
from tests.integration.tools import now_ms

_FILES = {
    "match-v5": "match-v5-timeline.json.gz",
    "live-client": "live-client-allgamedata.json",
    "lolesports": "lolesports-window.json",
}


_HOURS_AGO = 2 * 3_600_000
"""They began two hours ago, so that they are over: what will come to pass is no event."""


def recordings(data: Path) -> list[list[Event]]:
    """The recorded matches of the data folder, one a feed; those of feeds that tell no end have none."""
    found: list[list[Event]] = []
    for feed, name in _FILES.items():
        options = Options(match_id=f"RECORDED/{feed}", league="RECORDED", start_ms=now_ms() - _HOURS_AGO)
        found += open_source(feed, str(data / "live-samples" / name), options).matches()
    return found
