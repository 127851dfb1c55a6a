"""Triton Inference Server: the server of the nvidia-pytriton wheel, with its Python backend."""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import sysconfig
import tempfile
import time
from pathlib import Path

from infra import installer, jars
from infra.locks import waiting_lock
from infra.parts.base import HOST, Context, Launch, Part, http
from riftstream.errors import StackError
from riftstream.settings import get_settings

LOCK = Path(__file__).resolve().parent.parent / "triton.lock"

_LAYOUT = "1"
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - where Linux keeps shared memory

# The stub runs an isolated interpreter that knows neither our packages nor PYTHONPATH; this module is the
# first that it imports.
_PATH_LINES = "import sys\n\nsys.path.insert(0, {site!r})\n\n"


def version() -> str:
    """Version of the wheel that holds the server."""
    found = re.search(r"^nvidia-pytriton==(\S+)", LOCK.read_text(), re.MULTILINE)
    assert found is not None
    return f"pytriton {found.group(1)}"


def folder() -> Path:
    """Where the server and its packages are, by what they are made from."""
    python = f"{_LAYOUT} {sys.version_info[:2]} {sys.base_prefix}"
    return (
        get_settings().cache
        / "triton"
        / hashlib.sha256(f"{python} {jars.sha256(LOCK)}".encode()).hexdigest()[:16]
    )


def model_repository(home: Path) -> Path:
    """Folder below ``RIFT_HOME`` that Triton serves models from."""
    return home / "triton" / "models"


def _prepare(context: Context) -> None:
    """Install the server and lay out its Python backend once.

    Raises:
        StackError: A package could not be installed, or Python's shared library is missing.
    """
    target = folder()
    if target.is_dir():
        return
    if sys.platform != "linux":
        raise StackError("Triton runs on Linux only.", "Start the other parts by name: rift stack up kafka …")
    with waiting_lock(target.parent / "install.lock", context.cancel):
        if target.is_dir():
            return
        building = Path(tempfile.mkdtemp(prefix="building-", dir=target.parent))
        try:
            (building / "lib").mkdir()
            _have_libpython(building / "lib")
            context.progress("triton", "installing")
            _install(building / "site", context)
            _lay_out(building, target)
            building.chmod(0o755)
            building.rename(target)
        finally:
            shutil.rmtree(building, ignore_errors=True)


def _library() -> str:
    return f"libpython{sys.version_info.major}.{sys.version_info.minor}.so.1.0"


def _have_libpython(lib: Path) -> None:
    """Link Python's shared library, which the backend's stub is linked against, into a folder.

    Debian's python3 is linked statically and its library is a package apart: where apt knows it, it is
    fetched and unpacked here, which needs no root.
    """
    name = _library()
    known = (sysconfig.get_config_var("LIBDIR") or "", f"{sys.base_prefix}/lib", f"{sys.base_prefix}/lib64")
    multiarch = sysconfig.get_config_var("MULTIARCH") or ""
    for place in known:
        for file in (Path(place) / name, Path(place) / multiarch / name):
            if place and file.is_file():
                (lib / name).symlink_to(file)
                return
    package = name.split(".so")[0]
    if _unpack_debian(package, lib):
        return
    raise StackError(
        f"Triton needs Python's shared library {name}, and {sys.base_prefix} has none.",
        f"Install it (Debian, Ubuntu: apt install {package}), or use a Python that uv manages.",
    )


def _unpack_debian(package: str, lib: Path) -> bool:
    """Fetch a Debian package of the library with apt and unpack it. False where that does not work."""
    if shutil.which("apt-get") is None or shutil.which("dpkg-deb") is None:
        return False
    with tempfile.TemporaryDirectory() as work:
        fetched = subprocess.run(["apt-get", "download", package], cwd=work, capture_output=True, check=False)
        archives = list(Path(work).glob("*.deb"))
        if fetched.returncode or not archives:
            return False
        subprocess.run(["dpkg-deb", "-x", str(archives[0]), work], check=True, capture_output=True)
        library = next(Path(work).rglob(_library()), None)
        if library is None:
            return False
        shutil.copy(library, lib / _library())
    return True


