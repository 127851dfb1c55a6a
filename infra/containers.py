"""The same servers as containers, for those who prefer Docker: ``docker-compose.kafka.yml``.

The compose file says how each server is started; this module gives it its variables, and uses the parts'
own knowledge for the rest: when a server is ready, what is set up on it, and by which address it is found.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from infra import ports
from infra.flink_home import flink_home
from infra.locks import file_lock
from infra.parts import Context, Part, all_parts, triton
from infra.progress import Progress, silent
from infra.starter import answers
from infra.state import State
from riftstream.errors import StackError
from riftstream.settings import get_settings

FILE = Path(__file__).resolve().parent.parent / "docker-compose.kafka.yml"

PORTS = {
    "RIFT_KAFKA_PORT": ("kafka", "kafka"),
    "RIFT_REGISTRY_PORT": ("registry", "http"),
    "RIFT_FLINK_PORT": ("jobmanager", "rest"),
    "RIFT_S3_PORT": ("objectstore", "s3"),
    "RIFT_ICEBERG_PORT": ("objectstore", "iceberg"),
    "RIFT_MASTER_PORT": ("objectstore", "master"),
    "RIFT_FILER_PORT": ("objectstore", "filer"),
    "RIFT_REDIS_PORT": ("redis", "redis"),
    "RIFT_TRITON_GRPC_PORT": ("triton", "grpc"),
    "RIFT_TRITON_HTTP_PORT": ("triton", "http"),
}
"""Variables of the published ports, with the part and the name of the port that each is."""

SECRETS = {
    "RIFT_REDIS_PASSWORD": "redis_password",
    "RIFT_S3_ACCESS_KEY": "s3_access_key",
    "RIFT_S3_SECRET_KEY": "s3_secret_key",
}
"""Variables that hold keys and passwords, with the name of the generated secret."""

_TASKMANAGER = "taskmanager-container"
_POLL_S = 0.5


def up(progress: Progress | None = None) -> None:
    """Start the containers, or what of them does not run, and set the servers up like the local ones.

    Raises:
        StackError: There is no Docker with Compose, a container did not start, or a port is taken.
    """
    tell = progress or silent
    _need_compose()
    here = context(tell)
    with file_lock(here.home / "containers.lock"):
        variables = prepare(here)
        tell("containers", "starting")
        _compose(variables, "up", "--detach", "--wait", "--remove-orphans")
        set_up(here)
        tell("containers", "ready")


def down(wipe: bool = False, progress: Progress | None = None) -> None:
    """Stop and remove the containers.

    Args:
        wipe: Remove their volumes, and so all data, too.
        progress: Told what is done.
    """
    tell = progress or silent
    _need_compose()
    here = context(tell)
    tell("containers", "stopping")
    # Compose reads the whole file even to stop, and nothing of what the variables name is used.
    variables = environment(here, Path(os.devnull), Path(os.devnull))
    _compose(variables, "down", "--remove-orphans", *(["--volumes"] if wipe else []))
    _ports_file(here.home).unlink(missing_ok=True)
    tell("containers", "stopped")


def context(progress: Progress = silent) -> Context:
    """Where the containers are reached, and their secrets: ``RIFT_HOME`` keeps both."""
    state = State(get_settings().home)
    state.make_home()
    return Context(state.home, _ports(state.home), state.secrets(), progress)


def prepare(context: Context) -> dict[str, str]:
    """Fetch what the containers mount, and give the variables of the compose file."""
    triton.PART.prepare(context)
    (context.folder("flink") / "taskmanager.id").write_text(_TASKMANAGER)
    triton.model_repository(context.home).mkdir(parents=True, exist_ok=True)
    return environment(context, solid_flink_home(context.progress), triton.folder())


def set_up(context: Context) -> None:
    """Wait for servers that run, set them up like the local ones, and remember where they are.

    Raises:
        StackError: One does not answer.
    """
    state = State(context.home)
    for part in all_parts().values():
        _until_ready(part, context)
        part.after(context)
        state.remember(part.settings(context), part.private(context))
        context.progress(part.name, "ready")
    get_settings.cache_clear()


def environment(context: Context, flink: Path, server: Path) -> dict[str, str]:
    """The variables of the compose file.

    Args:
        context: Ports and secrets.
        flink: Flink home without links that leave it.
        server: Folder of Triton's server and backend.
    """
    return {
        **{variable: str(context.ports[part][port]) for variable, (part, port) in PORTS.items()},
        **{variable: context.secrets[name] for variable, name in SECRETS.items()},
        "RIFT_FLINK_HOME": str(flink),
        "RIFT_TRITON": str(server),
        "RIFT_MODELS": str(triton.model_repository(context.home)),
        "RIFT_PYTHON": f"{sys.version_info.major}.{sys.version_info.minor}",
    }


def variable_lines(variables: dict[str, str]) -> str:
    """Variables as Compose reads them from a file."""
    return "".join(f"{name}='{value}'\n" for name, value in variables.items())


def solid_flink_home(progress: Progress = silent) -> Path:
    """The Flink home as real files, so that a container can mount it; hard links where that is possible."""
    home = flink_home(progress, "jobmanager")
    solid = get_settings().cache / "flink-solid" / home.name
    if solid.is_dir():
        return solid
    progress("jobmanager", "laying out")
    solid.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix="building-", dir=solid.parent))
    try:
        copy_solid(home, building / "home")
        for old in solid.parent.iterdir():
            if old != building:
                shutil.rmtree(old, ignore_errors=True)
        (building / "home").rename(solid)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return solid


def copy_solid(folder: Path, target: Path) -> None:
    """Copy a folder with what its links lead to; hard links where that is possible."""
    shutil.copytree(folder, target, copy_function=_link_or_copy)


def _link_or_copy(source: str, target: str) -> None:
    real = Path(source).resolve()
    try:
        Path(target).hardlink_to(real)
    except OSError:
        shutil.copy2(real, target)


def _ports(home: Path) -> dict[str, dict[str, int]]:
    """The published ports, the same inside and outside: chosen at the first start, then kept."""
    file = _ports_file(home)
    if file.is_file():
        kept: dict[str, dict[str, int]] = json.loads(file.read_text())
        return kept
    parts = all_parts()
    published = set(PORTS.values())
    # Ports that are not published are fixed in the compose file.
    taken = {
        n for part in parts.values() for name, n in part.ports.items() if (part.name, name) not in published
    }
    chosen: dict[str, dict[str, int]] = {name: {} for name in parts}
    for part, port in PORTS.values():
        chosen[part] |= ports.choose({port: parts[part].ports[port]}, {}, taken)
    file.write_text(json.dumps(chosen))
    return chosen


def _ports_file(home: Path) -> Path:
    return home / "containers.json"


def _until_ready(part: Part, context: Context) -> None:
    deadline = time.monotonic() + part.timeout
    while not answers(part, context):
        if time.monotonic() > deadline:
            raise StackError(
                f"The container {part.name} runs and does not answer.",
                f"See `docker compose logs {part.name}`.",
            )
        time.sleep(_POLL_S)


def has_compose() -> bool:
    """Whether there is a Docker with Compose."""
    try:
        return (
            subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode == 0
        )
    except FileNotFoundError:
        return False


def _need_compose() -> None:
    if not has_compose():
        raise StackError(
            "There is no Docker with Compose here.",
            "Install it, or use `rift up`, which needs no containers.",
        )


def _compose(variables: dict[str, str], *arguments: str) -> None:
    command = ["docker", "compose", "--file", str(FILE), "--progress", "plain", *arguments]
    result = subprocess.run(
        command,
        env={**os.environ, **variables},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if result.returncode:
        last = "\n".join(result.stdout.strip().splitlines()[-15:])
        raise StackError(f"`docker compose {arguments[0]}` failed.", last)
