"""States of real matches, as the streaming SQL computes them, split by time.

The events of the matches go through the ``features`` view of ``jobs/match_pipeline.sql`` in batch mode: the
model learns from exactly what it will be served, and there is no second feature code.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from models import history
from models.win_probability import pre_match
from models.win_probability.features import FEATURES
from riftstream.errors import ModelError

MINUTE_MS = 60_000
MINUTES = tuple(range(1, 41))
SPLITS = ("train", "validation", "test")
ENDS = ("MATCH_END", "REMAKE")
STATES = "features"
VIEWS = (STATES, *pre_match.VIEWS)

Event = history.Event
Floats = np.ndarray[Any, np.dtype[np.float32]]
Ints = np.ndarray[Any, np.dtype[np.int64]]


def split_of(season: str | None) -> str | None:
    """Which split a season belongs to, by time; null where it has no year or is none of the three.

    Training goes up to and including 2016, validation is the spring split of 2017, test its summer split.
    """
    year = (season or "")[:4]
    if not year.isdecimal():
        return None
    if int(year) <= 2016:
        return "train"
    return {"2017 Spring": "validation", "2017 Summer": "test"}.get(season or "")


@dataclass(frozen=True)
class Corpus:
    """All states of finished matches of the three splits, up to but without the end of each match.

    Matches are numbered from 0 in log order. The arrays are aligned: one element a state, in log order within
    a match.

    Attributes:
        matrix: Feature vectors, float32, shape [n, f].
        match: Number of the match of each state, shape [n].
        clock_ms: Match clock of each state, which never goes back within a match, shape [n].
        won: 1 where blue won, by match, shape [m].
        end_ms: Match clock of the end, by match, shape [m].
        season: Season, by match, shape [m]. Seasons sort as text in the order of time.
        before: What was known before each match, see ``pre_match.inputs``, shape [m, k]; NaN where unknown.
        ids: Match id, by match, shape [m].
        sha256: SHA-256 of the canonical events: the JSON lines that ``rift import`` writes, all of them.
        events: How many events that were.
        excluded: Matches that are in no split, by reason.
    """

    matrix: Floats
    match: Ints
    clock_ms: Ints
    won: Ints
    end_ms: Ints
    season: np.ndarray[Any, np.dtype[np.str_]]
    before: np.ndarray[Any, np.dtype[np.float64]]
    ids: np.ndarray[Any, np.dtype[np.str_]]
    sha256: str
    events: int
    excluded: dict[str, int]

    def matches(self, split: str) -> Ints:
        """Numbers of the matches of a split."""
        return np.flatnonzero([split_of(season) == split for season in self.season])


@dataclass(frozen=True)
class States:
    """Chosen states, aligned.

    Attributes:
        matrix: Feature vectors, float32, shape [n, f].
        match: Number of the match, shape [n].
        minute: Minute of the match clock, shape [n].
        won: 1 where blue won, shape [n].
    """

    matrix: Floats
    match: Ints
    minute: Ints
    won: Ints

    def where(self, mask: np.ndarray) -> States:
        """The states that a boolean mask (or index) of shape [n] chooses."""
        return States(self.matrix[mask], self.match[mask], self.minute[mask], self.won[mask])


def load(matches: Iterable[list[Event]], every_season: bool = False) -> Corpus:
    """Send matches through the SQL and gather their states, and what was known before each.

    Args:
        matches: Events of each match, in log order.
        every_season: Take matches of whatever season, and no split is needed: for data to evaluate on.

    Raises:
        JobError: Flink could not run the SQL.
        ModelError: There is no finished match in one of these splits.
    """
    outcomes = Outcomes(every_season)
    source = history.run(matches, VIEWS, outcomes.read)
    return corpus_of(source, outcomes, () if every_season else SPLITS)


class Outcomes:
    """How each match ended, read from its events."""

    def __init__(self, every_season: bool = False) -> None:
        self._every_season = every_season
        self.known: dict[str, tuple[int, int, str]] = {}
        self.excluded: Counter[str] = Counter()

    def read(self, match: list[Event]) -> None:
        season = next((event["season"] for event in match if event.get("season")), None)
        end = next((event for event in match if event["event_type"] in ENDS), None)
        if end is None or end["event_type"] == "REMAKE" or end.get("winner") is None:
            self.excluded["no result"] += 1
        elif not self._every_season and (season is None or split_of(season) is None):
            self.excluded["season is in no split"] += 1
        else:
            outcome = (int(end["winner"] == "blue"), end["game_time_ms"], season or "")
            self.known[match[0]["match_id"]] = outcome


def corpus_of(source: history.Source, outcomes: Outcomes, splits: Sequence[str] = SPLITS) -> Corpus:
    """The states before each match's end, in log order, and what was known before the matches.

    Raises:
        ModelError: There is no finished match in one of these splits.
    """
    table = source.tables[STATES]
    table = table.select(list(dict.fromkeys(("match_id", "event_type", "source_offset", *FEATURES))))
    table = table.sort_by("source_offset")
    ids = list(outcomes.known)
    match = pc.index_in(table["match_id"], pa.array(ids, pa.string())).fill_null(-1).to_numpy()
    ended = pc.is_in(table["event_type"], pa.array(ENDS)).to_numpy()
    order = np.argsort(match, kind="stable")
    order = order[match[order] >= 0]
    match, ended = match[order].astype(np.int64), ended[order]
    before_end = _cumulative(ended.astype(np.int64), match) == 0
    order, match = order[before_end], match[before_end]
    matrix = np.empty((len(order), len(FEATURES)), np.float32)
    for column, name in enumerate(FEATURES):
        matrix[:, column] = table[name].to_numpy()[order]
    seasons = [season for _, _, season in outcomes.known.values()]
    won, end_ms = np.array([found[:2] for found in outcomes.known.values()], np.int64).reshape(-1, 2).T
    for name in splits:
        if name not in map(split_of, seasons):
            raise ModelError(
                f"There is no finished match in the {name} split.",
                "Training needs matches of 2014 to 2016, 2017 Spring and 2017 Summer.",
            )
    clock = table["clock_ms"].to_numpy()[order]
    contexts = pre_match.contexts_of(source)
    nothing = pre_match.MatchContext()
    return Corpus(
        matrix,
        match,
        clock,
        won,
        end_ms,
        np.array(seasons),
        pre_match.inputs([contexts.get(match_id, nothing) for match_id in ids]),
        np.array(ids),
        source.sha256,
        source.events,
        dict(outcomes.excluded),
    )


def _cumulative(values: Ints, group: Ints) -> Ints:
    """Running sum that begins anew in each group; groups are contiguous."""
    total = np.cumsum(values)
    first = np.flatnonzero(np.diff(group, prepend=-1))
    before = np.repeat(total[first] - values[first], np.diff(first, append=len(group)))
    return np.asarray(total - before)


def sampled(corpus: Corpus, matches: Ints) -> States:
    """What the model learns from: the last state of each minute of each match in which anything happened.

    One row an event would let a fight of ten kills count ten times, and busy matches more than quiet ones;
    one row a whole minute would repeat a state that nothing changed. Every row is a state that was emitted.
    """
    minute = corpus.clock_ms // MINUTE_MS
    last = np.ones(len(minute), bool)
    last[:-1] = (np.diff(corpus.match) != 0) | (np.diff(minute) != 0)
    chosen = np.flatnonzero(last & np.isin(corpus.match, matches))
    return States(
        corpus.matrix[chosen], corpus.match[chosen], minute[chosen], corpus.won[corpus.match[chosen]]
    )


def at_minutes(corpus: Corpus, matches: Ints, minutes: Iterable[int] = MINUTES) -> States:
    """What the model is judged on: at each whole minute, every match still running with its newest state.

    That is what a viewer of the predictions topic holds at that minute, and each match counts once a minute.
    The end event is known only to choose the matches that still run.
    """
    marks = np.array(list(minutes), np.int64)
    first = np.flatnonzero(np.diff(corpus.match, prepend=-1))
    behind = np.append(first[1:], len(corpus.match))
    wanted = np.isin(np.arange(len(corpus.won)), matches)
    places, numbers, at = [], [], []
    for start, stop in zip(first, behind, strict=True):
        number = corpus.match[start]
        if not wanted[number]:
            continue
        running = marks[marks * MINUTE_MS < corpus.end_ms[number]]
        place = start + np.searchsorted(corpus.clock_ms[start:stop], running * MINUTE_MS, side="right") - 1
        seen = place >= start
        places.append(place[seen])
        at.append(running[seen])
        numbers.append(np.full(int(seen.sum()), number))
    chosen, match, minute = (np.concatenate(parts) for parts in (places, numbers, at))
    return States(corpus.matrix[chosen], match, minute, corpus.won[match])
