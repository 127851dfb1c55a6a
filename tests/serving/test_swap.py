"""Model versions change on the running platform, under load."""

from __future__ import annotations

import hashlib
import json
import shutil
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import onnx
import pytest
from onnx import helper, numpy_helper

from models.artefact import ONNX, artefact_folder, digest, load_card
from models.publish import model_repository_versions
from riftstream.cli import deploy
from riftstream.errors import ModelError
from riftstream.settings import Settings
from streams.client import Producer
from tests.integration.tools import event, new_match, now_ms, of_match, send, until, wait_for

pytestmark = pytest.mark.stack

MODEL = deploy.MODEL
FIRST = load_card(MODEL).version


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """An artefact of the same model whose intervals are all half as high."""
    folder = tmp_path / "other"
    shutil.copytree(artefact_folder(MODEL), folder)
    model = onnx.load(folder / ONNX)
    for node in model.graph.node:
        node.output[:] = [f"{name}_whole" if name == "interval_high" else name for name in node.output]
    half = numpy_helper.from_array(np.array([0.5], dtype=np.float32), "one_half")
    model.graph.initializer.append(half)
    model.graph.node.append(helper.make_node("Mul", ["interval_high_whole", "one_half"], ["interval_high"]))
    onnx.save(model, folder / ONNX)
    card = json.loads((folder / "card.json").read_text())
    card["files"][ONNX] = digest(folder / ONNX)
    (folder / "card.json").write_text(json.dumps(card))
    return folder


@pytest.fixture(autouse=True)
def first_version(stack: Settings) -> Iterator[None]:
    """The committed version alone, before and after each test, whatever became of it."""
    _back_to_the_first(stack)
    yield
    _back_to_the_first(stack)


def _back_to_the_first(stack: Settings) -> None:
    deploy.publish(MODEL, None, False, stack)
    found = deploy.deployment_of(MODEL, stack)
    if found.live != FIRST or found.split:
        deploy.promote(MODEL, FIRST, None, stack, now_ms())
    for version in set(found.artefacts) - {FIRST}:
        deploy.retire(MODEL, version, stack)


class Load(threading.Thread):
    """Asks the API without pause, past the caches, and keeps every answer."""

    def __init__(self, url: str, match: str) -> None:
        super().__init__(daemon=True)
        self.answers: list[tuple[int, dict[str, object]]] = []
        self.ending = threading.Event()
        self._url, self._match = url, match

    def run(self) -> None:
        body = {"subject_type": "match", "subject_id": self._match}
        headers = {"Cache-Control": "no-cache"}
        with httpx.Client(base_url=self._url, timeout=30, trust_env=False) as client:
            while not self.ending.is_set():
                answer = client.post("/v1/predict/single", json=body, headers=headers)
                self.answers.append((answer.status_code, answer.json()))

    @property
    def newest(self) -> object:
        return self.answers[-1][1].get("model_version") if self.answers else None


@pytest.fixture
def match(stack: Settings) -> str:
    name = new_match("swap")
    send(stack, event(name, 1))
    wait_for(stack, "predictions", of_match(name))
    url = f"{stack.api_url}/v1/predict/match/{name}"
    until(lambda: httpx.get(url, trust_env=False).status_code == 200, "the match is in Redis")
    return name


@pytest.fixture
def loads(stack: Settings, match: str) -> Iterator[list[Load]]:
    threads = [Load(stack.api_url, match) for _ in range(4)]
    for thread in threads:
        thread.start()
    yield threads
    for thread in threads:
        thread.ending.set()
        thread.join()


