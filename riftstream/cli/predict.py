"""``rift predict``: the newest prediction of a match, with where it came from, in words."""

from __future__ import annotations

from typing import Annotated

import typer

from riftstream.cli import words
from riftstream.cli.live import MODEL
from riftstream.console import JsonFlag, out, print_json
from riftstream.errors import RiftError
from streams.avro import Record

_HOPS = (
    ("kafka", "age_kafka_ms"),
    ("flink", "age_flink_ms"),
    ("features", "age_features_ms"),
    ("model", "age_model_ms"),
    ("published", "age_published_ms"),
)


def describe(prediction: Record) -> list[tuple[str, str]]:
    """A prediction as labelled lines for people.

    Args:
        prediction: A ``Prediction`` about a match.
    """
    lines = [
        ("match", _match(prediction)),
        ("says", _says(prediction)),
        ("model", f"{prediction['model_name']} {prediction['model_version']}"),
        ("features", f"{prediction['feature_service']}, SHA-256 {prediction['features_sha256']}"),
        ("covers", _covers(prediction)),
        ("made", words.moment(prediction["as_of"])),
        ("age", _ages(prediction)),
        ("id", prediction["prediction_id"]),
    ]
    if prediction["degraded"]:
        lines.insert(2, ("note", "a fallback answer, not the model's own"))
    return lines


def _match(prediction: Record) -> str:
    teams = f"{prediction['blue_team'] or 'blue'} (blue) v {prediction['red_team'] or 'red'} (red)"
    return ", ".join(filter(None, (teams, prediction["league"], prediction["match_id"])))


def _says(prediction: Record) -> str:
    at = words.clock(prediction["game_time_ms"])
    blue = prediction["blue_team"] or "blue"
    if prediction["probability"] is None:
        return f"at {at}: no probability"
    text = f"at {at} {blue} wins with {100 * prediction['probability']:.1f} %"
    low, high, level = (prediction[f"interval_{end}"] for end in ("low", "high", "level"))
    if low is None or high is None:
        return text
    name = "interval" if level is None else f"{100 * level:.0f} % interval"
    return f"{text} ({name} {100 * low:.1f} to {100 * high:.1f} %)"


def _covers(prediction: Record) -> str:
    text = (
        f"{prediction['source_topic']} partition {prediction['source_partition']}"
        f" up to offset {prediction['source_offset']}"
    )
    if prediction["event_id"]:
        text += f", event {prediction['event_id']}"
    if prediction["watermark"] is not None:
        text += f"; watermark {words.moment(prediction['watermark'])}"
    return text


def _ages(prediction: Record) -> str:
    hops = [(name, prediction[key]) for name, key in _HOPS if prediction[key] is not None]
    return " → ".join(["event", *(f"{name} {words.age(value)}" for name, value in hops)])


def register(app: typer.Typer) -> None:
    """Add ``rift predict``."""
    app.command("predict")(_predict)


def _predict(
    match: Annotated[str, typer.Argument(help="The match, for example TRLH1/30030.")],
    at: Annotated[
        str | None, typer.Option("--at", help="The newest prediction at this match clock, for example 27:32.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show the newest prediction of a match, and everything needed to reproduce it.

    Example: rift predict TRLH1/30030 --at 20:00
    """
    from riftstream.cli.reading import newest, unknown_match

    limit = None if at is None else words.parse_clock(at)
    prediction = newest(match, lambda record: _wanted(record, limit))
    if prediction is None and limit is not None and newest(match, lambda record: _wanted(record, None)):
        raise RiftError(f"The match {match} has no prediction at or before {words.clock(limit)}.")
    if prediction is None:
        raise unknown_match(match)
    if json:
        print_json(prediction)
        return
    for label, text in describe(prediction):
        out.print(f"[dim]{label:>9}[/dim]  ", end="")
        out.print(text, markup=False, highlight=False, soft_wrap=True)


def _wanted(record: Record, limit: int | None) -> bool:
    if record["subject_type"] != "match" or record["model_name"] != MODEL or record["shadow"]:
        return False
    return limit is None or bool(record["game_time_ms"] <= limit)
