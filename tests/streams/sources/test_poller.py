"""The poller against a real HTTP server on this machine."""

from __future__ import annotations

import datetime
import hashlib
import itertools
import json
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from riftstream.errors import SourceError
from streams.sources import sample
from streams.sources.live_client import LiveClient
from streams.sources.lolesports import LolEsports
from streams.sources.poller import Polled, client, is_loopback, poll
from streams.sources.snapshots import MAX_BODY, Snapshots
from tests.streams.sources.feeds import all_game_data, window

Event = dict[str, Any]
# Status and body for the n-th question with these parameters.
Answer = Callable[[int, dict[str, list[str]]], tuple[int, bytes]]

MATCH = next(match for match in sample.matches() if match[0]["match_id"] == sample.COMEBACK)
LAST = MATCH[-1]["game_time_ms"]
FAST = 0.01


@contextmanager
def serving(answer: Answer, context: ssl.SSLContext | None = None) -> Iterator[str]:
    """A real server; gives its address."""
    asked = 0

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            nonlocal asked
            status, body = answer(asked, parse_qs(urlsplit(self.path).query))
            asked += 1
            self.send_response(status)
            if status in (301, 302):
                self.send_header("Location", "http://127.0.0.1:9/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "https" if context else "http"
        yield f"{scheme}://127.0.0.1:{server.server_address[1]}/liveclientdata/allgamedata"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def game(number: int, _: Any) -> tuple[int, bytes]:
    """The match, four minutes further with each question."""
    return 200, json.dumps(all_game_data(MATCH, min(LAST, number * 240_000))).encode()


def followed(url: str, **more: Any) -> tuple[Polled, list[Event]]:
    events: list[Event] = []
    with client(url) as http:
        return poll(url, LiveClient(), events.append, http, every=FAST, **more), events


def test_a_match_is_followed_to_its_end() -> None:
    with serving(game) as url:
        polled, events = followed(url)
    assert events[0]["event_type"] == "MATCH_START"
    assert events[-1]["event_type"] == "MATCH_END"
    kills = [event for event in events if event["event_type"] == "CHAMPION_KILL"]
    assert len(kills) == sum(event["event_type"] == "CHAMPION_KILL" for event in MATCH)
    assert polled.events == len(events)
    assert polled.failures == 0


@pytest.mark.parametrize(
    "bad", [(500, b""), (200, b"not json"), (200, b"[]"), (200, b'{"gameData":{}}'), (302, b"")]
)
def test_bad_answers_are_counted_and_nothing_is_lost_after_them(bad: tuple[int, bytes]) -> None:
    def answer(number: int, parameters: Any) -> tuple[int, bytes]:
        return bad if number in (1, 3) else game(number, parameters)

    with serving(answer) as url:
        polled, events = followed(url)
    assert polled.failures == 2
    assert len(polled.reasons) == 2
    assert sum(event["event_type"] == "CHAMPION_KILL" for event in events) == sum(
        event["event_type"] == "CHAMPION_KILL" for event in MATCH
    )


@pytest.mark.parametrize("status", [204, 404])
def test_a_game_that_has_not_begun_is_waited_for(status: int) -> None:
    def answer(number: int, parameters: Any) -> tuple[int, bytes]:
        return (status, b"") if number < 3 else (200, json.dumps(all_game_data(MATCH, LAST)).encode())

    with serving(answer) as url:
        polled, events = followed(url, patience=0.0)
    assert (polled.quiet, polled.failures) == (3, 0)
    assert events[-1]["event_type"] == "MATCH_END"


def test_an_answer_without_end_is_cut_off() -> None:
    def answer(number: int, _: Any) -> tuple[int, bytes]:
        return 200, json.dumps(all_game_data(MATCH, LAST)).encode() + b" " * (number == 0) * 2_000_000

    with serving(answer) as url:
        polled, _ = followed(url, max_bytes=1_000_000)
    assert polled.reasons == ["an answer longer than 1000000 bytes"]


def test_every_answer_is_kept_as_told_and_one_that_says_the_same_is_not_kept_again() -> None:
    told: list[bytes] = []

    def answer(number: int, parameters: Any) -> tuple[int, bytes]:
        status, body = (
            (200, b"not json") if number == 1 else (503, b"") if number == 2 else game(number // 2, 0)
        )
        told.append(body)
        return status, body

    kept: list[dict[str, Any]] = []
    with serving(answer) as url:
        secret = url.replace("http://", "http://me:secret@") + "?key=secret"
        polled, events = followed(url, snapshots=Snapshots("live-client", secret, kept.append))
    usable = [body for body in told if body]
    different = [body for last, body in itertools.pairwise([b"", *usable]) if body != last]
    assert len(different) < len(usable), "the feed repeats itself"
    assert [row["body"] for row in kept] == different
    for row in kept:
        assert row["body_sha256"] == hashlib.sha256(row["body"]).hexdigest()
        assert row["url"] == url
    assert [row["refused"] is not None for row in kept] == [body == b"not json" for body in different]
    assert sum(row["events"] for row in kept) == len(events) == polled.events
    assert {row["match_id"] for row in kept} == {events[0]["match_id"]}
    assert len({row["snapshot_id"] for row in kept}) == len(kept)


def test_of_an_answer_that_is_too_long_length_and_hash_are_kept() -> None:
    kept: list[dict[str, Any]] = []
    snapshots = Snapshots("lolesports", "https://feed.example.org/window/1", kept.append)
    snapshots.keep(b" " * (MAX_BODY + 1), 0, {"startingTime": "x"}, [], "not JSON")
    [row] = kept
    assert (row["body"], row["body_bytes"]) == (None, MAX_BODY + 1)
    assert json.loads(row["parameters"]) == {"startingTime": "x"}


def test_patience_ends_with_an_error_that_says_why() -> None:
    with serving(lambda *_: (503, b"")) as url, pytest.raises(SourceError, match="status 503"):
        followed(url, patience=0.05)


def test_nobody_listening_is_an_error_that_names_the_address() -> None:
    with pytest.raises(SourceError, match=r"127\.0\.0\.1:9/"):
        followed("http://127.0.0.1:9/allgamedata", patience=0.05)


def test_a_stop_ends_the_poller_between_two_questions() -> None:
    stop = threading.Event()
    with serving(lambda *_: game(1, None)) as url:
        polled, events = followed(url, stop=stop, on_poll=lambda _: stop.set())
    assert polled.polls == 1
    assert events


def test_what_send_raises_is_not_swallowed() -> None:
    def send(_: Event) -> None:
        raise RuntimeError("full")

    with serving(game) as url, client(url) as http, pytest.raises(RuntimeError, match="full"):
        poll(url, LiveClient(), send, http, every=FAST)


def test_windows_are_asked_by_time_until_the_match_is_finished() -> None:
    start = 1_500_000_000_000
    asked: list[int | None] = []

    def answer(_: int, parameters: dict[str, list[str]]) -> tuple[int, bytes]:
        wanted = parameters.get("startingTime")
        since = 0
        if wanted:
            since = int(datetime.datetime.fromisoformat(wanted[0]).timestamp() * 1000) - start
        asked.append(since if wanted else None)
        states = [
            (at, at, "in_game" if at < 60_000 else "finished") for at in range(since, since + 10_000, 500)
        ]
        return 200, json.dumps(window(MATCH, start, states)).encode()

    feed = LolEsports()
    events: list[Event] = []
    with serving(answer) as url, client(url) as http:
        poll(url, feed, events.append, http, every=FAST)
    assert feed.finished
    assert asked[0] is None
    assert asked[1:] == sorted(set(asked[1:]))  # type: ignore[type-var]
    clocks = [event["game_time_ms"] for event in events]
    assert clocks == sorted(clocks)


@pytest.fixture(scope="module")
def own_certificate(tmp_path_factory: pytest.TempPathFactory) -> ssl.SSLContext:
    """A server context with a certificate that it signed itself, as the game client has."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "rift test")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .sign(key, hashes.SHA256())
    )
    file: Path = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context


def test_the_game_clients_own_certificate_is_accepted_only_by_flag(own_certificate: ssl.SSLContext) -> None:
    with serving(game, own_certificate) as url:
        with client(url, trust_loopback=True) as http:
            events: list[Event] = []
            poll(url, LiveClient(), events.append, http, every=FAST)
        assert events[-1]["event_type"] == "MATCH_END"
        with pytest.raises(SourceError, match="CERTIFICATE_VERIFY_FAILED"):
            followed(url, patience=0.05)


def test_no_other_machines_certificate_goes_unchecked() -> None:
    with pytest.raises(SourceError, match="must be checked"):
        client("https://feed.example.org/window", trust_loopback=True)


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/x", "file:///etc/passwd", "https://", "allgamedata"])
def test_only_http_addresses_are_asked(url: str) -> None:
    with pytest.raises(SourceError, match="not an http"):
        client(url)


@pytest.mark.parametrize(
    ("url", "answer"),
    [
        ("https://127.0.0.1:2999/x", True),
        ("https://[::1]:2999/x", True),
        ("http://localhost/x", True),
        ("https://127.0.0.1.example.org/x", False),
        ("https://10.0.0.1/x", False),
        ("https://127.0.0.1@example.org/x", False),
    ],
)
def test_what_counts_as_this_machine(url: str, answer: bool) -> None:
    assert is_loopback(url) is answer


def test_the_real_answer_is_polled(data: Path) -> None:
    body = (data / "live-samples" / "live-client-allgamedata.json").read_bytes()
    with serving(lambda *_: (200, body)) as url:
        polled, events = followed(url)
    assert polled.polls == 1
    assert events[-1]["winner"] == "red"
    assert len(events) == 109
