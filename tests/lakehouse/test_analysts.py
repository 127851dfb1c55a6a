"""What the pages for analysts promise is true: queries, Python and notebook run, the answers are right."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from pyiceberg.catalog import Catalog
from typer.testing import CliRunner

from lakehouse import analytics, clickhouse, dashboard, sql
from lakehouse.sql import Moment
from riftstream.cli import gather
from riftstream.settings import get_settings
from streams.sources import sample
from tests.lakehouse import lake

pytestmark = pytest.mark.stack

DOCS = Path(__file__).parents[2] / "docs"
HOW_TO = DOCS / "how-to"
QUESTIONS = (
    "matches",
    "blue",
    "long",
    "banned",
    "kills",
    "blood",
    "dragon",
    "come back",
    "minute",
    "calibrated",
)


def blocks(page: str, language: str) -> list[str]:
    """Code of a page."""
    found = re.findall(rf"^```{language}\n(.*?)^```", (HOW_TO / page).read_text(), re.MULTILINE | re.DOTALL)
    return [str(text) for text in found]


@pytest.fixture(scope="module")
def catalog(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Catalog]:
    """A lake with the twenty matches of the sample."""
    with lake.own_home(tmp_path_factory.mktemp("analysts") / "home"):
        yield lake.filled(sample.matches())


@pytest.fixture(scope="module")
def answers(catalog: Catalog) -> list[list[dict[str, Any]]]:
    """What the ten questions are answered, in their order."""
    return [sql.query_in(catalog, text).to_pylist() for text in blocks("ask-the-lake.md", "sql")]


@pytest.fixture(scope="module")
def ends() -> dict[str, dict[str, Any]]:
    """How each match of the sample ended."""
    return {match[0]["match_id"]: match[-1] for match in sample.matches()}


def share(flags: list[bool]) -> Any:
    return pytest.approx(sum(flags) / len(flags))


def test_there_are_ten_questions_and_each_is_answered(answers: list[list[dict[str, Any]]]) -> None:
    headings = re.findall(r"^### \d+\. (.*)$", (HOW_TO / "ask-the-lake.md").read_text(), re.MULTILINE)
    assert len(headings) == len(answers) == 10
    assert all(word in heading for word, heading in zip(QUESTIONS, headings, strict=True))
    assert all(answers)


def test_matches_lengths_and_bans_are_those_of_the_sample(
    answers: list[list[dict[str, Any]]], ends: dict[str, dict[str, Any]]
) -> None:
    leagues = Counter(match[0]["league"] for match in sample.matches())
    assert {row["league"]: row["matches"] for row in answers[0]} == dict(leagues)
    assert sum(row["events"] for row in answers[0]) == sum(map(len, sample.matches()))
    assert answers[1] == [
        {"matches": 20, "blue_wins": share([end["winner"] == "blue" for end in ends.values()])}
    ]
    lengths = sorted(end["duration_ms"] / 60_000 for end in ends.values())
    assert answers[2][0]["median_minutes"] == pytest.approx((lengths[9] + lengths[10]) / 2, abs=0.05)
    bans = Counter(
        champion
        for match in sample.matches()
        for champion in [*(match[0].get("blue_bans") or []), *(match[0].get("red_bans") or [])]
    )
    assert [row["bans"] for row in answers[3]] == [count for _, count in bans.most_common(10)]


def test_players_first_bloods_dragons_and_comebacks_are_those_of_the_sample(
    answers: list[list[dict[str, Any]]], ends: dict[str, dict[str, Any]]
) -> None:
    best = answers[4][0]
    part = [0, 0]
    for match in sample.matches():
        for side in ("blue", "red"):
            if best["player_id"] in (match[0].get(f"{side}_players") or []):
                kills = [e for e in match if e["event_type"] == "CHAMPION_KILL" and e.get("team") == side]
                named = [
                    e for e in kills if best["player_id"] in (e["player_id"], *(e.get("assist_ids") or []))
                ]
                part = [part[0] + len(named), part[1] + len(kills)]
    assert best["participation"] == pytest.approx(part[0] / part[1], abs=0.001)
    bloods, dragons = [], defaultdict(list)
    behind = defaultdict(list)
    for match in sample.matches():
        winner = ends[match[0]["match_id"]]["winner"]
        kills = [e for e in match if e["event_type"] == "CHAMPION_KILL" and e.get("team")]
        bloods += (
            [min(kills, key=lambda e: (e["game_time_ms"], e["ordinal"]))["team"] == winner] if kills else []
        )
        taken = [e for e in match if e.get("monster") == "DRAGON"]
        if taken:
            first = min(taken, key=lambda e: e["game_time_ms"])
            dragons[first.get("monster_sub") or "unknown"].append(first["team"] == winner)
        gold = [e for e in match if e["event_type"] == "TEAM_GOLD" and e["game_time_ms"] <= 20 * 60_000]
        if gold:
            newest = max(gold, key=lambda e: e["game_time_ms"])
            lead = newest["blue_gold"] - newest["red_gold"]
            if lead:
                behind[abs(lead) // 2000 * 2000].append(winner == ("blue" if lead < 0 else "red"))
    assert answers[5] == [{"matches": len(bloods), "wins": share(bloods)}]
    assert {row["kind"]: (row["matches"], row["wins"]) for row in answers[6]} == {
        kind: (len(flags), share(flags)) for kind, flags in dragons.items()
    }
    assert [(row["behind_by_at_least"], row["matches"], row["comebacks"]) for row in answers[7]] == [
        (gap, len(flags), share(flags)) for gap, flags in sorted(behind.items())
    ]


def test_predictions_are_scored_as_they_were_said(answers: list[list[dict[str, Any]]]) -> None:
    said = lake.outcomes([lake.log(match, n) for n, match in enumerate(sample.matches())])
    for row in answers[8]:
        errors = [one["squared_error"] for one in said if one["minute"] == row["minute"]]
        assert row["predictions"] == len(errors)
        assert row["brier"] == pytest.approx(sum(errors) / len(errors), abs=0.0001)
    assert sum(row["predictions"] for row in answers[9]) == len(said)


def test_only_what_had_happened_by_a_match_clock_is_seen(catalog: Catalog) -> None:
    question = "SELECT count(*) AS n, max(game_time_ms) AS latest FROM raw.match_events"
    early = [e for match in sample.matches() for e in match if e["game_time_ms"] <= 15 * 60_000]
    expected = [{"n": len(early), "latest": max(e["game_time_ms"] for e in early)}]
    assert sql.query_in(catalog, question, Moment(clock_ms=15 * 60_000)).to_pylist() == expected


@pytest.mark.parametrize(
    "page", ["ask-the-lake.md", "lake-duckdb.md", "lake-pyiceberg.md", "lake-clickhouse.md"]
)
def test_python_of_the_pages_runs(catalog: Catalog, page: str, capsys: pytest.CaptureFixture[str]) -> None:
    code = blocks(page, "python")
    assert code
    names: dict[str, Any] = {}
    for block in code:
        exec(compile(block, page, "exec"), names)  # noqa: S102 - our own page
    assert len(capsys.readouterr().out.splitlines()) > 3


def test_clickhouse_of_the_page_runs_on_the_tables_for_dashboards(catalog: Catalog) -> None:
    settings = get_settings()
    fed = {one.source: one.rows for one in analytics.rebuild(settings)}
    hours = {event["event_time"] // 3_600_000 for match in sample.matches() for event in match}
    assert fed["raw.match_events"] == len(hours)
    said = sum(len(match) - 1 for match in sample.matches())
    assert fed[lake.OUTCOMES] == said
    found = [
        clickhouse.query_in(catalog, settings, text).to_pylist()
        for text in blocks("lake-clickhouse.md", "clickhouse")
    ]
    assert len(found) == 3 and all(found)
    assert sum(row["predictions"] for row in found[0]) == said
    events = [(row["kind"], row["records"]) for row in found[2] if row["part"] == "events"]
    assert events == [("lol-pro", sum(map(len, sample.matches())))]


def test_the_dashboard_shows_what_the_tables_hold_and_needs_nothing_else(
    catalog: Catalog, tmp_path: Path
) -> None:
    analytics.update(get_settings())
    file = tmp_path / "lake.html"
    assert CliRunner().invoke(gather(), ["lake", "dashboard", "--out", str(file)]).exit_code == 0
    text = file.read_text()
    assert text.count("<section") == len(dashboard.PANELS)
    drawn = [panel for panel in dashboard.PANELS if panel.draw]
    assert text.count('<svg role="img"') == len(drawn)
    assert "Nothing yet" not in text
    addresses = re.findall(r"(?:src|href)=\"([^\"]*)\"", re.sub(r"xlink:href", "href", text))
    assert all(one.startswith("#") for one in addresses), "nothing is fetched from elsewhere"
    said = lake.outcomes([lake.log(match, n) for n, match in enumerate(sample.matches())])
    brier = sum(one["squared_error"] for one in said) / len(said)
    assert f"<td>win_probability</td><td>{said[0]['model_version']}</td><td>{len(said):,}</td>" in text
    assert f"<td>{brier:.4f}</td>" in text
    for player in sql.query_in(
        catalog,
        "SELECT player_id FROM processed.player_games GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 3",
    )["player_id"].to_pylist():
        assert player in text


def test_the_notebook_runs_and_draws(catalog: Catalog) -> None:
    file = DOCS / "notebooks" / "comebacks.ipynb"
    notebook = nbformat.read(file, as_version=4)  # type: ignore[no-untyped-call]
    saved = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    NotebookClient(notebook, timeout=120, kernel_name="python3").execute()
    outputs = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    pictures = [output for output in outputs if "image/png" in output.get("data", {})]
    assert len(pictures) == len([o for o in saved if "image/png" in o.get("data", {})]) == 3
    first = next(output["data"]["text/html"] for output in outputs if "text/html" in output.get("data", {}))
    assert f"<td>{len(sample.matches())}</td>" in first
    assert f"<td>{sum(map(len, sample.matches()))}</td>" in first