def _installer(site: Path, work: Path) -> list[str]:
    """Command that installs the locked packages into a folder: uv where it is found, else pip."""
    checked = ["--require-hashes", "--no-deps", "--target", str(site), "-r", str(LOCK)]
    uv = installer.uv()
    if uv:
        return [uv, "pip", "install", "--quiet", "--python", sys.executable, *checked]
    if importlib.util.find_spec("pip") is None:
        made = [sys.executable, "-m", "venv", str(work)]
        if subprocess.run(made, capture_output=True, check=False).returncode:
            raise StackError(
                "Triton's packages cannot be installed: there is neither uv nor pip.",
                "Install one of them (Debian, Ubuntu: apt install python3-venv).",
            )
        return [str(work / "bin" / "python"), "-m", "pip", "install", "--quiet", *checked]
    return [sys.executable, "-m", "pip", "install", "--quiet", *checked]


def _install(site: Path, context: Context) -> None:
    with tempfile.TemporaryDirectory() as work, tempfile.TemporaryFile("w+") as log:
        command = _installer(site, Path(work) / "pip")
        # In a folder of its own, since uv takes the project of the current one into account.
        with subprocess.Popen(command, cwd=work, stdout=log, stderr=subprocess.STDOUT) as process:
            while process.poll() is None:
                if context.cancel.is_set():
                    process.terminate()
                time.sleep(0.1)
        if process.returncode:
            log.seek(0)
            raise StackError(
                "Triton's packages could not be installed.",
                f"Check the network and run the command again. The installer said:\n{log.read().strip()}",
            )


def _lay_out(building: Path, target: Path) -> None:
    """Make the backend folder: Triton's Python backend, the stub of this Python, the way to the packages."""
    server = building / "site" / "pytriton" / "tritonserver"
    backend = building / "backends" / "python"
    shutil.copytree(server / "backends" / "python", backend)
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    stub = backend / "triton_python_backend_stub"
    shutil.copy(server / "python_backend_stubs" / python / stub.name, stub)
    stub.chmod(0o755)
    utils = backend / "triton_python_backend_utils.py"
    utils.write_text(_PATH_LINES.format(site=str(target / "site")) + utils.read_text())
    (building / "site" / "pytriton" / "tritonserver" / "bin" / "tritonserver").chmod(0o755)
    # The stub finds its standard library by the python3 that is first on PATH.
    (building / "bin").mkdir()
    base = Path(getattr(sys, "_base_executable", sys.executable))
    (building / "bin" / "python3").symlink_to(base)


def _shared_memory_prefix(context: Context) -> str:
    return f"rift-{hashlib.sha256(str(context.home.resolve()).encode()).hexdigest()[:12]}-"


def _clean(context: Context) -> None:
    """Remove shared memory that a killed server left behind."""
    for region in _SHARED_MEMORY.glob(f"{_shared_memory_prefix(context)}*"):
        region.unlink(missing_ok=True)


def _launch(context: Context) -> Launch:
    ports = context.ports["triton"]
    repository = model_repository(context.home)
    repository.mkdir(mode=0o700, parents=True, exist_ok=True)
    models = sorted(model.name for model in repository.iterdir() if model.is_dir())
    site = folder() / "site"
    argv = [
        str(site / "pytriton" / "tritonserver" / "bin" / "tritonserver"),
        f"--model-repository={repository}",
        f"--backend-directory={folder() / 'backends'}",
        f"--backend-config=python,shm-region-prefix-name={_shared_memory_prefix(context)}",
        "--model-control-mode=explicit",
        # What is there is loaded, so that a restart serves what was served before; a model that does not
        # load must not keep the others down.
        *(f"--load-model={model}" for model in models),
        "--exit-on-error=false",
        "--strict-readiness=false",
        f"--http-address={HOST}",
        f"--http-port={ports['http']}",
        f"--grpc-address={HOST}",
        f"--grpc-port={ports['grpc']}",
        f"--metrics-address={HOST}",
        f"--metrics-port={ports['metrics']}",
        "--allow-gpu-metrics=false",
        "--pinned-memory-pool-byte-size=0",
        "--http-thread-count=2",
    ]
    env = {
        "LD_LIBRARY_PATH": f"{site / 'nvidia_pytriton.libs'}:{folder() / 'lib'}",
        "PATH": f"{folder() / 'bin'}:{os.defpath}",
    }
    return Launch(argv, env)


def _ready(context: Context) -> bool:
    address = f"http://{HOST}:{context.ports['triton']['http']}/v2/health/ready"
    return http().get(address).status_code == 200


def _settings(context: Context) -> dict[str, str]:
    return {"triton_url": f"{HOST}:{context.ports['triton']['grpc']}"}


PART = Part(
    name="triton",
    ports={"grpc": 8001, "http": 8000, "metrics": 8002},
    version=version,
    prepare=_prepare,
    launch=_launch,
    ready=_ready,
    clean=_clean,
    settings=_settings,
    stamp=lambda: folder().name,
)
