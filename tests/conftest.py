"""One real platform a test run, in a folder of its own; nothing of the user's is touched."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import hypothesis
import pytest

# How quick an example is says something of the machine, not of the code.
hypothesis.settings.register_profile(
    "riftstream", deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("riftstream")

# A developer may keep one stack over several runs: RIFT_TEST_HOME names its folder, and it stays up.
_KEPT = os.environ.get("RIFT_TEST_HOME")
_HOME = Path(_KEPT or tempfile.mkdtemp(prefix="rift-test-"))
os.environ["RIFT_HOME"] = str(_HOME)

from riftstream.settings import Settings, get_settings  # noqa: E402


@pytest.fixture(scope="session")
def stack() -> Iterator[Settings]:
    """The whole platform: servers, topics, schemas, tables, the pipeline, the prediction loop, the API."""
    from infra import stack as local
    from riftstream.cli import platform

    try:
        platform.start()
        yield get_settings()
    finally:
        if not _KEPT:
            local.down(wipe=True)


@pytest.fixture(scope="session")
def new_lake(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[], Settings]]:
    """Makes a lake of its own in the real catalog: all tables, none of them with rows."""
    import boto3

    from infra import stack as local
    from lakehouse import tables

    def make() -> Settings:
        settings = get_settings()
        name = f"lake{uuid.uuid4().hex[:12]}"
        secret = settings.s3_secret_key.get_secret_value()
        client = boto3.client(
            "s3tables",
            endpoint_url=settings.s3_endpoint,
            region_name=settings.s3_region,
            aws_access_key_id=settings.s3_access_key,
            aws_secret_access_key=secret,
        )
        client.create_table_bucket(name=name)
        home = tmp_path_factory.mktemp("home")
        own = settings.model_copy(update={"catalog_warehouse": f"s3://{name}", "home": home})
        tables.apply(own, tables.plan(own))
        return own

    try:
        local.up(["objectstore"])
        yield make
    finally:
        if not _KEPT:
            local.down(wipe=True)


@pytest.fixture(scope="session")
def data() -> Path:
    """Folder with the real matches of RIFT_DATA; tests that need it are skipped where it is not set."""
    folder = get_settings().data
    if folder is None:
        pytest.skip("RIFT_DATA is not set")
    return folder


def pytest_sessionfinish() -> None:
    """Remove the folder of this run."""
    if not _KEPT:
        shutil.rmtree(_HOME, ignore_errors=True)
