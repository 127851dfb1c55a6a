"""How good the committed models are, as a page: what ``rift reference`` writes of their cards."""

from __future__ import annotations

import json
from typing import Any

from models.artefact import artefact_folder
from models.card import DIAGRAM
from models.markdown import ranged, table

_NAMES = {"model": "model", "logistic": "logistic regression", "base_rate": "base rate"}
_BASELINES = {"player_mean": "running mean", "role_mean": "role mean"}
_METRICS = {"brier": "Brier", "log_loss": "log loss", "auc": "AUC", "ece": "ECE"}
_COUNTED = ("kills", "deaths", "assists")


def page() -> str:
    """The page about all committed models, without its title.

    Raises:
        OSError: A model has no card.
    """
    return "\n\n".join((_ABOUT, *_win_probability(), *_player_props())) + "\n"


_ABOUT = """From the cards in `models/NAME/artefact`, which training writes; for other matches
`rift models evaluate NAME --data WHERE` gives the same figures. Square brackets hold 95 % bootstrap intervals
over whole matches."""


def _card(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((artefact_folder(name) / "card.json").read_bytes())
    return found


def _head(card: dict[str, Any]) -> str:
    test, data = card["splits"]["test"], card["data"]
    return f"""## {card["name"]}

Version {card["version"]}, from {data["source"]} (SHA-256 of the events `{data["sha256"][:16]}`). Judged on
{card["metrics"]["test"]["matches"]:,} matches of {", ".join(test["seasons"])}, none of which was learnt from
or chosen on. [Its card](../../models/{card["name"]}/artefact/card.md)."""


def _diagram(card: dict[str, Any]) -> str:
    return f"![Reliability of {card['name']}](../../models/{card['name']}/artefact/{DIAGRAM})"


def _win_probability() -> list[str]:
    card = _card("win_probability")
    test = card["metrics"]["test"]
    pooled = [
        (words, *(ranged(test["pooled"][name][metric]) for metric in _METRICS))
        for name, words in _NAMES.items()
    ]
    interval = [
        (
            split,
            f"{of['level']:.0%}",
            f"{of['covered']:.1%} of {of['groups']} groups",
            f"{of['mean_width']:.3f}",
        )
        for split in ("validation", "test")
        for of in (card["metrics"][split]["interval"],)
    ]
    return [
        _head(card),
        "All states of minutes 1 to 40:",
        table(("", *_METRICS.values()), pooled),
        _diagram(card),
        "The interval round the probability, where something is known before the match:",
        table(("split", "stated", "covered", "mean width"), interval),
        *(_by_minute(test, metric) for metric in _METRICS),
    ]


def _by_minute(test: dict[str, Any], metric: str) -> str:
    head: tuple[str, ...] = ("minute", "matches", *_NAMES.values())
    rows = [
        (row["minute"], row["matches"], *(ranged(row[name][metric], ".3f") for name in _NAMES))
        for row in test["by_minute"]
    ]
    if metric == "brier":
        head += ("model less logistic",)
        rows = [
            (*row, ranged(of["brier_less_logistic"], "+.4f"))
            for row, of in zip(rows, test["by_minute"], strict=True)
        ]
    return f"### {_METRICS[metric]} by minute\n\n{table(head, rows)}"


def _player_props() -> list[str]:
    card = _card("player_props")
    test = card["metrics"]["test"]
    names = ("model", *_BASELINES)
    scores, calibration = [], []
    for stat, of in test["stats"].items():
        for row in of:
            head = (stat, row["minute"])
            scores.append(
                (
                    *head,
                    *(ranged(row[name]["crps"], ".3f") for name in names),
                    *(ranged(row[name]["log_score"], ".3f") for name in names),
                )
            )
            calibration.append(
                (
                    *head,
                    *(f"{one['covered']:.1%} ({one['said']:.1%})" for one in row["model"]["coverage"]),
                    *(f"{row[name]['over_ece']:.3f}" for name in names),
                )
            )
    words = ("model", *_BASELINES.values())
    levels = [f"{one['level']:.0%} interval" for one in test["stats"]["kills"][0]["model"]["coverage"]]
    return [
        _head(card),
        "Scores, lower is better; minute 0 is before the match:",
        table(
            (
                "stat",
                "minute",
                *(f"CRPS, {name}" for name in words),
                *(f"log score, {name}" for name in words),
            ),
            scores,
        ),
        "How often the model's central interval holds what came (how often it says so: counts are coarse), "
        "and the expected calibration error of P(over) at the half line that the player's running mean sets:",
        table(("stat", "minute", *levels, *(f"ECE, {name}" for name in words)), calibration),
        _diagram(card),
        "### Champions\n\nScores before the match with the pack of champion effects less those without it, "
        "by games of the champion in training; below 0 the pack is better.",
        table(
            ("games seen", "champions", "players", *_gain_words()),
            [
                (f"{group['from']} and more", group["champions"], group["players"], *_gains(group))
                for group in test["champions"]
            ],
        ),
        "### Patch and season\n\nThe same for the rates of the patch or season as they were known before "
        "each match.",
        table(
            ("stat", "CRPS", "log score"),
            [
                (stat, *(ranged(of[score], "+.4f") for score in ("crps", "log_score")))
                for stat, of in test["meta"].items()
            ],
        ),
    ]


def _gain_words() -> list[str]:
    return [f"{score}, {stat}" for score in ("CRPS", "log score") for stat in _COUNTED]


def _gains(group: dict[str, Any]) -> list[str]:
    return [ranged(group[stat][score], "+.4f") for score in ("crps", "log_score") for stat in _COUNTED]
