"""Events as JSON lines: whole files or none, and every line accounted for."""

from __future__ import annotations

import gzip
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from riftstream.errors import SourceError
from streams.sources import open_input, open_source, sample
from streams.sources.json_lines import JsonLines, write

Event = dict[str, Any]


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_written_events_are_read_back(tmp_path: Path, name: str) -> None:
    path = tmp_path / "folder" / name
    assert write(sample.events(), path) == 1_342
    source = JsonLines(path)
    assert list(source.matches()) == sample.matches()
    assert source.account.balanced
    assert path.read_bytes().startswith(b"\x1f\x8b") is name.endswith(".gz")


@pytest.mark.parametrize("name", ["events.jsonl", "events.jsonl.gz"])
def test_the_same_events_give_the_same_bytes(tmp_path: Path, name: str) -> None:
    write(sample.events(), tmp_path / name)
    first = (tmp_path / name).read_bytes()
    write(sample.events(), tmp_path / name)
    assert (tmp_path / name).read_bytes() == first


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_write_that_is_broken_off_leaves_the_old_file_and_no_rest(
    tmp_path: Path, error: type[BaseException]
) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text("old")

    def broken() -> Iterator[Event]:
        yield next(sample.events())
        raise error

    with pytest.raises(error):
        write(broken(), path)
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SourceError, match="cannot be written"):
        write(sample.events(), tmp_path / "file" / "events.jsonl")


def test_bad_lines_are_rejected_by_reason_and_good_ones_stay(tmp_path: Path) -> None:
    good = b'{"match_id":"M","event_type":"REMAKE","event_time":1,"game_time_ms":2}'
    lines = [
        good,
        b"",
        b"{",
        b"[]",
        b"\xff",
        good.replace(b'"M"', b"7"),
        good.replace(b'"event_time"', b'"when"'),
        good.replace(b"}", b',"colour":"blue"}'),
    ]
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"\n".join(lines))
    source = JsonLines(path)
    (match,) = source.matches()
    assert len(match) == 1
    assert source.account.files["events.jsonl"].rejected == Counter(
        {
            "not JSON": 2,
            "not a JSON object": 1,
            "no match_id": 1,
            "no event_time": 1,
            "unknown field colour": 1,
        }
    )
    assert source.account.balanced


@given(lines=st.lists(st.one_of(st.binary(max_size=30), st.just(b'{"match_id":"M"}')), max_size=10))
@settings(max_examples=100, deadline=None)
def test_whatever_a_file_holds_it_balances(
    tmp_path_factory: pytest.TempPathFactory, lines: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("lines") / "events.jsonl"
    content = b"\n".join(lines)
    path.write_bytes(content)
    if content.startswith(b"\x1f\x8b"):
        return
    source = JsonLines(path)
    assert list(source.matches()) == []
    assert source.account.balanced


def test_interleaved_matches_are_grouped_and_limited(tmp_path: Path) -> None:
    matches = sample.matches()[:3]
    mixed = [event for group in zip(*matches, strict=False) for event in group]
    write(mixed, tmp_path / "mixed.jsonl")
    source = JsonLines(tmp_path / "mixed.jsonl", limit=2)
    got = list(source.matches())
    assert [match[0]["match_id"] for match in got] == [match[0]["match_id"] for match in matches[:2]]
    assert source.account.files["mixed.jsonl"].left_out == len(mixed) // 3
    assert source.account.balanced


@pytest.mark.parametrize("content", [b"\x1f\x8b", gzip.compress(b"{}")[:-3]])
def test_a_broken_gzip_file_is_an_error(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "events.jsonl.gz").write_bytes(content)
    with pytest.raises(SourceError, match="cannot be read"):
        JsonLines(tmp_path / "events.jsonl.gz")


def test_what_a_person_may_name(tmp_path: Path) -> None:
    write(sample.events(), tmp_path / "events.jsonl")
    assert len(open_input(None)) == 20
    assert len(open_input("sample")) == 20
    assert len(open_input(str(tmp_path / "events.jsonl"))) == 20
    assert len(open_input(f"events:{tmp_path / 'events.jsonl'}")) == 20
    with pytest.raises(SourceError, match="no file, no folder and no source"):
        open_input("nothing-like-that")
    with pytest.raises(SourceError, match="no source nowhere"):
        open_source("nowhere", "x")
    with pytest.raises(SourceError, match="needs a path"):
        open_source("match-v5")


def test_kaggle_without_kagglehub_says_what_to_do() -> None:
    try:
        import kagglehub  # noqa: F401
    except ImportError:
        with pytest.raises(SourceError, match="kagglehub is not installed"):
            open_input("kaggle:")
    else:
        pytest.skip("kagglehub is installed")
