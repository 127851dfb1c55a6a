"""The HTTP API on the real platform: Kafka, Flink, Redis and Triton behind it."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import numpy as np
import onnxruntime
import pytest
import zstandard
from websockets.sync.client import connect

from features import online
from models.artefact import ONNX, load_card
from models.vector import sha256
from riftstream.settings import Settings
from serving.front import MEDIA_TYPE
from serving.triton import OUTPUTS
from streams.avro import Record
from tests.integration.tools import event, new_match, of_match, send, until, wait_for

pytestmark = pytest.mark.stack

TEAM = b'{"subject_type":"team","subject_id":"SKT"}'
NOBODY = b'{"subject_type":"match","subject_id":"NO/1"}'
FRESH = {"Cache-Control": "no-cache"}


@pytest.fixture(scope="module")
def api(stack: Settings) -> httpx.Client:
    return httpx.Client(base_url=stack.api_url, timeout=30, trust_env=False)


@pytest.fixture(scope="module")
def match(stack: Settings, api: httpx.Client) -> str:
    """A match of six events whose predictions are published and whose state is in Redis."""
    name = new_match("api")
    gold = event(name, 6, "TEAM_GOLD", blue_gold=11_000, red_gold=9_500)
    send(stack, *(event(name, n) for n in range(1, 6)), gold)
    wait_for(stack, "predictions", of_match(name), 6, identity="event_id")
    until(lambda: newest(api, name) == 6 * 60_000, "the match's state is in Redis")
    until(lambda: len(history(api, name)["items"]) == 6, "the API has heard of all predictions")
    return name


def newest(api: httpx.Client, match: str) -> int | None:
    answer = api.get(f"/v1/predict/match/{match}", headers=FRESH)
    return answer.json()["game_time_ms"] if answer.status_code == 200 else None


def history(api: httpx.Client, match: str, **query: Any) -> dict[str, Any]:
    answer = api.get(f"/v1/predict/match/{match}/history", params=query)
    return answer.json() if answer.status_code == 200 else {"items": []}


def ask(api: httpx.Client, match: str, **more: Any) -> httpx.Response:
    headers = more.pop("headers", {})
    body = {"subject_type": "match", "subject_id": match, **more}
    return api.post("/v1/predict/single", json=body, headers=headers)


def offline(match: str) -> tuple[np.ndarray, list[float]]:
    """The vector of a match, and what its model says by ONNX Runtime in this process."""
    card = load_card("win_probability")
    vector = online.get(card.feature_service, [match]).matrix
    session = onnxruntime.InferenceSession(str(card.folder / ONNX), providers=["CPUExecutionProvider"])
    return vector[0], [float(values[0, 0]) for values in session.run(OUTPUTS, {"features": vector})]


def test_an_answer_is_the_model_scored_offline_and_the_fact_of_the_live_path(
    stack: Settings, api: httpx.Client, match: str
) -> None:
    answer = ask(api, match, headers=FRESH).json()
    vector, said = offline(match)
    found = [answer[name] for name in ("probability", "interval_low", "interval_high")]
    np.testing.assert_allclose(found, said, atol=1e-6, rtol=0)
    assert answer["answered_from"] == "model" and not answer["degraded"]
    assert answer["features_sha256"] == sha256(vector, answer["feature_service"])
    published = wait_for(stack, "predictions", of_match(match), 6)
    last = max(published, key=lambda record: record["source_offset"])
    same = (
        "prediction_id",
        "event_id",
        "game_time_ms",
        "source_partition",
        "source_offset",
        "features_sha256",
    )
    assert {name: answer[name] for name in same} == {name: last[name] for name in same}


def test_a_second_answer_comes_from_memory_and_is_the_same(api: httpx.Client, match: str) -> None:
    first = ask(api, match, headers=FRESH).json()
    again = [ask(api, match, request_id="mine").json() for _ in range(5)]
    assert "memory" in {answer["answered_from"] for answer in again}
    for answer in again:
        assert answer["probability"] == first["probability"]
        assert answer["request_id"] == "mine"
        assert answer["age_ms"] >= first["age_ms"]


def test_no_answer_is_older_than_the_question_allows(api: httpx.Client, match: str) -> None:
    ask(api, match)
    answer = ask(api, match, max_age_ms=1)
    assert answer.status_code == 412
    problem = answer.json()
    assert problem["type"].endswith(":stale") and problem["age_ms"] > problem["max_age_ms"] == 1
    assert ask(api, match, max_age_ms=problem["age_ms"] + 600_000).status_code == 200


def test_a_batch_answers_what_it_can_and_names_the_rest(api: httpx.Client, match: str) -> None:
    good = {"subject_type": "match", "subject_id": match}
    bad = [
        {"subject_type": "match"},
        {"subject_type": "match", "subject_id": "NO/1"},
        7,
        good | {"line": 2.5},
    ]
    found = api.post(
        "/v1/predict/batch", json={"requests": [good, *bad, good | {"request_id": "six"}]}
    ).json()
    assert (found["received"], found["answered"]) == (6, 2)
    assert [answer["index"] for answer in found["predictions"]] == [0, 5]
    assert found["predictions"][1]["request_id"] == "six"
    kinds = {error["index"]: error["type"].rpartition(":")[2] for error in found["errors"]}
    assert kinds == {
        1: "invalid-request",
        2: "unknown-subject",
        3: "invalid-request",
        4: "invalid-request",
    }


def test_a_thousand_questions_are_one_batch_and_a_thousand_and_one_are_none(
    api: httpx.Client, match: str
) -> None:
    one = {"subject_type": "match", "subject_id": match}
    found = api.post("/v1/predict/batch", json={"requests": [one] * 1_000}).json()
    assert found["answered"] == 1_000 and not found["errors"]
    assert api.post("/v1/predict/batch", json={"requests": [one] * 1_001}).status_code == 422


def test_reasons_add_up_to_the_answer(api: httpx.Client, match: str) -> None:
    found = api.post("/v1/predict/explain", json={"subject_type": "match", "subject_id": match}).json()
    told = found["explanation"]
    log_odds = told["base"] + sum(reason["adds"] for reason in told["reasons"]) + told["others"]
    assert 1 / (1 + np.exp(-log_odds)) == pytest.approx(found["prediction"]["probability"], abs=1e-5)
    strength = [abs(reason["adds"]) for reason in told["reasons"]]
    assert strength == sorted(strength, reverse=True) and all(reason["meaning"] for reason in told["reasons"])


def test_history_goes_by_the_match_clock_page_by_page(api: httpx.Client, match: str) -> None:
    clocks, cursor = [], None
    for _ in range(4):
        page = history(api, match, limit=2, **({"cursor": cursor} if cursor else {}))
        clocks += [item["game_time_ms"] // 60_000 for item in page["items"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert clocks == [1, 2, 3, 4, 5, 6]
    some = history(api, match, **{"filter[game_time_ms][gte]": 120_000, "filter[game_time_ms][lt]": 240_000})
    assert [item["game_time_ms"] // 60_000 for item in some["items"]] == [2, 3]


def test_matches_can_be_listed_and_filtered(api: httpx.Client, match: str) -> None:
    found = api.get("/v1/predict/matches", params={"filter[match_id][eq]": match}).json()["items"]
    assert [item["match_id"] for item in found] == [match]
    page = api.get("/v1/predict/matches", params={"limit": 1})
    if page.json()["next_cursor"]:
        assert page.headers["link"].endswith('; rel="next"')


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "kind"),
    [
        ("GET", "/v1/nothing", None, 404, "not-found"),
        ("DELETE", "/v1/predict/single", None, 405, "method"),
        ("POST", "/v1/models/status", b"{}", 405, "method"),
        ("POST", "/v1/predict/single", b"{", 400, "malformed"),
        ("POST", "/v1/predict/single", b"", 400, "malformed"),
        ("POST", "/v1/predict/single", b'{"subject_type":"team","subject_id":"SKT"}', 422, "invalid-request"),
        (
            "POST",
            "/v1/predict/single",
            b'{"subject_type":"match","subject_id":"NO/1"}',
            404,
            "unknown-subject",
        ),
        ("POST", "/v1/predict/single", b" " * 20_000, 413, "too-large"),
        ("GET", "/v1/predict/match/NO/1", None, 404, "unknown-subject"),
        ("GET", "/v1/predict/matches?limit=0", None, 400, "query"),
        ("GET", "/v1/predict/matches?cursor=abc", None, 400, "query"),
        ("GET", "/v1/predict/live?shadow=perhaps", None, 400, "query"),
    ],
)
def test_what_cannot_be_answered_is_a_problem_of_its_kind(
    api: httpx.Client, method: str, path: str, body: bytes | None, status: int, kind: str
) -> None:
    headers = {"Content-Type": "application/json"} if body is not None else {}
    answer = api.request(method, path, content=body, headers=headers)
    assert (answer.status_code, answer.headers["content-type"]) == (status, "application/problem+json")
    problem = answer.json()
    assert problem["type"] == f"urn:riftstream:problem:{kind}" and problem["status"] == status
    assert problem["title"] and problem["detail"]


def test_versions_are_chosen_by_path_or_by_accept(api: httpx.Client, match: str) -> None:
    path = f"/predict/match/{match}"
    plain = api.get(path)
    assert plain.headers["content-type"] == "application/json"
    ours = api.get(path, headers={"Accept": MEDIA_TYPE})
    assert ours.headers["content-type"] == MEDIA_TYPE
    assert ours.json()["prediction_id"] == plain.json()["prediction_id"]
    other = api.get(path, headers={"Accept": MEDIA_TYPE.replace("v1", "v2")})
    assert (other.status_code, other.json()["type"]) == (406, "urn:riftstream:problem:not-acceptable")
    assert api.get(f"/v2{path}").status_code == 404


def test_request_ids_are_taken_over_or_made(api: httpx.Client) -> None:
    given = api.get("/v1/models/status", headers={"X-Request-Id": "abc-1"})
    assert given.headers["x-request-id"] == "abc-1"
    made = {
        api.get("/nothing", headers={"X-Request-Id": "no t one"}).headers["x-request-id"] for _ in range(3)
    }
    assert len(made) == 3


def test_large_answers_are_compressed_as_the_client_likes(api: httpx.Client, match: str) -> None:
    one = {"subject_type": "match", "subject_id": match}
    found: dict[str, Any] = {}
    for coding in ("zstd", "gzip", "identity"):
        headers = {"Accept-Encoding": coding}
        with api.stream(
            "POST", "/v1/predict/batch", json={"requests": [one] * 20}, headers=headers
        ) as answer:
            raw = b"".join(answer.iter_raw())
            assert answer.headers.get("content-encoding", "identity") == coding
        if coding == "zstd":
            raw = zstandard.ZstdDecompressor().decompress(raw)
        elif coding == "gzip":
            raw = gzip.decompress(raw)
        found[coding] = json.loads(raw)["answered"]
    assert set(found.values()) == {20}


def test_live_feeds_tell_predictions_as_they_are_made(stack: Settings, api: httpx.Client) -> None:
    name = new_match("live")
    url = stack.api_url.replace("http://", "ws://") + f"/v1/predict/live/ws?match={name}"
    with connect(url) as socket, api.stream("GET", f"/v1/predict/live?match={name}") as events:
        lines = events.iter_lines()
        assert next(lines).startswith(":")
        send(stack, event(name, 1))
        by_socket: Record = json.loads(socket.recv(30))
        data = next(line for line in lines if line.startswith("data: "))
    assert by_socket["match_id"] == name
    assert json.loads(data.removeprefix("data: ")) == by_socket


def test_health_metrics_and_status_tell_what_is_there(api: httpx.Client, match: str) -> None:
    ask(api, match)
    ready = api.get("/health/ready")
    assert ready.status_code == 200 and ready.json()["ready"]
    metrics = api.get("/metrics").text
    for name in ("rift_http_requests_total", "rift_cache_lookups_total", "rift_http_seconds_bucket"):
        assert name in metrics
    assert 'rift_http_requests_total{route="/predict/single",status="200"}' in metrics
    (model,) = [
        one for one in api.get("/v1/models/status").json()["models"] if one["name"] == "win_probability"
    ]
    live = next(version for version in model["versions"] if version["role"] == "live")
    assert (live["version"], live["ready"], live["circuit"]) == (model["live"], True, "closed")
