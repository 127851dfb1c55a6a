"""Predictions about players get their outcomes from the games that came, and quality counts them."""

from __future__ import annotations

import random
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pyiceberg.catalog import Catalog
from pyiceberg.catalog.sql import SqlCatalog

from lakehouse import commits, settle, tables
from models import metrics
from tests.lakehouse.lake import put

SAID, GAMES = "predictions.predictions", "raw.player_games"
NOON = datetime(2017, 3, 1, 12, tzinfo=UTC)

Row = dict[str, Any]


@pytest.fixture
def catalog(tmp_path: Path) -> Catalog:
    """A lake of one file with the tables that are read and written."""
    catalog = SqlCatalog("test", uri=f"sqlite:///{tmp_path}/catalog.db", warehouse=f"file://{tmp_path}")
    specs = [tables.spec(name) for name in (SAID, GAMES, settle.OUTCOMES, settle.QUALITY)]
    tables.apply_in(catalog, tables.plan_in(catalog, specs), specs)
    return catalog


def said(number: int, player: str = "Faker", **more: Any) -> Row:
    """A prediction about a player's next map after noon."""
    base = {
        "maps": None,
        "prediction_id": f"p{number}",
        "model_name": "player_props",
        "model_version": "1",
        "subject_type": "player",
        "subject_id": player,
        "player_id": player,
        "game_time_ms": 0,
        "event_time": NOON,
        "probability": 0.6,
        "statistic": "kills",
        "line": 2.5,
        "push": 0.0,
        "as_of": datetime.now(UTC),
    }
    return base | more


def game(number: int, player: str = "Faker", **more: Any) -> Row:
    """A game that ended so many hours after noon."""
    base = {
        "player_id": player,
        "match_id": f"m{number}",
        "event_time": NOON + timedelta(hours=number),
        "league": "LCK",
        "side": "red",
        "won": True,
        "kills": 3,
        "deaths": 2,
        "assists": 7,
        "source_partition": 0,
        "source_offset": number,
        "log_partition": 0,
        "log_offset": number,
    }
    return base | more


def found(catalog: Catalog) -> dict[str, Row]:
    rows = settle.outcomes(catalog).to_pylist()
    assert len({row["prediction_id"] for row in rows}) == len(rows)
    return {row["prediction_id"]: row for row in rows}


def test_the_first_game_after_what_was_known_settles_a_prediction(catalog: Catalog) -> None:
    # The game at noon is what the form knew; of two copies of the next one the newer tells.
    put(catalog, GAMES, [game(0, kills=9), game(2), game(2, kills=4, log_offset=99), game(3, kills=0)])
    put(catalog, SAID, [said(1), said(2, "Nobody"), said(3, event_time=NOON + timedelta(hours=3))])
    settled = found(catalog)
    assert set(settled) == {"p1"}, "who has not played since waits"
    row = settled["p1"]
    assert (row["match_id"], row["value"], row["outcome"], row["winner"]) == ("m2", 4, 1, "red")
    assert (row["league"], row["source_offset"], row["minute"]) == ("LCK", 2, 0)
    assert row["squared_error"] == pytest.approx(0.16)
    assert row["log_loss"] == pytest.approx(-np.log(0.6))


def test_a_prediction_that_names_its_match_is_settled_by_that(catalog: Catalog) -> None:
    put(catalog, GAMES, [game(1, kills=9), game(2, kills=1)])
    put(catalog, SAID, [said(1, match_id="m2"), said(2, match_id="m7")])
    assert {key: (row["match_id"], row["outcome"]) for key, row in found(catalog).items()} == {
        "p1": ("m2", 0)
    }


def test_a_count_on_its_line_is_a_push_and_scores_nothing(catalog: Catalog) -> None:
    put(catalog, GAMES, [game(1)])
    rows = [
        said(1, line=3.0, push=0.2, probability=0.4),
        said(2, line=2.0, push=0.2, probability=0.4),
        said(3, statistic="deaths", line=4.0, push=0.1, probability=0.9),
        said(4, statistic="assists", line=7.0, push=1.0, probability=0.0),
        said(5, line=None, probability=None),
        said(6, maps=2),
    ]
    put(catalog, SAID, rows)
    settled = found(catalog)
    assert {key: (row["value"], row["outcome"]) for key, row in settled.items()} == {
        "p1": (3, None),
        "p2": (3, 1),
        "p3": (2, 0),
        "p4": (7, None),
    }
    assert [settled[key][score] for key in ("p1", "p4") for score in ("squared_error", "log_loss")] == [
        None
    ] * 4
    # Given that it is no push: 0.4 of 0.8; 0.9 of 0.9, of which the logarithm is held back.
    assert settled["p2"]["squared_error"] == pytest.approx(0.25)
    assert settled["p3"]["squared_error"] == pytest.approx(1.0)
    assert settled["p3"]["log_loss"] == pytest.approx(-np.log(1e-7))