def test_versions_change_under_load_and_no_request_fails(
    stack: Settings, match: str, loads: list[Load], other: Path
) -> None:
    published = deploy.publish(MODEL, other, True, stack)
    two = published.version
    assert published.shadow == [two] and published.live == FIRST
    assert deploy.publish(MODEL, other, True, stack).action == "none"

    def shadowed() -> bool:
        send(stack, event(match, 2, event_id=f"{match}/{time.time_ns()}"))
        return bool(_predictions(stack, match, two))

    until(shadowed, "the version in shadow says something on the topic")
    assert all(record["shadow"] for record in _predictions(stack, match, two))
    assert {load.newest for load in loads} == {FIRST}

    begun = time.monotonic()
    deploy.promote(MODEL, two, None, stack, now_ms())
    until(lambda: {load.newest for load in loads} == {two}, "the new version answers")
    took = time.monotonic() - begun
    deploy.rollback(MODEL, stack)
    until(lambda: {load.newest for load in loads} == {FIRST}, "the version before answers again")
    for load in loads:
        load.ending.set()
        load.join()
    assert not [(status, body) for load in loads for status, body in load.answers if status != 200]
    answers: list[Any] = [body for load in loads for _, body in load.answers]
    assert not [body for body in answers if body["degraded"]]
    highs = {(body["model_version"], body["features_sha256"]): body["interval_high"] for body in answers}
    both = [vector for version, vector in highs if version == two and (FIRST, vector) in highs]
    assert both, "both versions answered on the same features"
    for vector in both:
        assert highs[two, vector] == pytest.approx(0.5 * highs[FIRST, vector], abs=1e-6)
    assert took < 60, "a version goes live within a minute"
    assert deploy.retire(MODEL, two, stack).live == FIRST
    assert model_repository_versions(MODEL) == [FIRST]


def _predictions(stack: Settings, match: str, version: str) -> list[dict[str, object]]:
    from riftstream.cli.reading import kept

    records = (got.record for got in kept("predictions", stack, match))
    return [record for record in records if record["model_version"] == version]


def test_a_version_that_does_not_load_leaves_no_trace(stack: Settings, other: Path, match: str) -> None:
    (other / ONNX).write_bytes(b"no graph")
    card = json.loads((other / "card.json").read_text())
    card["files"][ONNX] = digest(other / ONNX)
    (other / "card.json").write_text(json.dumps(card))
    before = deploy.deployment_of(MODEL, stack)
    with pytest.raises(ModelError, match="did not load"):
        deploy.publish(MODEL, other, True, stack)
    assert deploy.deployment_of(MODEL, stack) == before
    assert model_repository_versions(MODEL) == [FIRST]
    url = f"{stack.api_url}/v1/predict/match/{match}"
    answer = httpx.get(url, headers={"Cache-Control": "no-cache"}, trust_env=False).json()
    assert (answer["model_version"], answer["degraded"]) == (FIRST, False)


def test_nothing_is_promoted_while_features_differ(stack: Settings, other: Path) -> None:
    two = deploy.publish(MODEL, other, False, stack).version
    found_at = now_ms()
    mismatch = {
        "match_id": "TEST/mismatch",
        "prediction_id": "p",
        "event_id": "e",
        "feature": "kills_diff",
        "served": "1",
        "recomputed": "2",
        "served_sha256": hashlib.sha256(b"1").hexdigest(),
        "recomputed_sha256": hashlib.sha256(b"2").hexdigest(),
        "game_time_ms": 0,
        "event_time": 0,
        "source_partition": 0,
        "source_offset": 0,
        "snapshot_id": None,
        "checked_at": found_at,
    }
    with Producer(stack, topic="feature-mismatches") as producer:
        producer.send(mismatch)
    with pytest.raises(ModelError, match="1 feature mismatches"):
        deploy.promote(MODEL, two, None, stack, found_at)
    assert deploy.deployment_of(MODEL, stack).live == FIRST
    assert deploy.promote(MODEL, two, 0.5, stack, found_at + 1).split == {two: 0.5}
    assert deploy.rollback(MODEL, stack).split == {}


def test_an_unknown_version_is_one_clear_error(stack: Settings) -> None:
    with pytest.raises(ModelError, match="has no version 77"):
        deploy.promote(MODEL, "77", None, stack, now_ms())
    with pytest.raises(ModelError, match="answers"):
        deploy.retire(MODEL, FIRST, stack)
