"""Matches with what the SQL makes of them, computed in plain Python: no Flink, and not the code under test.

The sample's matches are played once in each of five seasons, under other ids and dates.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import pyarrow as pa

from models.history import Source
from models.player_props.build import Material
from models.player_props.data import Kills, games_of
from models.win_probability.data import SPLITS, Outcomes, corpus_of
from streams.sources.sample import matches
from tests import recompute, recompute_forms
from tests.models.rows import placed

Event = dict[str, Any]

SEASONS = ("2015 Spring", "2016 Spring", "2016 Summer", "2017 Spring", "2017 Summer")
_DAY = recompute_forms.DAY


@lru_cache(maxsize=1)
def played() -> list[list[Event]]:
    """Events of each match; seasons are 40 days apart, matches of one two hours."""
    found = []
    for number, season in enumerate(SEASONS):
        for place, match in enumerate(matches()):
            shift = (number - len(SEASONS)) * 40 * _DAY + place * 7_200_000 - match[0]["event_time"]
            shift += 1_500_000_000_000
            found.append(
                [
                    event
                    | {
                        "match_id": f"{event['match_id']}/{number}",
                        "season": season,
                        "event_time": event["event_time"] + shift,
                    }
                    for event in match
                ]
            )
    return found


@lru_cache(maxsize=1)
def source() -> Source:
    """Everything that the jobs make of ``played``."""
    summaries: list[Event] = []
    games: list[Event] = []
    states: list[Event] = []
    of_sample = [recompute.match_features(placed(match)) for match in matches()]
    for number, match in enumerate(played()):
        told = recompute_forms.summary(placed(match))
        assert told is not None
        summaries.append(told[0])
        games += told[1]
        states += [
            state | {"match_id": match[0]["match_id"], "source_offset": len(states) + place}
            for place, state in enumerate(of_sample[number % len(of_sample)])
        ]
    tables = {
        "features": states,
        "match_summaries": summaries,
        "player_games": games,
        "player_stats": recompute_forms.player_forms(games),
        "team_form": recompute_forms.team_forms(summaries),
        "head_to_head": recompute_forms.head_to_heads(summaries),
        "champion_meta": recompute_forms.champion_metas(summaries),
    }
    count = sum(map(len, played()))
    return Source({name: pa.Table.from_pylist(rows) for name, rows in tables.items()}, "sample", count)


@lru_cache(maxsize=1)
def material() -> Material:
    """What props and the win probability are made of."""
    outcomes = Outcomes()
    for match in played():
        outcomes.read(match)
    kills = {match[0]["match_id"]: Kills.of(match) for match in played()}
    return Material(games_of(source(), kills), corpus_of(source(), outcomes, SPLITS))
