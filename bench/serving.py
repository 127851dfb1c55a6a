"""Question: how many predictions a second does the API give, how quickly, and what do other servers give?"""

from __future__ import annotations

import json
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import psutil

from bench.feed_load import Listen
from bench.http_load import Heard, Load
from bench.online import record
from bench.peers import Program, environment
from bench.platform import running_platform
from bench.plots import Bars
from bench.results import ROOT, Result, save
from features.online import OnlineReader
from features.online_write import OnlineWriteLoop
from features.views import find_view
from infra import ports, stack
from infra.processes import inherited
from models.artefact import ONNX, Card, load_card
from models.player_props.contract import ROLES
from models.publish import install
from riftstream.console import err
from riftstream.errors import RiftError, StackError
from riftstream.settings import Settings, get_settings
from streams.avro import Record
from streams.client import Producer
from streams.clock import now_ms

MODEL = "win_probability"
MATCHES = 256
PLAYERS = 250
SECONDS = 8.0
CONNECTIONS = (1, 16, 64, 256)
BATCH = 1_000
CLIENTS = 1_000
FEED_RATE = 20
FEED_SECONDS = 5.0
PATIENCE = 300.0
"""Seconds that a peer may take to answer for the first time; Ray Serve takes one minute at best."""

PEERS = {
    "fastapi": ("FastAPI + uvicorn", None),
    "mlserver": ("MLServer 1.7", "/v2/models/model/infer"),
    "bentoml": ("BentoML 1.4", None),
    "rayserve": ("Ray Serve 2.60", None),
}
"""Title of each peer, and its path where it is not ``/predict``."""


def _matches() -> list[str]:
    return [f"BENCH/{place}" for place in range(MATCHES)]


def _players() -> list[str]:
    return [f"player-{place}" for place in range(PLAYERS)]


