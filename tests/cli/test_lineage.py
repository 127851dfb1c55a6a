"""From a feature back to SQL, topic and schema, and forward to the models."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

from features.views import SERVICES, VIEWS, View
from riftstream.cli import gather
from riftstream.cli.lineage import lineage
from riftstream.errors import FeatureError
from streams.schemas import FOLDER


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_feature_has_a_lineage(view: View) -> None:
    for field in view.features:
        found = lineage(f"{view.name}:{field.name}")
        assert (FOLDER.parent.parent / found.schema).is_file()
        assert found.topic == view.topic
        assert found.doc == field.doc


def test_a_feature_of_a_model_leads_to_the_model_and_to_the_events() -> None:
    found = lineage("gold_diff_3m")
    assert found.models == ["win_probability"]
    assert found.services == ["win_probability_v1"]
    assert found.job == "jobs/match_pipeline.sql"
    assert found.source == "live-matches"
    assert any("TEAM_GOLD" in step.expression for step in found.steps)


def test_a_form_leads_to_the_model_of_players() -> None:
    assert lineage("player_form:kills_mean").models == ["player_props"]


def test_a_feature_that_no_model_reads_says_so() -> None:
    assert lineage("pauses").models == []


def test_an_unknown_feature_is_refused() -> None:
    with pytest.raises(FeatureError, match="no feature nonsense"):
        lineage("nonsense")


def run(*words: str) -> str:
    result = CliRunner().invoke(gather(), ["features", *words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_speak_json() -> None:
    listed = json.loads(run("list", "--json"))
    assert {view["name"] for view in listed["views"]} == {view.name for view in VIEWS}
    assert {service["name"] for service in listed["services"]} == {service.name for service in SERVICES}
    shown = json.loads(run("show", "match_state:gold_diff", "--json"))
    assert [feature["name"] for feature in shown["features"]] == ["gold_diff"]
    assert json.loads(run("lineage", "gold_diff", "--json"))["feature"] == "match_state:gold_diff"


def test_the_commands_speak_to_people() -> None:
    assert "win_probability_v1" in run("list")
    assert "gold_diff" in run("show", "win_probability_v1")
    assert "jobs/match_pipeline.sql" in run("lineage", "gold_diff")
