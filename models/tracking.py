"""Training runs in MLflow: a local SQLite store, and artefacts in the object store where the stack runs.

A run holds what its card holds: parameters, data hash, code hash, seed, metrics, and the files. The card
alone is enough to make the model again; MLflow is there to compare runs.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from riftstream.errors import ModelError
from riftstream.settings import Settings, get_settings

BUCKET = "models"


@dataclass(frozen=True)
class Run:
    """A tracked run.

    Attributes:
        run_id: MLflow's id.
        store: MLflow's tracking store.
        artefacts: Where the files are: a folder, or ``s3://``.
    """

    run_id: str
    store: str
    artefacts: str


def track(card: Mapping[str, Any], folder: Path, settings: Settings | None = None) -> Run:
    """Record a training run.

    Args:
        card: The model's card, as ``card.json`` holds it.
        folder: Folder of its files.
        settings: Where everything is; the process's settings by default.

    Raises:
        ModelError: MLflow's database cannot be used.
    """
    if importlib.util.find_spec("alembic") is None:
        raise ModelError(
            "The run was not tracked: MLflow's SQLite store needs the package alembic.",
            "Install it into this environment: uv pip install alembic.",
        )
    from mlflow import MlflowClient
    from mlflow.entities import Metric, Param, RunTag

    settings = settings or get_settings()
    home = settings.home / "mlflow"
    home.mkdir(parents=True, exist_ok=True)
    client = MlflowClient(tracking_uri=f"sqlite:///{home / 'runs.db'}")
    remote = _object_store(settings)
    place = f"s3://{BUCKET}/{card['name']}" if remote else (home / card["name"]).as_uri()
    run = client.create_run(
        _experiment(client, str(card["name"]), place), run_name=f"{card['name']} {card['version']}"
    )
    run_id = run.info.run_id
    client.log_batch(
        run_id,
        [Metric(name, value, 0, 0) for name, value in _numbers(card["metrics"])],
        [Param(name, str(value)[:6000]) for name, value in _parameters(card).items()],
        [RunTag(name, str(value)) for name, value in card["files"].items()],
    )
    if remote is None:
        client.log_artifacts(run_id, str(folder))
    else:
        prefix = run.info.artifact_uri.removeprefix(f"s3://{BUCKET}/")
        for file in sorted(folder.iterdir()):
            remote.upload_file(str(file), BUCKET, f"{prefix}/{file.name}")
    client.set_terminated(run_id)
    return Run(run_id, client.tracking_uri, run.info.artifact_uri)


def _experiment(client: Any, name: str, place: str) -> str:
    """The experiment of a model; one whose artefacts are elsewhere is another."""
    name = f"{name} in the object store" if place.startswith("s3:") else name
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found else client.create_experiment(name, artifact_location=place))


def _object_store(settings: Settings) -> Any:
    """The stack's object store with its bucket for models; None where it does not answer."""
    if not settings.s3_access_key:
        return None
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    client = boto3.client(
        "s3",
        endpoint_url=settings.s3_endpoint,
        region_name=settings.s3_region,
        aws_access_key_id=settings.s3_access_key,
        aws_secret_access_key=settings.s3_secret_key.get_secret_value(),
        config=Config(
            connect_timeout=2, retries={"max_attempts": 1}, proxies={}, s3={"addressing_style": "path"}
        ),
    )
    try:
        if BUCKET not in (bucket["Name"] for bucket in client.list_buckets()["Buckets"]):
            client.create_bucket(Bucket=BUCKET)
    except (BotoCoreError, ClientError):
        return None
    return client


def _parameters(card: Mapping[str, Any]) -> dict[str, Any]:
    """What the run was made with."""
    names = ("version", "feature_service", "seed", "code_sha256", "sql_sha256")
    return {
        **{name: card[name] for name in names},
        **{f"data.{name}": value for name, value in card["data"].items()},
        **{f"versions.{name}": value for name, value in card["versions"].items()},
        **card["parameters"],
    }


def _numbers(value: Any, name: str = "") -> Iterator[tuple[str, float]]:
    """The numbers of nested metrics with their path; of a value and its interval the value.

    Rows by minute, bin or stat are in the card alone.
    """
    if isinstance(value, Mapping):
        for key, inner in value.items():
            yield from _numbers(inner, f"{name}.{key}".lstrip("."))
    elif isinstance(value, bool):
        return
    elif isinstance(value, int | float):
        yield name, float(value)
    elif isinstance(value, list | tuple) and len(value) == 3 and all(isinstance(one, float) for one in value):
        yield name, float(value[0])