def _fill(settings: Settings) -> None:
    """Put a state of each match and forms of players and teams into Redis, as the writer does."""
    teams = [f"team-{place}" for place in range(PLAYERS // len(ROLES))]
    views: dict[str, list[dict[str, str]]] = {
        "match_state": [{} for _ in _matches()],
        "player_form": [
            {"role": ROLES[place % len(ROLES)], "team": teams[place % len(teams)]} for place in range(PLAYERS)
        ],
        "team_form": [{} for _ in teams],
    }
    names = {"match_state": _matches(), "player_form": _players(), "team_form": teams}
    chance = random.Random(5)  # noqa: S311
    for name, fixed in views.items():
        view = find_view(name)
        rows = [record(view, of, place, chance) for place, of in enumerate(names[name])]
        with Producer(settings, topic=view.topic) as producer:
            producer.send_batch(
                row | more | {"event_time": now_ms()} for row, more in zip(rows, fixed, strict=True)
            )
    loop = OnlineWriteLoop(settings, views=[find_view(name) for name in views], group="bench-serving")
    loop.run(lambda: loop.written.records >= sum(map(len, views.values())))


@contextmanager
def _running_api(settings: Settings) -> Iterator[tuple[int, int, float]]:
    """The API as the platform starts it; its port, its process id and the seconds until it answered."""
    begun = time.perf_counter()
    argv = ["rift", "serve", "api", "--port", "{port}"]
    part = stack.up_app("api", argv, port=8090, url="http://127.0.0.1:{port}/health/live")
    took = time.perf_counter() - begun
    assert part.pid is not None
    try:
        yield part.ports["http"], part.pid, took
    finally:
        stack.down_app("api")


@contextmanager
def _running_peer(name: str, card: Card, settings: Settings) -> Iterator[tuple[int, int, float]]:
    """A peer's server; its port, its process id and the seconds until it answered.

    Raises:
        StackError: It did not start.
    """
    # FastAPI is in our own environment; the others bring packages that ours must not have.
    python = Path(sys.executable) if name == "fastapi" else environment(name, settings)
    port = ports.choose({name: 21_500}, {}, set())[name]
    with tempfile.TemporaryDirectory(prefix="rift-peer-", ignore_cleanup_errors=True) as folder:
        program = Program(name, Path(folder) / "log")
        env = {**inherited(), "PYTHONPATH": str(ROOT), "BENCH_MODEL": str(card.folder / ONNX)}
        env |= {"BENTOML_HOME": folder, "BENTOML_DO_NOT_TRACK": "True", "RAY_USAGE_STATS_ENABLED": "0"}
        begun = time.perf_counter()
        try:
            with program.log.open("wb") as output:
                program.processes[name] = subprocess.Popen(
                    [str(python), "-m", f"bench.peer_programs.{name}", str(port)],
                    cwd=folder,
                    env=env,
                    stdout=output,
                    stderr=subprocess.STDOUT,
                )
            _wait(name, port, program)
            yield port, program.processes[name].pid, time.perf_counter() - begun
        finally:
            _end(program)


def _wait(name: str, port: int, program: Program) -> None:
    """Wait until a peer answers a question."""
    deadline = time.monotonic() + PATIENCE
    body = _peer_body(name, [0.0] * len(load_card(MODEL).features))
    while True:
        program.check()
        try:
            answer = httpx.post(
                f"http://127.0.0.1:{port}{_path(name)}", content=body, headers=_JSON, timeout=5
            )
            if answer.status_code == 200:
                return
        except httpx.HTTPError:
            pass
        if time.monotonic() > deadline:
            raise StackError(
                f"{name} did not answer within {PATIENCE:.0f} s.", program.log.read_text()[-1000:]
            )
        time.sleep(0.2)


def _end(program: Program) -> None:
    """End a peer with all processes that it started."""
    children = [
        child
        for process in program.processes.values()
        if process.poll() is None
        for child in psutil.Process(process.pid).children(recursive=True)
    ]
    program.stop()
    _, alive = psutil.wait_procs(children, timeout=10)
    for child in alive:
        child.kill()


_JSON = {"content-type": "application/json"}


def _path(name: str) -> str:
    return PEERS[name][1] or "/predict"


def _peer_body(name: str, row: Sequence[float | None]) -> str:
    """A question to a peer: the whole feature vector."""
    if name == "mlserver":
        values = [0.0 if value is None else value for value in row]
        tensor = {"name": "features", "shape": [1, len(values)], "datatype": "FP32", "data": values}
        return json.dumps({"inputs": [tensor]})
    return json.dumps({"features": [list(row)] if name == "bentoml" else list(row)})


def _measure(load: Load) -> Heard:
    """Have a load made by a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "load.json", Path(folder) / "heard.json"
        asked.write_text(json.dumps(asdict(load)))
        argv = [sys.executable, "-m", "bench.http_load", str(asked), str(told)]
        subprocess.run(argv, cwd=ROOT, check=True)
        heard = Heard(**json.loads(told.read_bytes()))
    if not heard.latencies_ms:
        raise StackError(f"Nothing answered at {load.paths[0]} within {load.seconds:g} s.")
    return heard


def _memory(pid: int) -> float:
    """Resident memory of a process and all that it started, MB."""
    process = psutil.Process(pid)
    held: int = sum(one.memory_info().rss for one in (process, *process.children(recursive=True)))
    return held / 2**20


def _row(what: str, by: str, heard: Heard, factor: int = 1) -> list[Any]:
    p50, p95, p99 = (round(float(value), 2) for value in np.percentile(heard.latencies_ms, [50, 95, 99]))
    rate = round(factor * len(heard.latencies_ms) / heard.seconds)
    return [what, by, rate, p50, p95, p99, heard.failed]


def _singles(port: int, seconds: float) -> list[list[Any]]:
    rows = []
    bodies = [json.dumps({"subject_type": "match", "subject_id": name}) for name in _matches()]
    for connections in CONNECTIONS:
        err.print(f"single, {connections} connections ...")
        heard = _measure(Load(port, ["/v1/predict/single"], bodies, {}, connections, seconds))
        rows.append(_row(f"single, {connections} connections", "Riftstream", heard))
    err.print("single, past the caches ...")
    anew = {"cache-control": "no-cache"}
    heard = _measure(Load(port, ["/v1/predict/single"], bodies, anew, 64, seconds))
    rows.append(_row("single, 64 connections, no cache", "Riftstream", heard))
    return rows


def _batches(port: int, seconds: float) -> list[list[Any]]:
    questions = [{"subject_type": "match", "subject_id": name} for name in _matches()]
    body = json.dumps({"requests": [questions[place % MATCHES] for place in range(BATCH)]})
    rows = []
    for what, headers in (("", {}), (", no cache", {"cache-control": "no-cache"})):
        err.print(f"batches of {BATCH}{what} ...")
        heard = _measure(Load(port, ["/v1/predict/batch"], [body], headers, 1, seconds))
        rows.append(_row(f"batch of {BATCH:,}{what}", "Riftstream", heard, BATCH))
    return rows


def _curves(port: int, seconds: float) -> list[list[Any]]:
    paths = [f"/v1/predict/curve/{name}?statistic=kills" for name in _players()]
    rows = []
    for what, headers in (("", {}), (", no cache", {"cache-control": "no-cache"})):
        err.print(f"curve{what} ...")
        heard = _measure(Load(port, paths, [], headers, 64, seconds))
        rows.append(_row(f"curve, 64 connections{what}", "Riftstream", heard))
    return rows


def _peer(
    name: str, settings: Settings, vectors: np.ndarray, seconds: float
) -> tuple[list[Any], dict[str, Any]]:
    card = load_card(MODEL)
    rows = [[None if np.isnan(value) else float(value) for value in row] for row in vectors]
    with _running_peer(name, card, settings) as (port, pid, took):
        err.print(f"{name} ...")
        bodies = [_peer_body(name, row) for row in rows]
        heard = _measure(Load(port, [_path(name)], bodies, {}, 64, seconds))
        return _row("single, 64 connections, no cache", PEERS[name][0], heard), {
            "start_s": round(took, 1),
            "memory_mb": round(_memory(pid)),
        }


def _listen(port: int, settings: Settings, one: Record) -> list[float]:
    """Milliseconds from the sending of each prediction to its arrival, over all clients."""
    sent = round(FEED_RATE * FEED_SECONDS)
    listen = Listen(port, "/v1/predict/live/ws", CLIENTS, sent, PATIENCE)
    with tempfile.TemporaryDirectory() as folder:
        asked, told = Path(folder) / "listen.json", Path(folder) / "heard.json"
        asked.write_text(json.dumps(asdict(listen)))
        argv = [sys.executable, "-m", "bench.feed_load", str(asked), str(told)]
        with subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, text=True) as clients:
            assert clients.stdout is not None
            if clients.stdout.readline().strip() != "ready":
                raise StackError(f"The feed did not take {CLIENTS} clients.")
            _tell(settings, one)
        found: list[float] = json.loads(told.read_bytes())
    return found


def _tell(settings: Settings, one: Record) -> None:
    with Producer(settings, topic="predictions", linger_ms=0) as producer:
        for place in range(round(FEED_RATE * FEED_SECONDS)):
            producer.send(one | {"prediction_id": f"{place:032x}", "as_of": now_ms()})
            producer.poll(0)
            time.sleep(1 / FEED_RATE)


def _fan_out(port: int, settings: Settings) -> tuple[list[Any], dict[str, Any]]:
    err.print(f"WebSocket feed to {CLIENTS} clients ...")
    body = {"subject_type": "match", "subject_id": _matches()[0]}
    one = httpx.post(f"http://127.0.0.1:{port}/v1/predict/single", json=body).json()
    for name in ("answered_from", "age_ms"):
        del one[name]
    found = _listen(port, settings, one)
    sent = round(FEED_RATE * FEED_SECONDS)
    p50, p95, p99 = (round(float(value), 1) for value in np.percentile(found, [50, 95, 99]))
    row = [
        f"WebSocket to {CLIENTS:,} clients",
        "Riftstream",
        round(len(found) / FEED_SECONDS),
        p50,
        p95,
        p99,
        sent * CLIENTS - len(found),
    ]
    return row, {"sent": sent, "clients": CLIENTS, "delivered": len(found)}


def plot(raw: dict[str, Any]) -> Bars:
    """Requests a second of single questions at 64 connections, ours beside the peers'."""
    series = {"requests/s": [[float(one["rate"])] for one in raw["singles"]]}
    return Bars("single requests/s, 64 connections", [one["by"] for one in raw["singles"]], series)


def run(seconds: float = SECONDS, only: list[str] | None = None) -> Result:
    """Measure on a platform of its own, and write the result.

    Args:
        seconds: How long each case is measured.
        only: Peers that take part; all by default.
    """
    notes: list[str] = []
    raw: dict[str, Any] = {"peers": {}}
    with running_platform(job=False) as settings:
        install()
        _fill(settings)
        vectors = OnlineReader(settings).get(load_card(MODEL).feature_service, _matches()).matrix
        with _running_api(get_settings()) as (port, pid, took):
            rows = [*_singles(port, seconds), *_batches(port, seconds), *_curves(port, seconds)]
            row, raw["feed"] = _fan_out(port, settings)
            rows.append(row)
            raw["peers"]["Riftstream"] = {"start_s": round(took, 1), "memory_mb": round(_memory(pid))}
        for name in PEERS if only is None else only:
            try:
                row, about = _peer(name, settings, vectors, seconds)
            except RiftError as error:
                notes.append(f"{PEERS[name][0]} was not measured: {error.message}")
                continue
            rows.append(row)
            raw["peers"][PEERS[name][0]] = about
    raw["singles"] = [
        {"by": row[1] if "no cache" in row[0] else f"{row[1]}, cached", "rate": row[2]}
        for row in rows
        if row[0].startswith("single, 64")
    ]
    weights = (f"{by} {one['memory_mb']} MB, up in {one['start_s']} s" for by, one in raw["peers"].items())
    return save(
        "serving",
        "rift bench serving",
        "How many predictions a second does one instance of the API give, and how quickly?",
        ["what", "by", "a second", "p50 ms", "p95 ms", "p99 ms", "failed"],
        rows,
        notes=[
            "One process of each server; load, Kafka, Redis and Triton share the cores with it.",
            f"Ours is asked by match id ({MATCHES} matches), reads 52 features of each from Redis and asks "
            "Triton; the caches answer where they may. The peers are sent the whole feature vector and read "
            "nothing; they run the same ONNX file in their own process, with their own batching.",
            f"Curves are P(over kills) along all usual lines, of {PLAYERS} players by their forms.",
            f"Batches count single predictions a second, times are of whole batches. The feed counts "
            f"deliveries; {FEED_RATE} predictions a second are sent for {FEED_SECONDS:.0f} s.",
            f"Memory and start: {'; '.join(weights)}.",
            *notes,
        ],
        raw=raw,
    )
