"""What the platform tells is in the lake by itself, once: predictions, outcomes, letters, feeds, models."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable
from typing import Any

import pytest
from pyiceberg.expressions import In
from typer.testing import CliRunner

from lakehouse import audit, settle
from lakehouse.catalog import connect
from lakehouse.tables import ARTEFACTS, DEFINITIONS
from models.publish import MODELS
from models.store import committed
from riftstream.cli import gather
from riftstream.cli import lake as lake_commands
from riftstream.errors import StackError
from riftstream.settings import Settings
from streams.avro import Record
from streams.client import Producer
from streams.sources import sample
from tests.integration.tools import event, new_match, now_ms, read_all, send, until, wait_for
from tests.lakehouse.lake import put
from tests.streams.sources.test_poller import game, serving

pytestmark = pytest.mark.stack


def _in_lake(stack: Settings, table: str, matches: set[str]) -> list[dict[str, Any]]:
    wanted = In("match_id", matches)  # type: ignore[call-arg]
    found: list[dict[str, Any]] = (
        connect(stack).load_table(table).scan(row_filter=wanted).to_arrow().to_pylist()
    )
    return found


def test_when_a_match_ends_every_prediction_of_it_has_its_outcome_in_the_lake(stack: Settings) -> None:
    run = new_match("lake")
    played: dict[str, list[Record]] = {}
    for match in sample.matches()[:3]:
        name = f"{run}/{match[0]['match_id']}"
        played[name] = [one | {"match_id": name, "event_id": f"{run}{one['event_id']}"} for one in match]
    bad = next(iter(played))
    send(stack, *(one for match in played.values() for one in match), event(bad, 9_999, "PENTAKILL"))
    winners = {name: match[-1]["winner"] for name, match in played.items()}

    def said() -> dict[str, Record]:
        rows = (row for row in read_all(stack, "predictions") if row["match_id"] in played)
        return {row["prediction_id"]: row for row in rows}

    sent = sum(map(len, played.values()))
    until(lambda: len(said()) == sent, "a prediction of every event", patience=60)
    wanted = said()

    def outcomes() -> list[dict[str, Any]]:
        return _in_lake(stack, "predictions.prediction_outcomes", set(played))

    until(lambda: len(outcomes()) >= len(wanted), "an outcome of every prediction in the lake", patience=60)
    found = outcomes()
    assert Counter(row["prediction_id"] for row in found) == Counter(dict.fromkeys(wanted, 1))
    for row in found:
        of = wanted[row["prediction_id"]]
        assert (row["probability"], row["game_time_ms"]) == (of["probability"], of["game_time_ms"])
        assert (row["winner"], row["outcome"]) == (
            winners[row["match_id"]],
            int(winners[row["match_id"]] == "blue"),
        )
    kept = Counter(row["prediction_id"] for row in _in_lake(stack, "predictions.predictions", set(played)))
    assert kept == Counter(dict.fromkeys(wanted, 1))

    ends = {(row["source_partition"], row["source_offset"]) for row in found}
    told = [
        row
        for row in read_all(stack, "model-quality")
        if (row["source_partition"], row["source_offset"]) in ends
    ]
    assert {row["minute"] for row in told} >= {-1, *(row["minute"] for row in found)}
    everything = [row for row in told if row["minute"] == -1 and row["league"] is None]
    assert len(everything) >= len(played)
    assert all(0 <= row["brier"] <= 1 and row["predictions"] > 0 for row in everything)

    def letters() -> list[str]:
        return [row["reason"] for row in _in_lake(stack, "raw.dead_letters", {bad})]

    until(lambda: letters() == ["unknown_event_type"], "the dead letter in the lake", patience=60)


def test_what_a_poller_read_is_in_the_lake_as_it_was_told(stack: Settings) -> None:
    match = new_match("polled")
    told: list[bytes] = []

    def answer(number: int, parameters: Any) -> tuple[int, bytes]:
        status, body = game(number, parameters)
        told.append(body)
        return status, body

    with serving(answer) as url:
        polled = CliRunner().invoke(
            gather(), ["poll", "live-client", url, "--every", "0.05", "--match", match, "--json"]
        )
    assert polled.exit_code == 0, polled.output
    sent = json.loads(polled.stdout)

    def rows() -> list[dict[str, Any]]:
        return sorted(_in_lake(stack, "raw.feed_snapshots", {match}), key=lambda row: row["log_offset"])

    until(lambda: len(rows()) >= len(told), "every answer in the lake", patience=60)
    found = rows()
    assert [row["body"] for row in found] == told
    for row in found:
        assert (row["feed"], row["url"], row["refused"]) == ("live-client", url, None)
        assert row["body_sha256"] == hashlib.sha256(row["body"]).hexdigest()
        assert row["body_bytes"] == len(row["body"])
    assert sum(row["events"] for row in found) == sent["events"] > 0


def test_predictions_of_a_player_get_their_outcome_from_what_the_match_made(stack: Settings) -> None:
    match, model = new_match("props"), new_match("props-model")
    played = [
        one | {"match_id": match, "event_id": f"{match}{one['event_id']}"} for one in sample.matches()[0]
    ]
    send(stack, *played)
    player = next(one["player_id"] for one in played if one["event_type"] == "CHAMPION_KILL")
    kills = sum(
        one["player_id"] == player for one in played if one["event_type"] == "CHAMPION_KILL" and one["team"]
    )
    base: Record = {
        "model_name": model,
        "model_version": "1",
        "subject_type": "player",
        "subject_id": player,
        "match_id": match,
        "player_id": player,
        "game_time_ms": 0,
        "event_time": played[0]["event_time"],
        "statistic": "kills",
        "feature_service": "none",
        "features_sha256": "0",
        "source_topic": "live-matches",
        "source_partition": 0,
        "source_offset": 0,
        "as_of": now_ms(),
        "degraded": False,
        "shadow": False,
    }
    asked = {
        "over": base | {"line": kills - 0.5, "probability": 0.75, "push": 0.0},
        "under": base | {"line": kills + 0.5, "probability": 0.75, "push": 0.0},
        "push": base | {"line": float(kills), "probability": 0.5, "push": 0.25},
        "no line": base | {"line": None, "probability": None, "push": None},
    }
    with Producer(stack, topic="predictions") as producer:
        for name, record in asked.items():
            producer.send(record | {"prediction_id": f"{model} {name}"})

    def came() -> bool:
        games = [row["player_id"] for row in _in_lake(stack, "raw.player_games", {match})]
        said = [row for row in _in_lake(stack, "predictions.predictions", {match}) if row["player_id"]]
        return player in games and len(said) == len(asked)

    def outcomes() -> dict[str, dict[str, Any]]:
        rows = _in_lake(stack, "predictions.prediction_outcomes", {match})
        return {row["prediction_id"]: row for row in rows if row["player_id"] == player}

    def settled() -> bool:
        try:
            settle.settle(stack)
        except StackError:
            return False  # The platform is at it by itself.
        return len(outcomes()) == len(asked) - 1

    until(came, "the predictions and the game in the lake", patience=90)
    until(settled, "outcomes of the predictions", patience=60)
    found = outcomes()
    assert {name: found[f"{model} {name}"]["outcome"] for name in ("over", "under", "push")} == {
        "over": 1,
        "under": 0,
        "push": None,
    }
    assert {row["value"] for row in found.values()} == {kills}
    assert found[f"{model} over"]["squared_error"] == pytest.approx(0.0625)
    quality = wait_for(stack, "model-quality", lambda row: row["model_name"] == model, count=2)
    overall = next(row for row in quality if row["minute"] == -1 and row["league"] is None)
    assert (overall["predictions"], overall["brier"]) == (2, pytest.approx((0.0625 + 0.5625) / 2))
    kept = [
        row
        for row in connect(stack).load_table("predictions.model_quality").scan().to_arrow().to_pylist()
        if row["model_name"] == model
    ]
    assert {(row["league"], row["minute"]) for row in kept} >= {(None, -1), (None, 0)}


def test_models_and_what_was_decided_about_them_are_in_the_lake_by_themselves(stack: Settings) -> None:
    model = new_match("model")
    update: Record = {"model_name": model, "model_version": "1", "action": "retire", "created_at": now_ms()}
    with Producer(stack, topic="model-updates") as producer:
        producer.send(update)
    catalog = connect(stack)

    def updates() -> list[str]:
        rows = catalog.load_table("models.updates").scan(selected_fields=("model_name", "action")).to_arrow()
        return [row["action"] for row in rows.to_pylist() if row["model_name"] == model]

    until(lambda: updates() == ["retire"], "the update in the lake", patience=60)
    cards = {card.sha256: card for name in MODELS if (card := committed(name))}

    def artefacts() -> set[str]:
        rows = catalog.load_table(ARTEFACTS).scan(selected_fields=("artefact_sha256",)).to_arrow()
        return set(rows["artefact_sha256"].to_pylist())

    until(lambda: artefacts() >= set(cards), "the platform's own record of its models", patience=90)
    read = Counter(catalog.load_table(DEFINITIONS).scan().to_arrow()["artefact_sha256"].to_pylist())
    assert all(read[sha256] == len(card.features) for sha256, card in cards.items())


def test_a_table_of_the_streams_that_does_not_pass_raises_an_alert(
    stack: Settings, new_lake: Callable[[], Settings], monkeypatch: pytest.MonkeyPatch
) -> None:
    own, model = new_lake(), new_match("spoilt")
    catalog = connect(own)
    good = {
        "model_name": model,
        "model_version": "1",
        "minute": -1,
        "matches": 1,
        "predictions": 1,
        "brier": 0.25,
        "log_loss": 0.7,
        "ece": 0.1,
        "event_time": now_ms(),
        "game_time_ms": 0,
        "source_partition": 0,
        "source_offset": 1,
    }
    monkeypatch.setattr(lake_commands, "get_settings", lambda: own)

    def audited() -> Any:
        return CliRunner().invoke(gather(), ["lake", "audit", "--json"])

    put(catalog, "predictions.model_quality", [good])
    first = audited()
    assert [one["table_name"] for one in json.loads(first.stdout)] == ["predictions.model_quality"]
    assert json.loads(audited().stdout) == [], "nothing came since"
    put(catalog, "predictions.model_quality", [good | {"brier": 7.0, "source_offset": 2}])
    assert isinstance(audited().exception, audit.AuditError)
    run_id = audit.last(catalog)["predictions.model_quality"]["run_id"]
    [alert] = wait_for(stack, "alerts", lambda row: row["alert_id"].endswith(run_id))
    assert (alert["kind"], alert["subject"]) == ("audit_failed", "predictions.model_quality")
    assert "brier" in alert["detail"]
