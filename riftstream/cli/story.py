"""One match from its records: its predictions over the match clock, its gold, and what happened when."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from riftstream.cli import words
from riftstream.cli.live import MODEL
from streams.avro import Record


@dataclass(frozen=True)
class Point:
    """A prediction: match clock (ms), probability that blue wins, and its interval where there is one."""

    clock_ms: int
    probability: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class Mark:
    """Something that happened.

    Attributes:
        kind: Kill, Tower, Inhibitor, or the monster's name.
        side: Side that did it, blue or red.
        clock_ms: Match clock (ms).
    """

    kind: str
    side: str
    clock_ms: int


@dataclass
class Story:
    """One match.

    Attributes:
        match_id: The match.
        winner: blue or red; None where the match has not ended or was remade.
        points: Predictions in the order of the match clock, but for the one after the event that ended the
            match, which was made when the result was known.
        gold: Match clock (ms) and gold difference, blue minus red, of every snapshot; empty where unknown.
        marks: Kills, buildings and monsters in the order of the match clock.
        end_ms: The highest match clock of the features.
        interval_level: Stated coverage of the intervals; None where there are none.
        model: Name and version of the model of the newest prediction.
    """

    match_id: str
    league: str | None = None
    season: str | None = None
    blue: str = "blue"
    red: str = "red"
    winner: str | None = None
    points: list[Point] = field(default_factory=list)
    gold: list[tuple[int, int]] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    end_ms: int = 0
    interval_level: float | None = None
    model: str = ""


def tell(match_id: str, records: Iterable[tuple[str, Record]]) -> Story:
    """Make the story of a match from (topic, record) pairs in any order; other matches are left out.

    Each prediction and event counts once however often it comes, and only events that the pipeline accepted
    (that have features) are marked.
    """
    story = Story(match_id)
    ending = None
    events: dict[str, Record] = {}
    features: dict[str, Record] = {}
    predictions: dict[str, Record] = {}
    for topic, record in records:
        if record.get("match_id") != match_id:
            continue
        if topic == "live-matches" and record["event_id"]:
            events.setdefault(record["event_id"], record)
        elif topic == "match-features":
            features[record["event_id"]] = record
        elif topic == "match-results":
            story.winner, ending = record["winner"], record["event_id"]
        elif topic == "predictions" and record["model_name"] == MODEL and not record["shadow"]:
            predictions[record["prediction_id"]] = record
    _frame(story, sorted(features.values(), key=lambda record: record["source_offset"]))
    said = [record for record in predictions.values() if record["event_id"] != ending]
    _predictions(story, sorted(said, key=lambda record: record["source_offset"]))
    accepted = (event for key, event in events.items() if key in features)
    marks = (mark for mark in map(_mark, accepted) if mark)
    story.marks = sorted(marks, key=lambda mark: (mark.clock_ms, mark.kind, mark.side))
    return story


def _frame(story: Story, features: list[Record]) -> None:
    gold = {}
    for record in features:
        story.end_ms = max(story.end_ms, record["clock_ms"])
        story.league = record["league"] or story.league
        story.season = record["season"] or story.season
        story.blue = record["blue_team"] or story.blue
        story.red = record["red_team"] or story.red
        if record["gold_diff"] is not None and record["gold_age_ms"] is not None:
            gold[record["clock_ms"] - record["gold_age_ms"]] = record["gold_diff"]
    story.gold = sorted(gold.items())


def _predictions(story: Story, predictions: list[Record]) -> None:
    for record in predictions:
        if record["probability"] is None:
            continue
        story.points.append(
            Point(
                record["game_time_ms"], record["probability"], record["interval_low"], record["interval_high"]
            )
        )
        story.interval_level = record["interval_level"]
        story.model = f"{record['model_name']} {record['model_version']}"
    story.points.sort(key=lambda point: point.clock_ms)


def _mark(event: Record) -> Mark | None:
    kind = {"CHAMPION_KILL": "Kill", "BUILDING_KILL": "Tower", "ELITE_MONSTER_KILL": "monster"}.get(
        event["event_type"] or ""
    )
    if kind is None or event["team"] not in ("blue", "red") or event["game_time_ms"] is None:
        return None
    if kind == "Tower" and event["building"] == "INHIBITOR":
        kind = "Inhibitor"
    if kind == "monster":
        kind = words.monster(event)
    return Mark(kind, event["team"], event["game_time_ms"])
