"""Outcomes of predictions and quality of models, as history_to_lake.sql tells them, against plain Python."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from jobs import ddl, session, sqlfile
from models import metrics
from streams.avro import Record
from streams.schemas import for_topic

JOB = sqlfile.load("history_to_lake")
MATCHES = 40
KEPT = 25
OUTCOMES = "prediction_outcomes_rows"
NOON = 1_497_000_000_000
MODELS = (("win_probability", "1"), ("win_probability", "2"))


def _log() -> tuple[list[Record], list[Record]]:
    """Predictions of many matches, some told twice, some of nobody's interest; and how the matches ended."""
    chance = random.Random(20161016)  # noqa: S311
    said: list[Record] = []
    ends: list[Record] = []
    for match in range(MATCHES):
        match_id, time = f"m{match}", NOON + match * 3_600_000
        for clock in range(0, 1_800_000, 95_000):
            for name, version in MODELS:
                made: Record = {
                    "prediction_id": f"{match_id} {name} {version} {clock}",
                    "model_name": name,
                    "model_version": version,
                    "subject_type": "match",
                    "subject_id": match_id,
                    "match_id": match_id,
                    "game_time_ms": clock,
                    "event_time": time + clock,
                    "probability": chance.choice((0.0, 1.0, chance.random(), chance.random())),
                }
                said.append(made)
                if chance.random() < 0.1:
                    said.append(made)
        said.append(said[-1] | {"prediction_id": f"{match_id} p", "subject_type": "player"})
        said.append(said[-2] | {"prediction_id": f"{match_id} n", "probability": None})
        end: Record = {
            "match_id": match_id,
            "status": "remade" if match % 10 == 3 else "completed",
            "winner": None if match % 10 == 3 else chance.choice(("blue", "red")),
            "league": chance.choice((None, "LCK", "LEC")),
            "event_time": time + 1_800_000,
            "game_time_ms": 1_800_000,
            "source_partition": 1,
            "source_offset": 100 + match,
        }
        if match % 7:
            ends.append(end)
    return said, ends


def _table(environment: Any, topic: str, rows: list[Record], folder: Path) -> None:
    """A topic as a table of rows in their order, as the stream has it."""
    schema = for_topic(topic)
    empty = dict.fromkeys(field.name for field in schema.fields)
    file = folder / f"{topic}.jsonl"
    file.write_bytes(b"".join(orjson.dumps(empty | row) + b"\n" for row in rows))
    columns = [f"`{field.name}` {ddl.column_type(field)}" for field in schema.fields]
    columns += ["decode_error STRING", "log_order AS PROCTIME()"]
    environment.execute_sql(f"""CREATE TEMPORARY TABLE {ddl.table_name(topic)} ({", ".join(columns)})
        WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'json')""")


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> list[Record]:
    """Outcomes that the job tells; predictions and ends are read side by side, in any order."""
    folder = tmp_path_factory.mktemp("outcomes")
    environment = session.environment(session.LOCAL, options=JOB.settings)
    said, ends = _log()
    _table(environment, "predictions", said, folder)
    _table(environment, "match-results", ends, folder)
    for name in ("match_results_rows", "predictions_rows", "said_and_done", "settled", "outcomes", OUTCOMES):
        environment.execute_sql(JOB.views[name])
    told: list[Record] = session.written(environment, OUTCOMES, folder / "written").to_pylist()
    return told


