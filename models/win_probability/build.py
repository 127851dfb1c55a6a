"""From matches to a model with its card: what ``rift models train`` does."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import xgboost as xgb

from models import distribution
from models.artefact import BOOSTER, INTERVAL, INTERVAL_ONNX, ONNX, artefact_folder, digest
from models.win_probability import card, data, evaluate, export, interval, train
from models.win_probability.features import FEATURES, MODEL, SERVICE

SEED = 20171
REPLICATES = 20
STEPS = 5 + len(train.REHEARSED) + REPLICATES

Tell = Callable[[str, int], None]
"""Told what is being done, and how many of ``STEPS`` were done since the last time."""


def _silent(_: str, __: int) -> None:
    return None


def build(
    matches: Iterable[list[data.Event]],
    out: Path | None = None,
    *,
    source: str,
    version: str = "1",
    seed: int = SEED,
    replicates: int = REPLICATES,
    tell: Tell = _silent,
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write the artefact.

    Args:
        matches: Events of each match, in log order.
        out: Folder to write; the committed artefact's by default.
        source: Name of the data, for the card.
        version: Version of the model, a number as text.
        seed: Seed of everything random. The same matches, seed and library versions give the same files.
        replicates: Fits to other draws of matches, for the interval.
        tell: Told of progress.

    Returns:
        The card, as in ``card.json``.

    Raises:
        JobError: Flink could not run the SQL.
        ModelError: The matches do not cover the seasons that are needed.
    """
    out = out or artefact_folder(MODEL)
    tell("features by the streaming SQL", 0)
    corpus = data.load(matches)
    tell("fitting", 1)
    training = data.sampled(corpus, corpus.matches("train"))
    fitted = train.fit(training, seed)
    tell("rehearsing seasons", 1)
    rehearsals = train.rehearse(corpus, seed, lambda: tell("rehearsing seasons", 1))
    platt = train.calibrate_on(rehearsals)
    booster = train.bake(fitted, platt)
    tell("other draws of matches", 0)
    others = train.spread(corpus, rehearsals, seed, replicates, lambda: tell("other draws of matches", 1))
    validation = data.at_minutes(corpus, corpus.matches("validation"))
    log_odds = evaluate.log_odds(booster, validation.matrix)
    table = interval.make(validation, log_odds, others, rehearsals)

    out.mkdir(parents=True, exist_ok=True)
    (out / BOOSTER).write_bytes(booster.save_raw("ubj"))
    (out / ONNX).write_bytes(export.whole(booster, table))
    (out / INTERVAL_ONNX).write_bytes(export.interval(table))
    (out / INTERVAL).write_text(json.dumps(asdict(table), indent=1) + "\n")
    metrics = {}
    for split in ("validation", "test"):
        tell(f"evaluating on {split}", 1)
        metrics[split] = evaluate.evaluate(booster, table, corpus, split, seed)
    tell("writing the card", 1)
    distribution.write(out, SERVICE, [f"match_state:{name}" for name in FEATURES], corpus)
    return card.write(
        out,
        {
            "name": MODEL,
            "version": version,
            "feature_service": SERVICE,
            "features": list(FEATURES),
            "interval_level": table.level,
            "interval_inflation": table.inflation,
            "base_rate": float(corpus.won[corpus.matches("train")].mean()),
            "seed": seed,
            "parameters": {**train.PARAMS, "rounds": train.ROUNDS},
            "calibration": {**asdict(platt), "seasons": list(train.REHEARSED)},
            "replicates": replicates,
            "data": {
                "source": source,
                "sha256": corpus.sha256,
                "events": corpus.events,
                "states": len(corpus.match),
                "excluded": corpus.excluded,
            },
            "splits": {name: _split(corpus, name) for name in data.SPLITS},
            "training_rows": len(training.won),
            "versions": {
                "python": ".".join(map(str, sys.version_info[:2])),
                "xgboost": xgb.__version__,
                "numpy": np.__version__,
                "onnx": onnx.__version__,
            },
            "files": {name: digest(out / name) for name in (BOOSTER, ONNX, INTERVAL_ONNX, INTERVAL)},
            "metrics": metrics,
        },
    )


def _split(corpus: data.Corpus, name: str) -> dict[str, Any]:
    matches = corpus.matches(name)
    return {
        "seasons": sorted(set(corpus.season[matches].tolist())),
        "matches": len(matches),
        "blue_wins": int(corpus.won[matches].sum()),
        "states_at_minutes": len(data.at_minutes(corpus, matches).won),
    }
