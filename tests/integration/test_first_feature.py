"""The tutorial is true: in a copy of the project its blocks make a feature that can be read online."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs import runner
from riftstream.cli import platform
from riftstream.settings import Settings
from tests.integration.tools import until
from tests.test_house import ROOT, tracked

pytestmark = pytest.mark.stack

PAGE = ROOT / "docs" / "tutorials" / "first-feature.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NAMED = re.compile(r"`([\w./]+)`:\s*\Z")


@pytest.fixture
def checkout(stack: Settings, tmp_path: Path) -> Iterator[Path]:
    """A copy of the project to edit; afterwards the platform is as the project says again."""
    for file in tracked():
        place = tmp_path / file.relative_to(ROOT)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(file, place)
    yield tmp_path
    if "match_tempo" in runner.running(stack):
        runner.stop("match_tempo", savepoint=False, settings=stack)
    platform.start()


def run(line: str, checkout: Path, settings: Settings) -> str:
    """Run one command line of the page with the code of the copy."""
    program, *words = line.split()
    here = Path(sys.executable)
    programs = {"./rift": str(here.with_name("rift")), ".venv/bin/python": str(here)}
    done = subprocess.run(
        [programs[program], *words],
        cwd=checkout,
        env={**os.environ, "RIFT_HOME": str(settings.home), "PYTHONPATH": str(checkout)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_the_tutorial_makes_a_feature_that_can_be_read_online(stack: Settings, checkout: Path) -> None:
    page = PAGE.read_text()
    said: dict[str, str] = {}
    for block in BLOCK.finditer(page):
        language, text = block.groups()
        line = text.strip()
        if named := NAMED.search(page[: block.start()]):
            file = checkout / named[1]
            edited = file.name == "views.py"
            old = file.read_text() if edited else ""
            file.write_text(old.replace("VIEWS = (\n", f"VIEWS = (\n{text}", 1) if edited else text)
        elif language == "sh" and line == "./rift features get match_tempo TEMPO/1":
            until(lambda line=line: "0.75" in run(line, checkout, stack), "three kills in four minutes", 120)  # type: ignore[misc]
        elif language == "sh" and not line.startswith("git"):
            said[line] = run(line, checkout, stack)
    for kind, name in (
        ("topic", "match-tempo"),
        ("schema", "match-tempo-value"),
        ("feast", "feature view match_tempo"),
        ("job", "match_tempo"),
    ):
        assert f"+ {kind} {name}" in said["./rift plan"]
    lineage = said["./rift features lineage kills_per_minute"]
    assert "jobs/match_tempo.sql" in lineage
    assert "CHAMPION_KILL" in lineage
