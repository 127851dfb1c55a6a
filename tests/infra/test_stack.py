"""The launcher on real servers: quick and unchanged, healed, clean. Two quick parts stand for all."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from infra import processes, stack
from infra.flink_home import flink_home, stamp
from infra.locks import file_lock
from infra.stack import PartStatus
from infra.starter import mark
from riftstream.errors import StackError
from riftstream.settings import Settings, get_settings

pytestmark = pytest.mark.stack

PARTS = ("redis", "objectstore")
_SERVER = ["python", "-m", "http.server", "{port}", "--bind", "127.0.0.1"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A stack of the test's own, down and gone afterwards."""
    own = tmp_path / "home"
    monkeypatch.setenv("RIFT_HOME", str(own))
    get_settings.cache_clear()
    try:
        yield own
    finally:
        stack.down(wipe=True)
        monkeypatch.undo()
        get_settings.cache_clear()


def by_name(statuses: list[PartStatus]) -> dict[str, PartStatus]:
    return {status.name: status for status in statuses}


def health() -> dict[str, PartStatus]:
    return by_name(stack.health())


def kill(status: PartStatus) -> None:
    """Kill the main process of a part, as ``kill -9`` does, and wait until it is gone."""
    assert status.pid is not None
    os.kill(status.pid, signal.SIGKILL)
    wait_for(lambda: health()[status.name].state == "dead")


