"""The tutorial is true: its blocks run as they stand, one after the other, on the real platform."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from riftstream.settings import Settings

pytestmark = pytest.mark.stack

PAGE = Path(__file__).parents[2] / "docs" / "tutorials" / "first-prediction.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def run(line: str, folder: Path, settings: Settings) -> str:
    """Run one command line of the page: its programs are those of this environment."""
    program, *words = line.split()
    here = Path(sys.executable)
    programs = {"./rift": str(here.with_name("rift")), ".venv/bin/python": str(here)}
    done = subprocess.run(
        [programs[program], *words],
        cwd=folder,
        env={**os.environ, "RIFT_HOME": str(settings.home)},
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert done.returncode == 0, f"{line}: {done.stderr}"
    return done.stdout


def test_the_tutorial_runs_as_it_is_written(stack: Settings, tmp_path: Path) -> None:
    said: dict[str, str] = {}
    for language, text in BLOCK.findall(PAGE.read_text()):
        if language == "python":
            name = re.match(r"# (\w+\.py)\n", text)
            assert name, "a program says the name of its file in its first line"
            (tmp_path / name[1]).write_text(text)
        elif language == "sh" and text.strip() != "./rift down":
            said[text.strip()] = run(text.strip(), tmp_path, stack)
    followed = said[".venv/bin/python follow.py"].splitlines()
    assert [line.split(":")[0] for line in followed] == [
        "minute  0.0",
        "minute  4.2",
        "minute 14.5",
        "minute 24.0",
    ]
    chances = [float(line.split()[-1].rstrip("%")) for line in followed]
    assert chances[-1] > chances[0], "a Baron, a tower and a kill ahead is better than nothing"
    assert "TSM (blue) v C9 (red), TUTORIAL, TUTORIAL/1" in said["./rift predict TUTORIAL/1"]
