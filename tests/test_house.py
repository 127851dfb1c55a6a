"""The rules of the house: what every file keeps to, whoever wrote it."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("riftstream", "streams", "jobs", "features", "models", "serving", "lakehouse", "infra", "bench")
LARGEST_FILE = 2_000_000


def tracked() -> list[Path]:
    """Files that git keeps, and new ones that it would."""
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard")
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def texts() -> list[tuple[Path, str]]:
    """Tracked text files with their content."""
    found = []
    for file in tracked():
        try:
            found.append((file, file.read_text()))
        except UnicodeDecodeError:
            continue
    return found


def run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tool(name: str, *arguments: str) -> None:
    """Run a tool of this environment; its output is the message of the failure."""
    result = run(str(Path(sys.executable).with_name(name)), *arguments)
    assert result.returncode == 0, result.stdout + result.stderr


def test_imports_go_with_the_data() -> None:
    tool("lint-imports", "--no-cache")


def test_ruff_finds_nothing() -> None:
    tool("ruff", "check", "--no-cache")


def test_files_are_formatted() -> None:
    tool("ruff", "format", "--check", "--no-cache")


def test_types_are_complete_and_agree() -> None:
    tool("mypy", *ROOMS, "tests")


@pytest.mark.parametrize("script", ["rift", ".ci/run"])
def test_scripts_are_executable_and_pass_shellcheck(script: str) -> None:
    assert (ROOT / script).stat().st_mode & 0o111
    syntax = run("sh", "-n", script)
    assert syntax.returncode == 0, syntax.stderr
    if shutil.which("shellcheck"):
        found = run("shellcheck", script)
        assert found.returncode == 0, found.stdout


def test_no_idiom_that_hides_an_error_or_opens_a_door() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{node.lineno}: {ast.unparse(node)[:60]}"
        for file in tracked()
        if file.suffix == ".py" and file.relative_to(ROOT).parts[0] in ROOMS
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.expr | ast.ExceptHandler) and _careless(node)
    ]
    assert not found, "\n".join(found)


def _careless(node: ast.expr | ast.ExceptHandler) -> bool:
    """A bare except, a call that runs what it reads, or an address that listens to everybody."""
    if isinstance(node, ast.ExceptHandler):
        return node.type is None
    if isinstance(node, ast.Call):
        called = ast.unparse(node.func)
        runs_what_it_reads = r"(c?pickle|dill|joblib)\.loads?|yaml\.(unsafe_)?load|eval|os\.system"
        return bool(re.fullmatch(runs_what_it_reads, called))
    return isinstance(node, ast.Constant) and node.value in ("0.0.0." + "0", ":" + ":")


def test_no_file_is_large() -> None:
    sizes = {str(file.relative_to(ROOT)): file.stat().st_size for file in tracked()}
    assert {name: size for name, size in sizes.items() if size > LARGEST_FILE} == {}


def test_no_file_names_a_package_index_or_a_place_on_one_machine() -> None:
    hosts = r"/simple\b|pypi|pythonhosted|maven|npmjs|goproxy|debian\.org"
    index = re.compile(rf"https?://(?!127\.0\.0\.1)\S*({hosts})", re.I)
    place = re.compile(r"(?<![\w./}-])/(work|root|home/\w+)/")
    here = re.compile(rf"({re.escape(str(ROOT))}|{re.escape(str(Path.home()))})/")
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for file, text in texts()
        for number, line in enumerate(text.splitlines(), 1)
        if index.search(line) or place.search(line) or here.search(line)
    ]
    assert not found, "\n".join(found)


def test_every_dependency_is_pinned_with_hashes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    pins = _pins((ROOT / "requirements.lock").read_text())
    overrides = {
        canonicalize_name(r.name): r.specifier
        for r in map(Requirement, project["tool"]["uv"]["override-dependencies"])
    }
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        assert name in pins, f"{name} is in pyproject.toml and not in requirements.lock"
        allowed = overrides.get(name, requirement.specifier)
        assert allowed.contains(pins[name]), f"{name} is pinned to {pins[name]}, wanted is {allowed}"


def test_every_line_of_the_pinned_lists_carries_a_hash_and_no_address() -> None:
    peers = sorted(
        f"bench/peer_programs/{file.name}" for file in (ROOT / "bench/peer_programs").glob("*.lock")
    )
    assert len(peers) == 7
    for name in ("requirements.lock", "requirements-uv.txt", *peers):
        text = (ROOT / name).read_text()
        assert "://" not in text
        assert _pins(text)


def _pins(text: str) -> dict[str, str]:
    """Versions by name.

    Raises:
        AssertionError: A requirement is not pinned to one version or has no hash.
    """
    pins: dict[str, str] = {}
    for entry in re.sub(r"\\\n\s*", " ", text).splitlines():
        found = re.match(r"^([\w.\[\],-]+)==(\S+)( ; [^\\]+?)?((?: +--hash=sha256:[0-9a-f]{64})+) *$", entry)
        assert found, f"not pinned with a hash: {entry[:80]}"
        pins[canonicalize_name(found.group(1).split("[")[0])] = found.group(2)
    return pins


def test_the_house_has_the_rooms_of_the_design() -> None:
    wanted = [
        *(f"{room}/__init__.py" for room in ROOMS),
        *(f"{room}/commands.py" for room in ROOMS if room != "riftstream"),
        *("riftstream/settings.py", "streams/sources", "schemas/avro", "serving/model_repository"),
        *("tests/conftest.py", "docs/decisions", "docker-compose.kafka.yml", "pyproject.toml"),
        *("README.md", "rift", ".ci/run"),
    ]
    assert [name for name in wanted if not (ROOT / name).exists()] == []


def test_tests_mirror_the_rooms() -> None:
    known = {*ROOMS, "cli", "integration"}
    parts = [file.relative_to(ROOT).parts for file in tracked() if file.name.startswith("test_")]
    assert {part[1] for part in parts if part[0] == "tests" and len(part) > 2} <= known
