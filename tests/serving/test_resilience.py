"""What is answered while Triton or Redis is away, on the running platform."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from infra import stack as local
from models.artefact import load_card
from riftstream.settings import Settings
from tests.integration.tools import event, kill, new_match, of_match, send, until, wait_for

pytestmark = pytest.mark.stack


def ask(settings: Settings, match: str, anew: bool = True, **more: Any) -> httpx.Response:
    body = {"subject_type": "match", "subject_id": match, **more}
    headers = {"Cache-Control": "no-cache"} if anew else {}
    return httpx.post(f"{settings.api_url}/v1/predict/single", json=body, headers=headers, trust_env=False)


@pytest.fixture
def match(stack: Settings) -> str:
    name = new_match("resilience")
    send(stack, event(name, 1))
    wait_for(stack, "predictions", of_match(name))
    until(lambda: ask(stack, name).status_code == 200, "the match is in Redis")
    return name


def test_without_triton_answers_are_older_or_fallbacks_and_say_so(stack: Settings, match: str) -> None:
    before = ask(stack, match).json()
    assert not before["degraded"]
    unseen = new_match("unseen")
    kill("triton")
    try:
        send(stack, event(unseen, 1))
        until(lambda: ask(stack, unseen).status_code == 200, "the match is in Redis")
        kept = ask(stack, match).json()
        assert kept["degraded"] and kept["answered_from"] in ("memory", "redis")
        assert kept["probability"] == before["probability"]
        assert kept["age_ms"] >= before["age_ms"]
        fallback = ask(stack, unseen).json()
        assert fallback["degraded"] and fallback["answered_from"] == "fallback"
        assert fallback["probability"] == load_card("win_probability").base_rate
        assert fallback["interval_low"] is None
        until(lambda: circuit(stack) != "closed", "the circuit opens", 10)
        ready = httpx.get(f"{stack.api_url}/health/ready", trust_env=False)
        assert ready.status_code == 200 and ready.json()["degraded"]
    finally:
        local.up(["triton"])
    until(lambda: not ask(stack, unseen).json()["degraded"], "the model answers again", 30)
    assert circuit(stack) == "closed"


def circuit(settings: Settings) -> str:
    found = httpx.get(f"{settings.api_url}/v1/models/status", trust_env=False, timeout=30).json()
    model = next(one for one in found["models"] if one["name"] == "win_probability")
    return str(next(one["circuit"] for one in model["versions"] if one["role"] == "live"))


def test_without_redis_answers_are_older_or_defaults_and_say_so(stack: Settings, match: str) -> None:
    before = ask(stack, match).json()
    kill("redis")
    try:
        kept = ask(stack, match).json()
        assert (kept["degraded"], kept["answered_from"]) == (True, "memory")
        assert kept["probability"] == before["probability"]
        default = ask(stack, new_match("nobody")).json()
        assert default["degraded"] and default["age_ms"] is None and default["source_offset"] == -1
        assert 0 < default["probability"] < 1
        refused = ask(stack, new_match("nobody"), max_age_ms=60_000)
        assert refused.status_code == 503 and "retry-after" in refused.headers
        body = {"subject_type": "match", "subject_id": match}
        unexplained = httpx.post(f"{stack.api_url}/v1/predict/explain", json=body, trust_env=False)
        assert unexplained.status_code == 503
    finally:
        local.up(["redis"])
    until(lambda: not ask(stack, match).json()["degraded"], "features are there again", 30)
