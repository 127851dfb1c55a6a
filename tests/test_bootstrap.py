"""The way onto a fresh machine: ``./rift`` makes the environment, or says in one sentence what is wrong."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent

PACKAGES = (
    "hatchling",
    "editables",
    "packaging",
    "pathspec",
    "pluggy",
    "trove-classifiers",
    "pytest",
    "pygments",
    "iniconfig",
)
"""What the small checkout of these tests is installed with, pinned as in the real list."""

PROJECT = """\
[build-system]
requires = ["hatchling"]
build-backend = "hatchling.build"

[project]
name = "small"
version = "1"
requires-python = ">=3.11,<3.13"

[project.scripts]
rift = "small:main"
"""

MODULE = """\
import sys


def main() -> None:
    print(sys.argv[1:])
    sys.exit(len(sys.argv) - 1)
"""

TEST = """\
import os


def test_data_is_found_from_here() -> None:
    assert os.path.isabs(os.environ["RIFT_DATA"])
    assert os.path.isfile(os.path.join(os.environ["RIFT_DATA"], "matches.csv"))
"""


def pins(*names: str) -> str:
    """Entries of the real list, with their hashes."""
    text = (ROOT / "requirements.lock").read_text()
    found = [re.search(rf"^{name}==.*(\n    --hash.*)+", text, re.MULTILINE) for name in names]
    return "".join(f"{match[0]}\n" for match in found if match)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small project with the real script, and with the uv of this checkout where it is here."""
    folder = tmp_path / "a checkout"
    (folder / "tests").mkdir(parents=True)
    for name in ("rift", "requirements-uv.txt"):
        shutil.copy(ROOT / name, folder / name)
    if (ROOT / ".uv" / "bin" / "uv").is_file():
        (folder / ".uv").mkdir()
        (folder / ".uv" / "bin").symlink_to(ROOT / ".uv" / "bin")
        shutil.copy(ROOT / "requirements-uv.txt", folder / ".uv")
    (folder / "requirements.lock").write_text(pins(*PACKAGES))
    (folder / "pyproject.toml").write_text(PROJECT)
    (folder / "small.py").write_text(MODULE)
    (folder / "tests" / "test_data.py").write_text(TEST)
    return folder