def test_every_prediction_of_a_completed_match_has_its_outcome_once(told: list[Record]) -> None:
    said, ends = _log()
    won = {end["match_id"]: end for end in ends if end["winner"]}
    wanted = {
        p["prediction_id"]: (p["probability"], won[p["match_id"]]["winner"], p["game_time_ms"] // 60_000)
        for p in said
        if p["match_id"] in won and p["subject_type"] == "match" and p["probability"] is not None
    }
    assert len(told) == len(wanted)
    assert {r["prediction_id"]: (r["probability"], r["winner"], r["minute"]) for r in told} == wanted
    for row in told:
        y, p = int(row["winner"] == "blue"), row["probability"]
        assert row["outcome"] == y
        assert row["squared_error"] == pytest.approx((p - y) ** 2, abs=1e-12)
        right = min(max(p if y else 1 - p, 1e-7), 1 - 1e-7)
        assert row["log_loss"] == pytest.approx(-np.log(right), abs=1e-9)
        assert (row["league"], row["source_offset"]) == tuple(
            won[row["match_id"]][name] for name in ("league", "source_offset")
        )


def _heard() -> list[Record]:
    """Matches of models in the order in which they ended, two of them told in two parts."""
    chance = random.Random(20170105)  # noqa: S311
    rows = []
    for match in range(MATCHES):
        for name, version in MODELS:
            for scope in (None, "LCK") if match % 3 else (None,):
                minutes = [clock for clock in range(0, 30, 4) for _ in range(chance.randrange(3))]
                rows.append(
                    {
                        "model_name": name,
                        "model_version": version,
                        "scope": scope,
                        "match_id": f"m{match - 3 if match in (9, 30) else match}",
                        "winner": "blue" if match % 2 else "red",
                        "minutes": minutes,
                        "probabilities": [chance.choice((0.0, 1.0, chance.random())) for _ in minutes],
                        "ended": NOON + match,
                        "clock_ms": 1_800_000,
                        "source_partition": 0,
                        "source_offset": match,
                    }
                )
    for row in rows:
        if row["match_id"] in ("m6", "m27"):
            row["winner"] = "blue"
    return rows


def test_quality_is_that_of_the_newest_matches_by_minute(tmp_path: Path) -> None:
    rows = _heard()
    file = tmp_path / "heard.jsonl"
    file.write_bytes(b"".join(orjson.dumps(row) + b"\n" for row in rows))
    environment = session.environment(session.LOCAL, options=JOB.settings)
    environment.execute_sql(f"""CREATE TEMPORARY TABLE scoped_models (
        model_name STRING, model_version STRING, `scope` STRING, match_id STRING, winner STRING,
        minutes ARRAY<INT>, probabilities ARRAY<DOUBLE>, ended BIGINT, clock_ms BIGINT, source_partition INT,
        source_offset BIGINT, log_order AS PROCTIME())
        WITH ('connector' = 'filesystem', 'path' = '{file.as_uri()}', 'format' = 'json')""")
    assert "QUALITY(200," in JOB.views["rolling"]
    environment.execute_sql(JOB.views["rolling"].replace("QUALITY(200,", f"QUALITY({KEPT},"))
    environment.execute_sql(JOB.views["model_quality_rows"])
    told = session.written(environment, "model_quality_rows", tmp_path / "written").to_pylist()
    found = {(r["model_version"], r["league"], r["source_offset"], r["minute"]): r for r in told}

    kept: dict[tuple[Any, ...], dict[str, list[Record]]] = defaultdict(dict)
    checked = 0
    for row in rows:
        newest = kept[row["model_version"], row["scope"]]
        newest.setdefault(row["match_id"], []).append(row)
        if len(newest) > KEPT:
            del newest[next(iter(newest))]
        for minute in {-1, *row["minutes"]}:
            counted = [
                (match, p, one["winner"] == "blue")
                for match, parts in newest.items()
                for one in parts
                for clock, p in zip(one["minutes"], one["probabilities"], strict=True)
                if minute in (-1, clock)
            ]
            record = found.pop((row["model_version"], row["scope"], row["source_offset"], minute))
            p = np.array([said for _, said, _ in counted])
            y = np.array([float(won) for _, _, won in counted])
            even = np.ones(len(p))
            assert record["matches"] == len({match for match, _, _ in counted})
            assert record["predictions"] == len(counted)
            assert record["brier"] == pytest.approx(metrics.brier(p, y, even))
            assert record["log_loss"] == pytest.approx(metrics.log_loss(p, y, even))
            assert record["ece"] == pytest.approx(metrics.ece(p, y, even))
            checked += 1
    assert found == {}
    assert checked > 500
