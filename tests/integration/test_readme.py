"""README's three ways to a prediction, and those of the how-to page, run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from features import online
from models.artefact import load_card
from riftstream.settings import Settings
from streams.client import Producer
from tests.integration.tools import event, of_match, send, until, wait_for
from tests.serving.test_players import form_of, team_form_of

pytestmark = pytest.mark.stack

README = Path(__file__).parents[2] / "README.md"
PAGE = README.parent / "docs" / "how-to" / "ask-for-predictions.md"
SECTION = re.compile(r"^## Ask for a prediction\n(.*?)^## ", re.MULTILINE | re.DOTALL)
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
MATCH, API = "LCK/1", "http://127.0.0.1:8090"


def run(language: str, text: str, settings: Settings, folder: Path) -> str:
    command = (
        ["sh", "-c", text.replace(API, settings.api_url)]
        if language == "sh"
        else [sys.executable, "-c", text]
    )
    env = {**os.environ, "RIFT_HOME": str(settings.home)}
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, f"{text}: {done.stderr}"
    return done.stdout


def test_the_ways_to_a_prediction_run_as_they_are_written(stack: Settings, tmp_path: Path) -> None:
    send(stack, event(MATCH, 3))
    wait_for(stack, "predictions", of_match(MATCH))
    url = f"{stack.api_url}/v1/predict/match/{MATCH}"
    until(lambda: httpx.get(url, trust_env=False).status_code == 200, "the match is in Redis")
    section = SECTION.search(README.read_text())
    assert section
    by_http, by_topic, followed = (
        run(language, text, stack, tmp_path) for language, text in BLOCK.findall(section[1])
    )
    chance = f"{json.loads(by_http)['probability']:.0%}"
    assert by_topic == f"blue wins with {chance}, by win_probability {load_card('win_probability').version}\n"
    assert followed == f"at 3 min: {chance}\n"


def test_the_commands_of_the_page_run_as_they_are_written(stack: Settings, tmp_path: Path) -> None:
    send(stack, event(MATCH, 3))
    with Producer(stack, topic="team-form") as producer:
        producer.send_batch([team_form_of("SKT", 14), team_form_of("KT", 9)])
    with Producer(stack, topic="player-stats") as producer:
        producer.send(form_of("Faker", "SKT"))
    until(lambda: not online.get("team_form", ["SKT", "KT"]).state.any(), "the teams' forms are in Redis")
    until(lambda: not online.get("player_form", ["Faker"]).state.any(), "the player's form is in Redis")
    url = f"{stack.api_url}/v1/predict/match/{MATCH}"
    until(lambda: httpx.get(url, trust_env=False).status_code == 200, "the match is in Redis")
    texts = [text for language, text in BLOCK.findall(PAGE.read_text()) if language == "sh"]
    feeds = [text for text in texts if "curl -sN" in text]
    match, to_come, player = (
        json.loads(run("sh", text, stack, tmp_path)) for text in texts if text not in feeds
    )
    assert (match["subject_id"], to_come["pre_match_inputs"] is None) == (MATCH, False)
    assert (player["maps"], player["opponent"], player["context"]["team"]) == (2, "KT", "SKT")
    assert len(feeds) == 1
    # A feed has no end: it is cut off, and has said by then that it is open.
    assert run("sh", f"timeout 3 {feeds[0].strip()} || true", stack, tmp_path).startswith(":")
