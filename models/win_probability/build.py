"""From matches to a model with its card: what ``rift models train win_probability`` does."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xgboost as xgb

from models import distribution, provenance
from models.artefact import BOOSTER, INTERVAL, INTERVAL_ONNX, ONNX, artefact_folder, digest
from models.card import write_card
from models.win_probability import card, data, evaluate, export, flow, interval, pre_match, train
from models.win_probability.features import FEATURES, MODEL, SERVICE
from models.win_probability.model import INTERVAL_KNOWN, PRE_MATCH_INPUT, WinProbability

SEED = 20171
VERSION = "3"
REPLICATES = 20
STEPS = 4 + len(train.REHEARSED) + REPLICATES
FILES = (BOOSTER, ONNX, INTERVAL_ONNX, INTERVAL, INTERVAL_KNOWN, flow.FILE, pre_match.FILE)

Tell = Callable[[str, int], None]
"""Told what is being done, and how many of ``STEPS`` were done since the last time."""


def _silent(_: str, __: int) -> None:
    return None


def build(
    corpus: data.Corpus,
    out: Path | None = None,
    *,
    source: str,
    snapshot_id: int | None = None,
    version: str = VERSION,
    seed: int = SEED,
    replicates: int = REPLICATES,
    tell: Tell = _silent,
) -> dict[str, Any]:
    """Train, calibrate, evaluate and write the artefact.

    Args:
        corpus: The states and what was known before each match, see ``data.load``.
        out: Folder to write; the committed artefact's by default.
        source: Name of the data, for the card.
        snapshot_id: Iceberg snapshot of the events, where they are of the lake.
        version: Version of the model, a number as text.
        seed: Seed of everything random. The same matches, seed and library versions give the same files.
        replicates: Fits to other draws of matches, for the interval.
        tell: Told of progress.

    Returns:
        The card, as in ``card.json``.

    Raises:
        ModelError: The matches do not cover the seasons that are needed.
    """
    out = out or artefact_folder(MODEL)
    tell("fitting", 0)
    training = data.sampled(corpus, corpus.matches("train"))
    fitted = train.fit(training, seed)
    penalty, losses = train.choose_penalty(corpus)
    before = train.fit_before(corpus, corpus.matches("train"), penalty, version=version)
    tell("rehearsing seasons", 1)
    rehearsals = train.rehearse(corpus, seed, penalty, lambda: tell("rehearsing seasons", 1))
    platt = train.calibrate_on(rehearsals)
    flowing = train.flow_on(rehearsals, platt, version=version)
    booster = train.bake(fitted, platt)
    tell("other draws of matches", 0)
    alone, both = train.spread(
        corpus, rehearsals, seed, replicates, penalty, lambda: tell("other draws of matches", 1)
    )
    tables = _tables(corpus, booster, flowing, before, rehearsals, (alone, both))
    table, known_table = (of for of, _ in tables.values())
    model = WinProbability(booster, table, known_table, flowing, before)

    out.mkdir(parents=True, exist_ok=True)
    (out / BOOSTER).write_bytes(booster.save_raw("ubj"))
    (out / ONNX).write_bytes(export.whole(model))
    (out / INTERVAL_ONNX).write_bytes(export.interval(table))
    for name, of in ((INTERVAL, table), (INTERVAL_KNOWN, known_table)):
        (out / name).write_text(json.dumps(asdict(of), indent=1) + "\n")
    flow.save(flowing, out)
    pre_match.save(before, out)
    metrics = {}
    for split in ("validation", "test"):
        tell(f"evaluating on {split}", 1)
        metrics[split] = evaluate.evaluate(model, corpus, split, seed)
    tell("writing the card", 1)
    distribution.write(out, SERVICE, [f"match_state:{name}" for name in FEATURES], corpus)
    return write_card(
        out,
        {
            "name": MODEL,
            "version": version,
            "feature_service": SERVICE,
            "features": list(FEATURES),
            "optional_inputs": [PRE_MATCH_INPUT],
            "interval_level": table.level,
            "interval_inflation": {name: of.inflation for name, (of, _) in tables.items()},
            "interval_rehearsed": {name: covered for name, (_, covered) in tables.items()},
            "base_rate": float(corpus.won[corpus.matches("train")].mean()),
            "seed": seed,
            "parameters": {**train.PARAMS, "rounds": train.ROUNDS},
            "calibration": {**asdict(platt), "seasons": list(train.REHEARSED)},
            "flow": asdict(flowing),
            "pre_match": {**asdict(before), "validation_log_loss": losses},
            "replicates": replicates,
            "data": {
                "source": source,
                **({} if snapshot_id is None else {"snapshot_id": snapshot_id}),
                "sha256": corpus.sha256,
                "events": corpus.events,
                "states": len(corpus.match),
                "excluded": corpus.excluded,
            },
            "splits": {name: _split(corpus, name) for name in data.SPLITS},
            "training_rows": len(training.won),
            **provenance.code(MODEL),
            "versions": provenance.versions(),
            "files": {name: digest(out / name) for name in FILES},
            "metrics": metrics,
        },
        card.markdown,
        card.diagram,
    )


def _tables(
    corpus: data.Corpus,
    booster: xgb.Booster,
    flowing: flow.Flow,
    before: pre_match.PreMatch,
    rehearsals: list[train.Rehearsal],
    others: tuple[np.ndarray, np.ndarray],
) -> dict[str, tuple[interval.Table, dict[str, float]]]:
    """The interval by the live state alone, and that with what was known before.

    Each with the share of groups that it covers of each rehearsed season.
    """
    states = data.at_minutes(corpus, corpus.matches("validation"))
    margins = booster.inplace_predict(states.matrix, predict_type="margin", validate_features=False)
    live = np.asarray(margins, dtype=np.float64)
    known = before.log_odds(corpus.before)[states.match]
    clock = states.matrix[:, FEATURES.index("clock_ms")]
    tables = {}
    for name, log_odds, spread in (
        ("live", live, others[0]),
        ("known", flowing(live, known, clock), others[1]),
    ):
        seasons = interval.rehearsed(rehearsals, name == "known", len(corpus.matches("train")))
        table = interval.make(states, log_odds, spread, partial(interval.rehearsed_coverage, seasons=seasons))
        tables[name] = table, {season.name: season.covered(table)["covered"] for season in seasons}
    return tables


def _split(corpus: data.Corpus, name: str) -> dict[str, Any]:
    matches = corpus.matches(name)
    return {
        "seasons": sorted(set(corpus.season[matches].tolist())),
        "matches": len(matches),
        "blue_wins": int(corpus.won[matches].sum()),
        "states_at_minutes": len(data.at_minutes(corpus, matches).won),
    }
