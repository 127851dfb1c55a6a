"""``rift models compare``: two versions against what happened, as Bayes would have it.

Both are judged on the matches that both predicted, live or in shadow, and whose result is known. A match
counts once: its score is the mean squared error (Brier) of a version's predictions at the moments at which
both spoke. The Bayesian bootstrap (Rubin 1981) over matches gives the probability that a version's expected
score is lower, and an interval of the difference: matches are independent, and what was said within one is
not.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated

import numpy as np
import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import ModelError
from streams.avro import Record

DRAWS = 10_000
LEVEL = 0.95
FEWEST = 5
SEED = 20240917


@dataclass(frozen=True)
class Compared:
    """How two versions fared on the same matches.

    Attributes:
        model: The model.
        versions: The two versions.
        matches: Matches that both predicted and whose result is known.
        moments: Moments of these matches at which both spoke.
        brier: Mean Brier score of each version over the matches.
        difference: The second's score less the first's; below 0 the second is better.
        interval: Ends of the interval that holds the difference with ``level``.
        level: Its probability.
        better: Probability that the second version is better.
    """

    model: str
    versions: tuple[str, str]
    matches: int
    moments: int
    brier: tuple[float, float]
    difference: float
    interval: tuple[float, float]
    level: float
    better: float


def compare(
    model: str,
    versions: tuple[str, str],
    predictions: Iterable[Record],
    winners: Mapping[str, str],
    draws: int = DRAWS,
) -> Compared:
    """Compare two versions.

    Args:
        model: The model.
        versions: The two versions.
        predictions: Records of ``predictions``, in any order; answers to requests and degraded ones count
            for nothing.
        winners: ``blue`` or ``red``, by match.
        draws: Draws from the posterior.

    Raises:
        ModelError: Fewer than five matches can be compared.
    """
    said = _by_match(model, versions, predictions, winners)
    scores, moments = [], 0
    for match, (first, second) in said.items():
        both = sorted(first.keys() & second.keys())
        if both:
            won = float(winners[match] == "blue")
            scores.append([np.mean([(one[at] - won) ** 2 for at in both]) for one in (first, second)])
            moments += len(both)
    if len(scores) < FEWEST:
        raise ModelError(
            f"{len(scores)} matches can be compared, {FEWEST} are needed.",
            "Both versions must have predicted them, live or in shadow, and they must have ended.",
        )
    table = np.array(scores)
    gains = table[:, 1] - table[:, 0]
    weights = np.random.default_rng(SEED).dirichlet(np.ones(len(gains)), draws)
    posterior = weights @ gains
    low, high = np.quantile(posterior, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    first_score, second_score = table.mean(axis=0)
    return Compared(
        model,
        versions,
        len(scores),
        moments,
        (float(first_score), float(second_score)),
        float(gains.mean()),
        (float(low), float(high)),
        LEVEL,
        float((posterior < 0).mean()),
    )


_Said = dict[tuple[int, int], float]


def _by_match(
    model: str, versions: tuple[str, str], predictions: Iterable[Record], winners: Mapping[str, str]
) -> dict[str, tuple[_Said, _Said]]:
    """Probabilities of each version by match and place in the log."""
    found: dict[str, tuple[_Said, _Said]] = {}
    for record in predictions:
        match = record["match_id"]
        if record["model_name"] != model or match not in winners or record["probability"] is None:
            continue
        if record["model_version"] in versions and record["request_id"] is None and not record["degraded"]:
            place = (record["source_partition"], record["source_offset"])
            both = found.setdefault(match, ({}, {}))
            both[versions.index(record["model_version"])][place] = record["probability"]
    return found


def register(models: typer.Typer) -> None:
    """Add ``rift models compare``."""
    models.command("compare")(_compare)


def _compare(
    name: Annotated[str, typer.Argument(help="The model.")],
    first: Annotated[str, typer.Argument(help="The version to compare with, such as the live one.")],
    second: Annotated[str, typer.Argument(help="The version in question, such as one in shadow.")],
    json: JsonFlag = False,
) -> None:
    """Compare two versions on what happened: Brier over the matches that both predicted.

    Example: rift models compare win_probability 1 2
    """
    from riftstream.cli.reading import kept

    if first == second:
        raise ModelError("A version is compared with another one.")
    with err.status("reading results and predictions"):
        results = (got.record for got in kept("match-results"))
        winners = {one["match_id"]: one["winner"] for one in results if one["winner"] in ("blue", "red")}
        found = compare(name, (first, second), (got.record for got in kept("predictions")), winners)
    if json:
        print_json(found)
        return
    _show(found)


def _show(found: Compared) -> None:
    first, second = found.versions
    out.print(f"{found.matches} matches, {found.moments} moments at which both spoke", highlight=False)
    for version, score in zip(found.versions, found.brier, strict=True):
        out.print(f"Brier of {version:<8} {score:.4f}", highlight=False)
    low, high = found.interval
    out.print(
        f"{second} less {first}: {found.difference:+.4f}, with {found.level:.0%} between {low:+.4f} and "
        f"{high:+.4f}",
        highlight=False,
    )
    out.print(f"{second} is better with {found.better:.1%}", highlight=False)
