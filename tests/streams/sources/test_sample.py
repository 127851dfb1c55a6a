"""The committed sample of real matches."""

from __future__ import annotations

import gzip
from collections import Counter
from pathlib import Path

from streams.identity import identify
from streams.rules import faults
from streams.schemas import for_topic
from streams.sources import sample
from streams.sources.json_lines import encode
from streams.sources.lol_pro import LolPro
from streams.sources.sample.build import choose


def test_twenty_matches_of_the_test_split_with_and_without_gold() -> None:
    matches = sample.matches()
    assert len(matches) == 20
    assert {match[0]["season"] for match in matches} == {"2017 Summer"}
    assert len({match[0]["league"] for match in matches}) == 11
    with_gold = [match for match in matches if any(e["event_type"] == "TEAM_GOLD" for e in match)]
    assert len(with_gold) == 10
    assert sum(1 for _ in sample.events()) == sum(len(match) for match in matches) == 1_342


def test_every_event_is_valid_and_has_the_id_of_its_fields() -> None:
    schema = for_topic("live-matches")
    for event in sample.events():
        assert not faults(event, schema)
        assert event["event_id"] == identify(event)
        assert event["source"] == "lol-pro"


def test_the_comeback_is_one() -> None:
    match = next(match for match in sample.matches() if match[0]["match_id"] == sample.COMEBACK)
    gold = [
        (e["red_gold"] - e["blue_gold"], e["game_time_ms"]) for e in match if e["event_type"] == "TEAM_GOLD"
    ]
    assert match[-1]["winner"] == "red"
    assert min(gold) == (-11_226, 38 * 60_000)


def test_the_sample_is_what_the_import_makes_of_the_whole_set(data: Path) -> None:
    chosen = choose(list(LolPro(data).matches()))
    made = b"".join(encode(event) for match in chosen for event in match)
    assert made == gzip.decompress(sample.FILE.read_bytes())


def test_the_readme_names_the_source_and_the_true_number_of_events() -> None:
    text = (sample.FILE.parent / "README.md").read_text()
    assert "chuckephron/leagueoflegends" in text
    assert f"{sum(Counter(e['event_type'] for e in sample.events()).values()):,} events" in text