def rift(
    checkout: Path, *arguments: str, cwd: Path | None = None, **environment: str
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(checkout / "rift"), *arguments],
        cwd=cwd or checkout.parent,
        env={**os.environ, "RIFT_SKIP_CHECKS": "1", **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def fake(folder: Path, **programs: str) -> str:
    """A PATH on which these shell programs come first."""
    folder.mkdir(exist_ok=True)
    for name, body in programs.items():
        (folder / name).write_text(f"#!/bin/sh\n{body}\n")
        (folder / name).chmod(0o755)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


def path_without_python(folder: Path) -> str:
    """A PATH with what every Unix has, and no Python."""
    folder.mkdir()
    for name in ("sh", "sha256sum", "cat", "uname", "getconf", "df", "awk", "dirname", "mkdir"):
        program = shutil.which(name)
        assert program, f"{name} is not here"
        (folder / name).symlink_to(program)
    return str(folder)


def says(result: subprocess.CompletedProcess[str], sentence: str) -> bool:
    """Whether it failed with this sentence as its last line, and without a traceback."""
    last = result.stderr.strip().splitlines()[-1]
    return result.returncode == 1 and bool(re.search(sentence, last)) and "Traceback" not in result.stderr


def test_arguments_and_exit_code_are_those_of_the_command(checkout: Path) -> None:
    first = rift(checkout, "a b", "*", "")
    assert first.stdout == "['a b', '*', '']\n", first.stderr
    assert first.returncode == 3
    assert "the environment is ready" in first.stderr


def test_second_use_needs_nothing_but_the_environment(checkout: Path, tmp_path: Path) -> None:
    assert rift(checkout).returncode == 0
    again = rift(checkout, "again", PATH=path_without_python(tmp_path / "bin"))
    assert (again.stdout, again.stderr) == ("['again']\n", "")


def test_it_runs_through_a_link_and_from_anywhere(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("a checkout/rift")
    result = subprocess.run(
        [str(tmp_path / "link"), "x"], cwd="/", capture_output=True, text=True, check=False
    )
    assert result.stdout == "['x']\n", result.stderr


def test_an_interrupted_set_up_is_made_anew(checkout: Path) -> None:
    assert rift(checkout).returncode == 0
    broken = next((checkout / ".venv").glob("lib/python3*/site-packages/packaging/version.py"))
    broken.unlink()
    (checkout / ".venv" / ".rift-stamp").unlink()
    (checkout / ".venv" / ".rift-unfinished").touch()
    assert rift(checkout).returncode == 0
    assert broken.is_file()
    assert not (checkout / ".venv" / ".rift-unfinished").exists()


def test_two_at_once_make_one_environment(checkout: Path) -> None:
    command = [str(checkout / "rift"), "x"]
    pipe = subprocess.PIPE
    both = [subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True) for _ in range(2)]
    outputs = [process.communicate() for process in both]
    assert [stdout for stdout, _ in outputs] == ["['x']\n", "['x']\n"], outputs
    assert "".join(stderr for _, stderr in outputs).count("making the Python environment") == 1


def test_a_changed_list_is_installed_and_what_left_it_goes(checkout: Path) -> None:
    assert rift(checkout).returncode == 0
    (checkout / "requirements.lock").write_text(pins(*PACKAGES[:-2], "idna"))
    result = rift(checkout)
    assert "bringing the Python environment up to date" in result.stderr
    site = next((checkout / ".venv").glob("lib/python3*/site-packages"))
    assert (site / "idna").is_dir()
    assert not (site / "iniconfig").exists()


def test_a_changed_project_is_installed_and_packages_are_left_alone(checkout: Path) -> None:
    assert rift(checkout).returncode == 0
    by_hand = next((checkout / ".venv").glob("lib/python3*/site-packages/iniconfig/__init__.py"))
    by_hand.unlink()
    project = (checkout / "pyproject.toml").read_text()
    (checkout / "pyproject.toml").write_text(project + "other = wrong")
    assert says(rift(checkout), "Riftstream itself could not be installed")
    assert not (checkout / ".venv" / ".rift-unfinished").exists()
    (checkout / "pyproject.toml").write_text(project + 'other = "small:main"\n')
    assert rift(checkout).returncode == 0
    assert (checkout / ".venv" / "bin" / "other").is_file()
    assert not by_hand.exists()


def test_a_moved_checkout_runs_its_own_code(checkout: Path) -> None:
    assert rift(checkout).returncode == 0
    moved = checkout.with_name("moved")
    shutil.copytree(checkout, moved, symlinks=True)
    (moved / "small.py").write_text(MODULE.replace("sys.argv[1:]", "'moved'"))
    assert rift(moved, "x").stdout == "moved\n"
    assert rift(checkout, "x").stdout == "['x']\n"


def test_tests_run_at_the_root_and_find_the_data_of_the_caller(checkout: Path, tmp_path: Path) -> None:
    (tmp_path / "some data").mkdir()
    (tmp_path / "some data" / "matches.csv").touch()
    result = rift(checkout, "test", "-q", "tests", RIFT_DATA="some data")
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    failed = rift(checkout, "test", "-q", RIFT_DATA="/nowhere")
    assert failed.returncode == 1


def test_no_network_is_one_sentence_and_the_next_try_goes_on(checkout: Path, tmp_path: Path) -> None:
    closed = "http://127.0.0.1:9/index"
    result = rift(
        checkout, UV_CACHE_DIR=str(tmp_path / "empty"), UV_DEFAULT_INDEX=closed, UV_HTTP_RETRIES="0"
    )
    assert says(result, r"^rift: .*a download failed \(is this machine online\?\)"), result.stderr
    assert rift(checkout).returncode == 0


def test_a_file_that_is_not_the_pinned_one_is_refused(checkout: Path) -> None:
    other = re.sub(r"sha256:[0-9a-f]{8}", "sha256:00000000", pins("iniconfig"))
    (checkout / "requirements.lock").write_text(pins(*PACKAGES[:-1]) + other)
    result = rift(checkout)
    assert says(result, "not the one that the pinned list names"), result.stderr


def test_missing_python_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    result = rift(
        checkout, PATH=path_without_python(tmp_path / "bin"), HOME=str(tmp_path), PYENV_ROOT="/nowhere"
    )
    assert says(result, "there is no Python here: install Python 3.11 or 3.12"), result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_a_python_without_pip_and_venv_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    (checkout / ".uv" / "requirements-uv.txt").unlink(missing_ok=True)
    python = 'case "$1" in -m) exit 1 ;; *) echo "3.11 libc shared $0" ;; esac'
    result = rift(checkout, PATH=fake(tmp_path / "bin", **{"python3.11": python}))
    assert says(result, r"has neither pip nor venv: .*python3-venv"), result.stderr


@pytest.mark.parametrize(
    ("system", "machine", "sentence"),
    [
        ("Linux", "aarch64", "this is Linux on aarch64, and Riftstream runs on Linux x86-64 only"),
        ("Darwin", "arm64", "this is Darwin on arm64, and Riftstream runs on Linux x86-64 only"),
        ("FreeBSD", "amd64", "this is FreeBSD, and Riftstream runs on Linux x86-64 only"),
    ],
)
def test_another_machine_is_one_sentence(
    checkout: Path, tmp_path: Path, system: str, machine: str, sentence: str
) -> None:
    uname = f'case "$1" in -s) echo {system} ;; -m) echo {machine} ;; esac'
    assert says(rift(checkout, PATH=fake(tmp_path / "bin", uname=uname)), sentence)


def test_an_old_c_library_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    path = fake(tmp_path / "bin", **{"python3.11": 'echo "3.11 old-libc shared $0"'})
    assert says(rift(checkout, PATH=path), "the C library here is not glibc 2.35 or newer")


def test_too_little_memory_is_one_sentence(checkout: Path, tmp_path: Path) -> None:
    path = fake(tmp_path / "bin", getconf='[ "$1" = PAGE_SIZE ] && echo 4096 || echo 524288')
    result = rift(checkout, PATH=path, RIFT_SKIP_CHECKS="")
    assert says(result, "needs 6 GB of memory, and here are only 2048 MiB"), result.stderr


def test_too_little_disk_is_one_sentence_and_shared_disks_are_added_up(
    checkout: Path, tmp_path: Path
) -> None:
    df = 'echo header; echo "/dev/disk 9999999 0 5000000 50% /disk"'
    result = rift(checkout, PATH=fake(tmp_path / "bin", df=df), RIFT_SKIP_CHECKS="")
    assert says(result, r"needs 8 GB of free space on /disk, which has 5\.1 GB"), result.stderr
