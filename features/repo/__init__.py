"""The Feast repository: stock Feast on our stores.

``store`` gives a ``feast.FeatureStore``, ``run`` the ``feast`` command line; ``plan`` and ``apply`` are what
`rift plan` and `rift apply` do about it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path
from string import Template
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote, urlsplit

from features import views
from features.views import PROJECT
from riftstream.changes import Action, Change
from riftstream.errors import FeatureError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from feast import FeatureStore
    from feast.repo_contents import RepoContents

KIND = "feast"
FOLDER = Path(__file__).parent
CONFIG = FOLDER / "feature_store.yaml"

_ACTIONS: dict[str, Action] = {"CREATE": "create", "UPDATE": "update", "DELETE": "update"}


def environment(settings: Settings) -> dict[str, str]:
    """What ``feature_store.yaml`` reads from the environment. Holds secrets."""
    return {
        "RIFT_FEAST_REGISTRY": str(registry(settings)),
        "RIFT_FEAST_REDIS": redis_address(settings.redis_url.get_secret_value()),
        "RIFT_FEAST_CATALOG": json.dumps(settings.iceberg),
    }


def registry(settings: Settings) -> Path:
    """File of Feast's registry."""
    return settings.home / "feast" / "registry.db"


def redis_address(url: str) -> str:
    """A Redis URL as Feast writes it: ``host:port,db=0,password="..."``.

    Raises:
        FeatureError: Feast has no way to write it.
    """
    parts = urlsplit(url)
    options: dict[str, Any] = {"db": int(parts.path.strip("/") or 0)}
    if parts.scheme == "rediss":
        options["ssl"] = True
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    if any("," in str(value) for value in options.values()):
        raise FeatureError("Feast cannot read a Redis user or password with a comma.", "Choose another.")
    address = f"{parts.hostname}:{parts.port or 6379}"
    return ",".join((address, *(f"{name}={json.dumps(value)}" for name, value in options.items())))


def store(settings: Settings | None = None) -> FeatureStore:
    """Feast's own feature store, on our online store, registry and tables."""
    import yaml
    from feast import FeatureStore, RepoConfig

    settings = settings or get_settings()
    registry(settings).parent.mkdir(parents=True, exist_ok=True)
    text = Template(CONFIG.read_text()).substitute(environment(settings))
    return FeatureStore(config=RepoConfig(**yaml.safe_load(text), repo_path=FOLDER))


def contents() -> RepoContents:
    """The objects that the files declare."""
    from feast.feature_view import DUMMY_ENTITY
    from feast.repo_contents import RepoContents

    from features.repo import definitions

    made = list(definitions.feature_views.values())
    return RepoContents(
        projects=[definitions.project],
        data_sources=[view.batch_source for view in made if view.batch_source is not None],
        entities=[*definitions.entities.values(), DUMMY_ENTITY],
        feature_views=made,
        feature_services=list(definitions.services.values()),
        on_demand_feature_views=[],
        stream_feature_views=[],
        label_views=[],
        permissions=[],
    )


def plan(settings: Settings) -> list[Change]:
    """What has to be done so that Feast's registry holds what the files declare."""
    if _stamp(settings) == _read(_stamp_file(settings)):
        return []
    from feast.diff.registry_diff import diff_between

    differences = diff_between(store(settings).registry, PROJECT, contents()).feast_object_diffs
    changes = [
        Change(KIND, _named(one), _ACTIONS[one.transition_type.name], _told(one))
        for one in differences
        if one.transition_type.name in _ACTIONS and one.name != "__dummy" and not _only_younger(one)
    ]
    if not changes:
        _stamp_file(settings).write_text(_stamp(settings))
    return sorted(changes, key=lambda change: change.name)


def apply(settings: Settings, changes: list[Change]) -> None:
    """Make Feast's registry hold what the files declare, and nothing else."""
    from feast.repo_operations import extract_objects_for_apply_delete

    made = store(settings)
    objects, deleted, *_ = extract_objects_for_apply_delete(  # type: ignore[no-untyped-call]
        PROJECT, made.registry, contents()
    )
    made.apply(objects, objects_to_delete=deleted, partial=False)
    _stamp_file(settings).write_text(_stamp(settings))


# Importing Feast takes seconds. So what was declared when the registry was last compared is kept beside it,
# with the registry's own digest: as long as neither changes, there is nothing to compare.
def _stamp_file(settings: Settings) -> Path:
    return registry(settings).with_name("compared")


def _stamp(settings: Settings) -> str:
    file = registry(settings)
    held = file.read_bytes() if file.is_file() else b""
    return f"{declared()} {hashlib.sha256(held).hexdigest()}"


def declared() -> str:
    """Digest of everything that is declared: it changes when a view, service, record or Feast does."""
    said = [
        repr((views.PROJECT, views.ENTITIES, views.VIEWS, views.SERVICES)),
        *(view.schema.text for view in views.VIEWS),
        (FOLDER / "definitions.py").read_text(),
        importlib.metadata.version("feast"),
    ]
    return hashlib.sha256("\0".join(said).encode()).hexdigest()


def _read(file: Path) -> str:
    return file.read_text() if file.is_file() else ""


def command(arguments: list[str], settings: Settings) -> tuple[list[str], dict[str, str]]:
    """Command line and environment of a stock ``feast`` command in our repository."""
    registry(settings).parent.mkdir(parents=True, exist_ok=True)
    feast = Path(sys.executable).with_name("feast")
    environ = os.environ | environment(settings) | {"PYTHONPATH": _python_path()}
    return [str(feast), "-c", str(FOLDER), *arguments], environ


def run(arguments: list[str], settings: Settings | None = None) -> int:
    """Run the ``feast`` command line in our repository; gives its exit code."""
    argv, environ = command(arguments, settings or get_settings())
    return subprocess.run(argv, env=environ, check=False).returncode


def _python_path() -> str:
    """Feast imports the definitions from the current folder, which a script has not in its path."""
    return os.pathsep.join(filter(None, (str(FOLDER), os.environ.get("PYTHONPATH", ""))))


def _named(difference: Any) -> str:
    return f"{difference.feast_object_type.value} {difference.name}"


def _told(difference: Any) -> str:
    if difference.transition_type.name == "CREATE":
        return "register it"
    if difference.transition_type.name == "DELETE":
        return "remove it from the registry: it is not declared any more"
    return f"changes {', '.join(sorted(_changed(difference))) or 'it'}"


def _only_younger(difference: Any) -> bool:
    """Whether an update changes nothing but the moment at which Feast made an object.

    `materialize` notes its intervals with the view, so that it equals no declared one any more. Then Feast
    compares field by field, and a data source's ``meta`` tells when that object came into being.
    """
    return difference.transition_type.name == "UPDATE" and not _changed(difference)


def _changed(difference: Any) -> set[str]:
    """Names of the properties that an update changes."""
    return {
        one.property_name
        for one in difference.feast_object_property_diffs
        if one.property_name != "meta" and _timeless(one.val_existing) != _timeless(one.val_declared)
    }


def _timeless(value: Any) -> Any:
    """A property without the moment at which Feast made it."""
    from feast.protos.feast.core.DataSource_pb2 import DataSource

    if not isinstance(value, DataSource):
        return value
    bare = DataSource()
    bare.CopyFrom(value)
    bare.ClearField("meta")
    return bare
