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


def recordings(data: Path) -> list[list[Event]]:
    """The recorded matches of the data folder, one a feed; those of feeds that tell no end have none."""
    found: list[list[Event]] = []
    for feed, name in _FILES.items():
        options = Options(match_id=f"RECORDED/{feed}", league="RECORDED", start_ms=now_ms())
        found += open_source(feed, str(data / "live-samples" / name), options).matches()
    return found