def wait_for(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def files(folder: Path) -> dict[Path, bytes]:
    return {file: file.read_bytes() for file in folder.rglob("*.json") if file.is_file()}


def test_second_start_changes_nothing(home: Path) -> None:
    first = by_name(stack.up(PARTS))
    before = files(home)
    second = by_name(stack.up(PARTS))
    assert all(first[name].state == second[name].state == "ready" for name in PARTS)
    assert [first[name].pid for name in PARTS] == [second[name].pid for name in PARTS]
    assert [first[name].ports for name in PARTS] == [second[name].ports for name in PARTS]
    assert files(home) == before


def test_killed_part_is_named_with_its_last_lines_and_healed_by_the_next_start(home: Path) -> None:
    before = by_name(stack.up(PARTS))
    kill(before["redis"])
    dead = health()["redis"]
    assert dead.state == "dead"
    assert "Ready to accept connections" in dead.detail
    after = by_name(stack.up(PARTS))
    assert after["redis"].state == "ready"
    assert after["redis"].pid != before["redis"].pid
    assert after["redis"].ports == before["redis"].ports
    assert after["objectstore"].pid == before["objectstore"].pid


def test_data_survives_a_kill_and_a_restart(home: Path) -> None:
    import redis

    running = by_name(stack.up(["redis"]))
    url = get_settings().redis_url.get_secret_value()
    with redis.Redis.from_url(url, protocol=2) as client:
        client.set("answer", 42)
    kill(running["redis"])
    stack.up(["redis"])
    with redis.Redis.from_url(get_settings().redis_url.get_secret_value(), protocol=2) as client:
        assert client.get("answer") == b"42"


def test_part_that_dies_while_it_starts_is_named_with_its_last_lines(home: Path) -> None:
    stack.up(["redis"])
    stack.down()
    (home / "redis" / "appendonly.aof").write_bytes(b"this is no command\n")
    with pytest.raises(StackError, match="redis died while it started") as caught:
        stack.up(["redis"])
    assert "Bad file format reading the append only file" in caught.value.hint
    assert health()["redis"].state == "stopped"


def test_down_leaves_no_process_and_no_open_port_and_wipe_no_data(home: Path) -> None:
    running = by_name(stack.up(PARTS))
    assert processes.marked(mark(home))
    stack.down()
    assert processes.marked(mark(home)) == []
    assert {status.state for status in stack.health()} == {"stopped"}
    for name in PARTS:
        for port in running[name].ports.values():
            assert not processes.listens("", port)
    assert (home / "redis" / "appendonly.aof").is_file()
    stack.down(wipe=True)
    assert not home.exists()


def test_wipe_spares_files_that_were_there_before_the_stack(home: Path) -> None:
    home.mkdir()
    (home / "letter.txt").write_text("mine")
    stack.up(["redis"])
    stack.down(wipe=True)
    assert [file.name for file in home.iterdir()] == ["letter.txt"]


def test_ports_are_kept_for_the_next_start(home: Path) -> None:
    before = by_name(stack.up(["redis"]))["redis"].ports
    stack.down()
    assert by_name(stack.up(["redis"]))["redis"].ports == before


def test_second_command_is_refused_while_one_is_at_work(home: Path) -> None:
    home.mkdir()
    with file_lock(home / "up.lock"), pytest.raises(StackError, match="Another rift command is at work"):
        stack.up(["redis"])


def test_unknown_part_is_refused_with_the_names_of_the_known_ones(home: Path) -> None:
    with pytest.raises(StackError, match=r"no part called zookeeper.*kafka"):
        stack.up(["zookeeper"])


def test_interrupted_start_leaves_no_process(home: Path) -> None:
    starter = "from riftstream.cli import main; main()"
    # Kafka takes seconds to be ready, so the signal always comes in mid-start.
    command = [sys.executable, "-c", starter, "stack", "up", *PARTS, "kafka"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as started:
        wait_for(lambda: bool(processes.marked(mark(home))))
        started.send_signal(signal.SIGINT)
        started.wait()
    assert started.returncode == 130
    assert processes.marked(mark(home)) == []


def test_application_runs_as_a_part_and_is_healed_and_goes_down_with_the_stack(home: Path) -> None:
    settings = {"api_url": "http://127.0.0.1:{port}"}

    def start() -> PartStatus:
        return stack.up_app("app", _SERVER, port=8090, url="http://127.0.0.1:{port}/", settings=settings)

    first = start()
    assert first.state == "ready"
    assert get_settings().api_url == f"http://127.0.0.1:{first.ports['http']}"
    assert start().pid == first.pid
    kill(first)
    healed = start()
    assert healed.state == "ready"
    assert healed.pid != first.pid
    stack.down()
    assert "app" not in health()
    assert processes.marked(mark(home)) == []


def test_application_with_another_command_line_is_restarted(home: Path) -> None:
    sleep = "import time; time.sleep({})"
    first = stack.up_app("loop", ["python", "-c", sleep.format(600)])
    second = stack.up_app("loop", ["python", "-c", sleep.format(601)])
    assert first.pid != second.pid
    stack.down_app("loop")
    assert processes.marked(mark(home)) == []


def test_application_that_fails_is_named_with_what_it_said(home: Path) -> None:
    with pytest.raises(StackError, match="loop died while it started") as caught:
        stack.up_app("loop", ["python", "-c", "raise SystemExit('no model to serve')"])
    assert "no model to serve" in caught.value.hint


def test_application_cannot_take_the_name_of_a_server(home: Path) -> None:
    with pytest.raises(StackError, match="kafka is the name of a server"):
        stack.up_app("kafka", ["python", "-c", "pass"])


def test_secrets_stand_in_no_log(home: Path) -> None:
    stack.up(PARTS)
    words = re.findall(r'": "([^"]{16,})"', (home / "secrets.json").read_text())
    assert len(words) >= 3
    for log in (home / "logs").iterdir():
        assert not any(word in log.read_text(errors="replace") for word in words)


def test_java_source_that_does_not_compile_is_named_with_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "Broken.java").write_text("public class Broken {\n  int x = ;\n}\n")
    with pytest.raises(StackError, match="do not compile") as caught:
        flink_home(sources=tmp_path)
    assert re.search(r"Broken\.java.*line 2", caught.value.hint)


def test_flink_home_is_made_once_and_anew_when_a_source_changes(tmp_path: Path) -> None:
    source = tmp_path / "Small.java"
    source.write_text("public class Small { }\n")
    first = flink_home(sources=tmp_path)
    assert (first / "lib" / "riftstream.jar").is_file()
    assert flink_home(sources=tmp_path) == first
    before = stamp(tmp_path)
    source.write_text("public class Small { int x; }\n")
    assert stamp(tmp_path) != before
    assert flink_home(sources=tmp_path) != first


def test_all_servers_of_the_platform_listen_on_loopback_only(stack: Settings) -> None:
    addresses = set()
    for process in processes.marked(mark(stack.home)):
        for connection in process.net_connections("inet"):
            if connection.status == psutil.CONN_LISTEN:
                addresses.add(connection.laddr.ip)
    assert addresses
    assert addresses <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


def test_second_start_of_the_whole_stack_changes_nothing(stack: Settings) -> None:
    from infra.stack import up

    before = {status.name: status.pid for status in health().values()}
    record = (stack.home / "stack.json").read_bytes()
    after = {status.name: status.pid for status in up()}
    assert after == before
    assert (stack.home / "stack.json").read_bytes() == record
