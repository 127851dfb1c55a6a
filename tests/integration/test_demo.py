"""The demo on the real platform: it adds up, it can be run again, and what it names is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest

from models.store import committed
from riftstream.settings import Settings
from streams.sources import sample
from tests.integration.tools import until

pytestmark = pytest.mark.stack

MATCHES = 3
SPEED = 600


def rift(settings: Settings, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(Path(sys.executable).with_name("rift")), *words],
        env={**os.environ, "RIFT_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        timeout=400,
    )


def demo(settings: Settings, *words: str) -> dict[str, Any]:
    given = ("demo", "--source", "sample", "--matches", str(MATCHES), "--speed", str(SPEED), "--json", *words)
    done = rift(settings, *given)
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


@pytest.fixture(scope="module")
def report(stack: Settings, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return demo(stack, "--chart", str(tmp_path_factory.mktemp("demo") / "match.png"))


def test_every_event_of_the_sample_is_accepted_has_features_a_prediction_and_a_row(
    report: dict[str, Any],
) -> None:
    summary = report["summary"]
    names = {match.split("#")[0] for match in summary["score"]["by_match"]}
    events = sum(len(match) for match in sample.matches() if match[0]["match_id"] in names)
    assert len(names) == MATCHES
    for what in ("sent", "read", "accepted", "features", "predictions"):
        assert summary[what] == events, what
    assert summary["rejected"] == {}
    assert report["lake"] == {"table": "raw.match_events", "rows": events, "events": events}
    assert report["faults"] == []


def test_latency_is_measured_for_every_prediction_and_is_a_real_span(report: dict[str, Any]) -> None:
    latency = report["summary"]["latency"]
    assert latency["count"] == report["summary"]["predictions"]
    assert 0 < latency["p50_ms"] <= latency["p99_ms"] <= latency["max_ms"]


def test_the_chart_is_a_picture(report: dict[str, Any]) -> None:
    pixels = matplotlib.image.imread(report["chart"])
    assert (pixels[..., :3] < 0.5).any(axis=2).mean() > 0.003


def test_the_match_that_it_names_can_be_asked_for(stack: Settings, report: dict[str, Any]) -> None:
    match = report["chart_match"]
    done = rift(stack, "predict", match, "--json")
    prediction = json.loads(done.stdout)
    assert prediction["match_id"] == match
    assert len(prediction["features_sha256"]) == 64
    ages = [prediction[f"age_{hop}_ms"] for hop in ("kafka", "flink", "features", "model", "published")]
    assert ages == sorted(ages)
    watched = rift(stack, "watch", match)
    assert watched.returncode == 0
    assert "wins" in watched.stdout and "\x1b" not in watched.stdout


def test_a_prediction_can_be_made_again_to_the_last_bit(stack: Settings, report: dict[str, Any]) -> None:
    prediction = json.loads(rift(stack, "predict", report["chart_match"], "--at", "20:00", "--json").stdout)
    done = rift(stack, "replay-prediction", prediction["prediction_id"], "--json")
    assert done.returncode == 0, done.stdout + done.stderr
    again = json.loads(done.stdout)
    assert again["equal"]
    published = {one["name"]: one["published"] for one in again["compared"]}
    assert published["features_sha256"] == prediction["features_sha256"]


def test_an_unknown_match_is_an_error_that_names_the_nearest(stack: Settings, report: dict[str, Any]) -> None:
    done = rift(stack, "predict", sample.COMEBACK)
    assert done.returncode == 1
    assert f"no prediction of a match {sample.COMEBACK}" in done.stderr
    assert f"{sample.COMEBACK}#demo-" in done.stderr.replace("\n", "")


def test_a_player_is_predicted_where_a_model_answers_for_players(
    stack: Settings, report: dict[str, Any]
) -> None:
    def told() -> bool:
        done = rift(stack, "predict", "Darshan")
        if committed("player_props") is None:
            return "is a player" in done.stderr
        return done.returncode == 0 and "kills" in done.stdout and "on average" in done.stdout

    until(told, "Darshan's windows have closed and his form is known")


def test_the_second_demo_counts_only_its_own_run(stack: Settings, report: dict[str, Any]) -> None:
    again = demo(stack)
    assert again["run"] != report["run"]
    for what in ("sent", "read", "accepted", "features", "predictions"):
        assert again["summary"][what] == report["summary"][what], what
    first, second = (
        {match.split("#")[0]: round(score, 9) for match, score in one["summary"]["score"]["by_match"].items()}
        for one in (report, again)
    )
    known = {match.split("#")[0] for one in (report, again) for match in one["summary"]["known_before"]}
    assert first.keys() == second.keys()
    differ = {match for match in first if first[match] != second[match]}
    assert differ <= known, "the same events get the same predictions, unless forms have come between"


def test_ctrl_c_in_mid_play_leaves_the_platform_up_and_says_so(stack: Settings) -> None:
    running = subprocess.Popen(
        [str(Path(sys.executable).with_name("rift")), "demo", "--source", "sample", "--speed", "10"],
        env={**os.environ, "RIFT_HOME": str(stack.home)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # A shell that runs this in the background has told its children to ignore SIGINT.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert running.stderr is not None
    said = ""
    while "times the match clock" not in said:
        line = running.stderr.readline()
        assert line, said
        said += line
    time.sleep(1)
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stays so" in rest
    assert rift(stack, "status").returncode == 0
