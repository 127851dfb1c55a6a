"""What the launcher keeps in RIFT_HOME: addresses for all, secrets for the owner only."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from infra.state import Entry, State
from riftstream.settings import Settings


@pytest.fixture
def state(tmp_path: Path) -> State:
    found = State(tmp_path / "home")
    found.make_home()
    return found


def mode(file: Path) -> int:
    return stat.S_IMODE(file.stat().st_mode)


def test_home_and_secrets_are_for_their_owner_only(state: State) -> None:
    state.secrets()
    assert mode(state.home) == 0o700
    assert mode(state.home / "secrets.json") == 0o600


def test_secrets_are_made_once_and_differ_between_stacks(state: State, tmp_path: Path) -> None:
    other = State(tmp_path / "other")
    other.make_home()
    assert state.secrets() == state.secrets()
    assert not set(state.secrets().values()) & set(other.secrets().values())


def test_settings_find_what_the_stack_wrote(state: State) -> None:
    state.save(
        "redis",
        Entry(ports={"redis": 7001}, pid=1, created=2.0),
        {"kafka_bootstrap": "127.0.0.1:7000"},
        {"redis_url": "redis://:word@127.0.0.1:7001/0"},
    )
    found = Settings(home=state.home)
    assert found.kafka_bootstrap == "127.0.0.1:7000"
    assert found.redis_url.get_secret_value() == "redis://:word@127.0.0.1:7001/0"


def test_settings_with_a_password_stay_out_of_the_addresses(state: State) -> None:
    state.save("redis", Entry(), {"a": "1"}, {"redis_url": "redis://:word@127.0.0.1:1/0"})
    assert "word" not in (state.home / "stack.json").read_text()


def test_entry_comes_back_as_it_was_saved(state: State) -> None:
    entry = Entry({"http": 1}, 2, 3.5, "4", "5", {"other": {"rpc": 6}}, True, "url", True)
    state.save("api", entry, {}, {})
    assert state.entry("api") == entry
    state.remove("api")
    assert state.entries() == {}


def test_saving_the_same_again_does_not_touch_the_file(state: State) -> None:
    state.save("api", Entry(), {"a": "1"}, {})
    before = (state.home / "stack.json").stat().st_ino
    state.save("api", Entry(), {"a": "1"}, {})
    assert (state.home / "stack.json").stat().st_ino == before


def test_further_facts_stand_beside_settings_and_parts(state: State) -> None:
    state.save("api", Entry(), {"a": "1"}, {})
    state.note(flink_home="x")
    stack = json.loads((state.home / "stack.json").read_text())
    assert stack["flink_home"] == "x"
    assert set(stack) == {"settings", "parts", "flink_home"}


def test_folder_that_holds_foreign_files_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    (tmp_path / "logs").mkdir()
    foreign = State(tmp_path)
    foreign.make_home({"logs"})
    assert not foreign.ours
    (tmp_path / "letter.txt").unlink()
    foreign.make_home({"logs"})
    assert foreign.ours
