"""README's three ways to a prediction run as they stand."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest

from models.artefact import load_card
from riftstream.settings import Settings
from tests.integration.tools import event, of_match, send, until, wait_for

pytestmark = pytest.mark.stack

README = Path(__file__).parents[2] / "README.md"
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
