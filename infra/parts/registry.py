"""Apicurio Registry 3, a schema registry that speaks Confluent's API."""

from __future__ import annotations

import shutil
import tarfile
import tempfile
from pathlib import Path

import httpx

from infra import jars
from infra.flink_home import java_home
from infra.parts.base import HOST, Context, Launch, Part, http
from riftstream.settings import get_settings


def version() -> str:
    """Version of the registry."""
    return jars.version("registry", "apicurio-registry-app")


def _app() -> Path:
    return get_settings().cache / "registry" / version()


def _prepare(context: Context) -> None:
    """Download and unpack the registry once."""
    if (_app() / "quarkus-run.jar").is_file():
        return
    archive = jars.fetch("registry", context.progress, "registry", context.cancel)[0]
    context.progress("registry", "unpacking")
    _app().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=_app().parent) as folder:
        with tarfile.open(archive) as tar:
            tar.extractall(folder, filter="data")
        jar = next(Path(folder).rglob("quarkus-run.jar"))
        try:
            jar.parent.rename(_app())
        except OSError:
            # Another process was quicker; its copy is as good.
            if not (_app() / "quarkus-run.jar").is_file():
                shutil.rmtree(_app(), ignore_errors=True)
                raise


def _launch(context: Context) -> Launch:
    ports = context.ports["registry"]
    argv = [
        str(java_home() / "bin" / "java"),
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-XX:TieredStopAtLevel=1",
        "-XX:+ExitOnOutOfMemoryError",
        f"-Dquarkus.http.host={HOST}",
        f"-Dquarkus.http.port={ports['http']}",
        f"-Dquarkus.management.host={HOST}",
        f"-Dquarkus.management.port={ports['management']}",
        "-Dquarkus.log.console.color=false",
        "-jar",
        str(_app() / "quarkus-run.jar"),
    ]
    database = context.folder("registry") / "registry"
    return Launch(argv, {"APICURIO_DATASOURCE_URL": f"jdbc:h2:file:{database}"})


def _url(context: Context) -> str:
    return f"http://{HOST}:{context.ports['registry']['http']}/apis/ccompat/v7"


def _ready(context: Context) -> bool:
    return http().get(f"{_url(context)}/subjects").status_code == httpx.codes.OK


def _after(context: Context) -> None:
    """Refuse, from the start, schemas that readers of older records could not survive."""
    http().put(f"{_url(context)}/config", json={"compatibility": "BACKWARD"}).raise_for_status()


def _settings(context: Context) -> dict[str, str]:
    return {"registry_url": _url(context)}


PART = Part(
    name="registry",
    ports={"http": 8081, "management": 9081},
    version=version,
    prepare=_prepare,
    launch=_launch,
    store=True,
    ready=_ready,
    after=_after,
    settings=_settings,
)
