"""``rift import``, ``rift replay`` and ``rift poll`` as a person runs them, without a running stack."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner, Result

import streams.commands
from riftstream.cli import gather
from riftstream.errors import RiftError, SourceError
from streams.sources import sample
from tests.streams.sources.lol_pro_files import kill_row, small

RUN = CliRunner()


def rift(*arguments: str) -> Result:
    """Run a command; its errors are raised."""
    app = typer.Typer()
    streams.commands.register(app)
    return RUN.invoke(app, list(arguments), catch_exceptions=False)


def lines(path: Path) -> list[dict[str, Any]]:
    content = path.read_bytes()
    text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    return [json.loads(line) for line in text.splitlines()]


def test_the_commands_are_part_of_rift() -> None:
    names = {command.name for command in gather().registered_commands}
    assert {"import", "replay", "poll"} <= names


@pytest.mark.parametrize("command", ["import", "replay", "poll"])
def test_help_shows_an_example(command: str) -> None:
    result = rift(command, "--help")
    assert result.exit_code == 0
    assert f"Example: rift {command}" in " ".join(result.output.split())


def test_import_writes_events_and_prints_the_account(tmp_path: Path) -> None:
    files = small()
    files.kills.append(kill_row(1, Time=""))
    folder = files.write(tmp_path / "in")
    out = tmp_path / "events.jsonl"
    result = rift("import", "lol-pro", str(folder), "--out", str(out))
    assert result.exit_code == 0
    assert "placeholder" in result.output
    assert len(lines(out)) == 14
    first = out.read_bytes()
    rift("import", "lol-pro", str(folder), "--out", str(out))
    assert out.read_bytes() == first


def test_import_json_accounts_for_every_row(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "in")
    result = rift("import", "lol-pro", str(folder), "--limit", "1", "--out", str(tmp_path / "x.gz"), "--json")
    summary = json.loads(result.stdout)
    assert summary["balanced"] is True
    assert summary["rows_read"] == (
        summary["rows_used"] + summary["rows_left_out"] + summary["rows_rejected"]
    )
    assert summary["events"] == len(lines(tmp_path / "x.gz")) == sum(summary["events_by_type"].values())
    assert summary["files"]["kills.csv"]["rows_left_out"] == 1
    assert summary["matches"] == 1


def test_import_to_standard_output_keeps_it_clean(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "in")
    result = rift("import", "lol-pro", str(folder), "--out", "-")
    events = [json.loads(line) for line in result.stdout.splitlines()]
    assert events[0]["event_type"] == "MATCH_START"
    assert "rows read" in result.stderr


def test_an_import_that_fails_leaves_no_file(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "in")
    (folder / "monsters.csv").unlink()
    with pytest.raises(SourceError, match=r"monsters\.csv"):
        rift("import", "lol-pro", str(folder), "--out", str(tmp_path / "events.jsonl"))
    assert not (tmp_path / "events.jsonl").exists()


def test_replay_of_the_sample_to_a_file_keeps_order_and_original_times(tmp_path: Path) -> None:
    out = tmp_path / "played.jsonl"
    arguments = ("--max", "--matches", "3", "--concurrent", "2", "--event-time", "original", "--json")
    result = rift("replay", *arguments, "--out", str(out))
    summary = json.loads(result.stdout)
    played = lines(out)
    assert summary["matches"] == 3
    assert summary["events"] == len(played)
    for match in sample.matches()[:3]:
        assert [event for event in played if event["match_id"] == match[0]["match_id"]] == match


def test_replay_takes_what_import_wrote(tmp_path: Path) -> None:
    folder = small().write(tmp_path / "in")
    rift("import", "lol-pro", str(folder), "--out", str(tmp_path / "events.jsonl.gz"))
    for what in (str(folder), str(tmp_path / "events.jsonl.gz"), f"lol-pro:{folder}"):
        out = tmp_path / "played.jsonl"
        rift("replay", what, "--max", "--event-time", "original", "--concurrent", "1", "--out", str(out))
        assert lines(out) == lines(tmp_path / "events.jsonl.gz")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--max", "--speed", "2"), "exclude each other"),
        (("--event-time", "yesterday"), "now or original"),
        (("nowhere.jsonl",), "no file, no folder and no source"),
    ],
)
def test_replay_says_what_is_wrong_with_its_options(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(RiftError, match=message):
        rift("replay", *arguments, "--out", "-")


def test_poll_says_what_is_wrong_with_its_options() -> None:
    with pytest.raises(SourceError, match="no live feed nothing"):
        rift("poll", "nothing", "http://127.0.0.1:9/", "--out", "-")
    with pytest.raises(SourceError, match="NAME: VALUE"):
        rift("poll", "lolesports", "http://127.0.0.1:9/", "--header", "x", "--out", "-")
    with pytest.raises(SourceError, match="must be checked"):
        rift("poll", "live-client", "https://192.0.2.1/", "--trust-loopback", "--out", "-")


def test_the_simulator_is_labelled_in_what_is_written(tmp_path: Path) -> None:
    rift("import", "simulator", "--limit", "2", "--seed", "5", "--out", str(tmp_path / "sim.jsonl"))
    assert {event["source"] for event in lines(tmp_path / "sim.jsonl")} == {"simulator"}
    rift("import", "simulator", "sample", "--limit", "1", "--copies", "2", "--out", str(tmp_path / "x.jsonl"))
    assert {event["source"] for event in lines(tmp_path / "x.jsonl")} == {"simulator"}
