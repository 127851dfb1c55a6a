"""``rift predict``: what is predicted of a match or a player, with where it came from, in words."""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum
from typing import Annotated

import typer

from riftstream.cli import words
from riftstream.cli.live import MODEL
from riftstream.console import JsonFlag, out, print_json
from riftstream.errors import RiftError, StackError
from riftstream.settings import get_settings
from streams.avro import Record


class Statistic(StrEnum):
    """What of a player can be asked for."""

    KILLS = "kills"
    DEATHS = "deaths"
    ASSISTS = "assists"


class Side(StrEnum):
    """Sides of the map."""

    BLUE = "blue"
    RED = "red"


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


def describe_player(answers: list[Record]) -> list[tuple[str, str]]:
    """What is said of a player as labelled lines for people.

    Args:
        answers: Answers of the API about the player, one a statistic.
    """
    first = answers[0]
    lines = [("player", first["subject_id"]), ("map", _map(first))]
    for answer in answers:
        low, middle, high = (answer["quantiles"][name] for name in ("5", "50", "95"))
        text = f"{answer['mean']:.1f} on average, median {middle}, {low} to {high} in nine maps of ten"
        if answer["line"] is not None:
            text += f"; over {answer['line']:g} with {100 * answer['probability']:.1f} %"
            if answer["push"]:
                text += f", exactly {answer['line']:g} with {100 * answer['push']:.1f} %"
        lines.append((answer["statistic"], text))
    if first["degraded"]:
        lines.append(("note", "a fallback answer, not the model's own"))
    lines += [
        ("model", f"{first['model_name']} {first['model_version']}"),
        ("features", f"{first['feature_service']}, SHA-256 {first['features_sha256']}"),
    ]
    return lines


def ask_player(
    player: str, statistics: Sequence[str], line: float | None, **told: str | int | None
) -> list[Record] | None:
    """Answers about a player by the API; None where it knows of no such player, or answers for none.

    Args:
        player: The player.
        statistics: What is asked for.
        line: The line that is to be beaten; None for none.
        told: What else the question says, by the names of ``Question``.

    Raises:
        StackError: The API does not answer.
        RiftError: It refuses the question.
    """
    import httpx

    url = get_settings().api_url
    question = {"subject_type": "player", "subject_id": player, "line": line, **told}
    answers = []
    try:
        with httpx.Client(base_url=url, timeout=10, trust_env=False) as api:
            for statistic in statistics:
                found = api.post("/v1/predict/single", json=question | {"statistic": statistic})
                if found.status_code == httpx.codes.NOT_FOUND:
                    return None
                if found.status_code != httpx.codes.OK:
                    raise RiftError(found.json()["detail"])
                answers.append(found.json())
    except httpx.HTTPError as cause:
        raise StackError(f"The API at {url} does not answer: {cause}.", "Start it with 'rift up'.") from cause
    return answers


def _map(answer: Record) -> str:
    """Which map an answer about a player is of, and what was taken into account."""
    told = answer.get("context") or {}
    texts = (("team", "for {}"), ("opponent", "against {}"), ("side", "on {}"), ("champion", "with {}"))
    parts = " ".join(text.format(told[name]) for name, text in texts if told.get(name))
    which = "the next map"
    if told.get("match_id"):
        score = "/".join(str(told[name]) for name in ("kills", "deaths", "assists"))
        which = f"{told['match_id']} at {words.clock(told['game_time_ms'])}, {score} so far"
    if answer["maps"] is not None and answer["maps"] > 1:
        which += f" and those after it, {answer['maps']} in all"
    return f"{which}, {parts}" if parts else which


def _show(lines: list[tuple[str, str]]) -> None:
    for label, text in lines:
        out.print(f"[dim]{label:>9}[/dim]  ", end="")
        out.print(text, markup=False, highlight=False, soft_wrap=True)


def _predict(
    subject: Annotated[str, typer.Argument(help="The match or player, for example TRLH1/30030.")],
    at: Annotated[
        str | None, typer.Option("--at", help="The newest prediction at this match clock, for example 27:32.")
    ] = None,
    statistic: Annotated[
        Statistic | None, typer.Option(help="Of a player: only this statistic; all by default.")
    ] = None,
    line: Annotated[
        float | None, typer.Option(min=0, max=1000, help="Of a player: the line that is to be beaten.")
    ] = None,
    opponent: Annotated[str | None, typer.Option(help="Of a player: the other team of the next map.")] = None,
    side: Annotated[Side | None, typer.Option(help="Of a player: the side in the next map.")] = None,
    champion: Annotated[str | None, typer.Option(help="Of a player: the champion in the next map.")] = None,
    maps: Annotated[
        int | None, typer.Option(min=1, max=3, help="Of a player: summed over so many maps of a series.")
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Show what is predicted: the newest of a match, or a player's statistics in the map played or to come.

    Example: rift predict TRLH1/30030 --at 20:00
    """
    from riftstream.cli.reading import newest, unknown_match

    limit = None if at is None else words.parse_clock(at)
    told = {"opponent": opponent, "side": side and side.value, "champion": champion, "maps": maps}
    about_player = any(one is not None for one in (statistic, line, *told.values()))
    prediction = None if about_player else newest(subject, lambda record: _wanted(record, limit))
    if prediction is None and limit is not None and newest(subject, lambda record: _wanted(record, None)):
        raise RiftError(f"The match {subject} has no prediction at or before {words.clock(limit)}.")
    if prediction is not None:
        print_json(prediction) if json else _show(describe(prediction))
        return
    wanted = [statistic.value] if statistic else [one.value for one in Statistic]
    answers = None if limit is not None else ask_player(subject, wanted, line, **told)
    if answers is None and about_player:
        raise RiftError(f"Nothing is known of a player {subject}.", "Names are as the source spells them.")
    if answers is None:
        raise unknown_match(subject)
    print_json(answers) if json else _show(describe_player(answers))


def _wanted(record: Record, limit: int | None) -> bool:
    if record["subject_type"] != "match" or record["model_name"] != MODEL:
        return False
    if record["shadow"] or record["request_id"] is not None:
        return False
    return limit is None or bool(record["game_time_ms"] <= limit)