def test_a_question_that_was_asked_again_has_one_outcome(catalog: Catalog) -> None:
    put(catalog, GAMES, [game(1)])
    later = datetime.now(UTC)
    put(catalog, SAID, [said(1, as_of=later), said(1, as_of=later - timedelta(days=2), probability=0.7)])
    assert found(catalog)["p1"]["probability"] == 0.7


def test_what_is_settled_is_not_settled_again(catalog: Catalog) -> None:
    put(catalog, GAMES, [game(1)])
    put(catalog, SAID, [said(1), said(2, subject_type="match", subject_id="m1", match_id="m1")])
    rows = settle.outcomes(catalog)
    assert rows.num_rows == 1
    commits.append(catalog, settle.OUTCOMES, rows)
    assert settle.outcomes(catalog).num_rows == 0


def test_quality_is_that_of_the_newest_matches(catalog: Catalog) -> None:
    chance = random.Random(20170301)  # noqa: S311
    matches = [game(number, league=chance.choice(["LCK", None])) for number in range(1, 231)]
    put(catalog, GAMES, [one | {"kills": chance.randrange(6)} for one in matches])
    rows = [
        said(
            number * 10 + place,
            match_id=f"m{number}",
            line=chance.choice([1.5, 2.0]),
            push=0.2,
            probability=chance.uniform(0.0, 0.8),
            model_version=chance.choice("12"),
        )
        for number in range(1, 231)
        for place in range(2)
    ]
    put(catalog, SAID, rows)
    settled = settle.outcomes(catalog)
    commits.append(catalog, settle.OUTCOMES, settled)
    told = settle.quality(catalog).to_pylist()
    everything = settled.to_pylist()
    scopes = {(row["model_version"], row["league"], row["minute"]) for row in told}
    assert scopes == {(v, league, m) for v in "12" for league in ("LCK", None) for m in (-1, 0)}
    for row in told:
        of = [
            one
            for one in everything
            if one["model_version"] == row["model_version"]
            and row["league"] in (None, one["league"])
            and one["outcome"] is not None
        ]
        newest = sorted({one["ended"] for one in of})[-200:]
        counted = [one for one in of if one["ended"] in newest]
        p = np.array([one["probability"] / 0.8 for one in counted])
        y = np.array([float(one["outcome"]) for one in counted])
        even = np.ones(len(p))
        assert (row["predictions"], row["matches"]) == (len(counted), len(newest))
        assert row["brier"] == pytest.approx(metrics.brier(p, y, even))
        assert row["log_loss"] == pytest.approx(metrics.log_loss(p, y, even))
        assert row["ece"] == pytest.approx(metrics.ece(p, y, even))
        assert row["event_time"] == newest[-1]


def test_quality_is_told_once_and_what_was_left_untold_is_told_later(catalog: Catalog) -> None:
    put(catalog, GAMES, [game(1), game(2, league=None), game(2, "Bang", match_id="other", league="LCK")])
    put(catalog, SAID, [said(1, match_id="m1"), said(2, match_id="m1", game_time_ms=65_000)])

    def round_of() -> Counter[tuple[str | None, int, int]]:
        told = settle.quality(catalog)
        commits.append(catalog, settle.QUALITY, told)
        return Counter((row["league"], row["minute"], row["predictions"]) for row in told.to_pylist())

    commits.append(catalog, settle.OUTCOMES, settle.outcomes(catalog))
    # Here a round broke off: the next one finds no outcome that is due, and tells what is untold.
    assert settle.outcomes(catalog).num_rows == 0
    first = {(league, *one): 1 for league in ("LCK", None) for one in ((-1, 2), (0, 1), (1, 1))}
    assert round_of() == first
    assert round_of() == {}
    # An outcome in minute 1 of no league changes that minute and the whole, and only over all leagues; of two
    # matches that ended at once the same is always the newest.
    put(catalog, SAID, [said(3, match_id="m2", game_time_ms=65_000)])
    commits.append(catalog, settle.OUTCOMES, settle.outcomes(catalog))
    assert round_of() == {(None, -1, 3): 1, (None, 1, 2): 1}
    put(catalog, SAID, [said(4, "Bang", match_id="other", game_time_ms=65_000)])
    commits.append(catalog, settle.OUTCOMES, settle.outcomes(catalog))
    assert round_of() == {("LCK", -1, 3): 1, ("LCK", 1, 2): 1, (None, -1, 4): 1, (None, 1, 3): 1}
    assert [round_of() for _ in range(3)] == [{}] * 3
