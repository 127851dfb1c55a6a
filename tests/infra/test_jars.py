"""Downloads: locked by checksum, resumed where they broke, refused where they differ."""

from __future__ import annotations

import hashlib
import tomllib
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread

import httpx
import pytest

from infra import jars
from infra.jars import Artefact, download, locked
from riftstream.errors import StackError

BODY = bytes(range(256)) * 4096


class Repository(ThreadingHTTPServer):
    """A Maven repository with one file; it can break off after some bytes.

    Attributes:
        body: The file.
        ranges: ``Range`` header of each request.
        breaks: For each request to come: after how many bytes the connection breaks.
    """

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.body = BODY
        self.ranges: list[str | None] = []
        self.breaks: list[int] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/maven"


class _Answer(BaseHTTPRequestHandler):
    server: Repository

    def do_GET(self) -> None:
        if self.path != "/maven/org/example/tool/1.2/tool-1.2.jar":
            self.send_error(404)
            return
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = self.server.body[start:]
        self.send_response(206 if asked else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            body = body[: self.server.breaks.pop(0)]
        self.wfile.write(body)
        self.close_connection = True

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing."""


@pytest.fixture
def repository() -> Iterator[Repository]:
    with Repository() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
def artefact() -> Artefact:
    return Artefact("org.example:tool:1.2", hashlib.sha256(BODY).hexdigest(), len(BODY))


@pytest.fixture(autouse=True)
def no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    """Repeat a broken download at once."""
    monkeypatch.setattr(Event, "wait", lambda self, timeout=None: self.is_set())


def get(repository: Repository, artefact: Artefact, file: Path, *, cancel: Event | None = None) -> list[int]:
    reports: list[int] = []
    with httpx.Client() as client:
        download(client, [repository.url], artefact, file, reports.append, cancel or Event())
    return reports


def test_file_arrives_whole_and_is_told_about(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    reports = get(repository, artefact, tmp_path / "tool.jar")
    assert (tmp_path / "tool.jar").read_bytes() == BODY
    assert reports[-1] == len(BODY)
    assert not (tmp_path / "tool.jar.part").exists()


def test_broken_download_goes_on_where_it_stopped(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    repository.breaks = [300_000]
    get(repository, artefact, tmp_path / "tool.jar")
    assert (tmp_path / "tool.jar").read_bytes() == BODY
    first, second = repository.ranges
    assert first is None
    assert second is not None
    assert 0 < int(second.removeprefix("bytes=").rstrip("-")) <= 300_000


def test_download_of_an_earlier_run_goes_on_where_it_stopped(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    (tmp_path / "tool.jar.part").write_bytes(BODY[:1000])
    get(repository, artefact, tmp_path / "tool.jar")
    assert (tmp_path / "tool.jar").read_bytes() == BODY
    assert repository.ranges == ["bytes=1000-"]


def test_file_with_another_checksum_is_refused_and_thrown_away(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    repository.body = b"x" * len(BODY)
    with pytest.raises(StackError, match=r"checksum of org\.example:tool:1\.2 differs"):
        get(repository, artefact, tmp_path / "tool.jar")
    assert list(tmp_path.iterdir()) == []


def test_wrong_beginning_of_an_earlier_run_is_started_over(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    (tmp_path / "tool.jar.part").write_bytes(b"wrong")
    get(repository, artefact, tmp_path / "tool.jar")
    assert (tmp_path / "tool.jar").read_bytes() == BODY
    assert repository.ranges == ["bytes=5-", None]


def test_file_that_no_repository_has_is_named(repository: Repository, tmp_path: Path) -> None:
    with pytest.raises(StackError, match=r"No repository has org\.example:none:1"):
        get(repository, Artefact("org.example:none:1", "0" * 64, 1), tmp_path / "none.jar")


def test_download_that_always_breaks_says_that_it_can_go_on(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    repository.breaks = [10] * 50
    with pytest.raises(StackError, match="goes on where it stopped"):
        get(repository, artefact, tmp_path / "tool.jar")
    assert 0 < (tmp_path / "tool.jar.part").stat().st_size < len(BODY)


def test_download_that_is_called_off_leaves_no_file(
    repository: Repository, artefact: Artefact, tmp_path: Path
) -> None:
    cancel = Event()
    cancel.set()
    with pytest.raises(StackError, match="was stopped"):
        get(repository, artefact, tmp_path / "tool.jar", cancel=cancel)
    assert not (tmp_path / "tool.jar").exists()


def test_repository_path_has_classifier_and_packaging() -> None:
    path = Artefact("io.example.app:app:3.3:all:tar.gz", "", 0).path
    assert path == "io/example/app/app/3.3/app-3.3-all.tar.gz"


def test_lock_holds_every_wanted_file_with_its_sum_and_no_address() -> None:
    text = jars.LOCK.read_text()
    assert "://" not in text
    for name, entry in tomllib.loads(jars.WANTED.read_text()).items():
        files = locked(name)
        assert set(entry["roots"]) <= {file.coordinate for file in files}
        assert all(len(file.sha256) == 64 and file.size > 0 for file in files)


def test_no_jar_of_the_lock_is_there_in_two_versions() -> None:
    for name in tomllib.loads(jars.WANTED.read_text()):
        artefacts = [file.coordinate.rsplit(":", 1)[0] for file in locked(name)]
        assert len(set(artefacts)) == len(artefacts)


def test_flink_gets_no_logging_jar_that_quarrels_with_its_own() -> None:
    names = " ".join(file.coordinate for file in locked("flink"))
    assert "commons-logging" not in names
    assert "slf4j" not in names
