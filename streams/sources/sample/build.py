"""Make the sample anew: ``python -m streams.sources.sample.build FOLDER`` (the folder of the CSV files)."""

from __future__ import annotations

import hashlib
import sys
from collections import defaultdict
from pathlib import Path
from typing import Any

from streams.sources.json_lines import write
from streams.sources.lol_pro import LolPro
from streams.sources.sample import FILE

Match = list[dict[str, Any]]

SEASON = "2017 Summer"
WITH_GOLD = 10


def _draw(match: Match) -> str:
    return hashlib.sha256(match[0]["match_id"].encode()).hexdigest()


def _deficit(match: Match) -> int:
    """The furthest that the later winner was behind in gold."""
    sign = 1 if match[-1]["winner"] == "blue" else -1
    leads = (
        sign * (event["blue_gold"] - event["red_gold"])
        for event in match
        if event["event_type"] == "TEAM_GOLD"
    )
    return -min(leads, default=0)


def choose(matches: list[Match]) -> list[Match]:
    """Twenty matches of the 2017 summer split, by a rule that looks at no prediction.

    The greatest comeback; the nine other matches with known gold whose id has the lowest SHA-256; and of
    every other league the match with the lowest.
    """
    season = [match for match in matches if match[0]["season"] == SEASON]
    by_league: dict[str, list[Match]] = defaultdict(list)
    for match in season:
        by_league[match[0]["league"]].append(match)
    with_gold = [match for match in season if any(event["event_type"] == "TEAM_GOLD" for event in match)]
    comeback = max(with_gold, key=_deficit)
    others = sorted((match for match in with_gold if match is not comeback), key=_draw)
    gold_leagues = {match[0]["league"] for match in with_gold}
    chosen = [comeback, *others[: WITH_GOLD - 1]]
    chosen += [
        min(found, key=_draw) for league, found in sorted(by_league.items()) if league not in gold_leagues
    ]
    return sorted(chosen, key=lambda match: match[0]["event_time"])


if __name__ == "__main__":
    chosen = choose(list(LolPro(Path(sys.argv[1])).matches()))
    write((event for match in chosen for event in match), FILE)
