"""Published artefacts: folders in the object store, one a version, checked when they are used."""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from models.artefact import Card, artefact_folder, load_card
from riftstream.errors import ModelError
from riftstream.settings import Settings, get_settings

BUCKET = "models"


def put(card: Card, version: str, settings: Settings | None = None) -> str:
    """Copy an artefact's files into the object store, and give it a version there.

    Returns:
        The address of its folder, which is made from what it holds.

    Raises:
        ModelError: The object store does not take them.
    """
    place = f"{BUCKET}/{card.name}/{version}-{card.sha256[:16]}"
    said = json.loads((card.folder / "card.json").read_bytes()) | {"version": version}
    files = {name: (card.folder / name).read_bytes() for name in card.files}
    store = _store(settings)
    try:
        store.create_dir(BUCKET)
        for name, content in (files | {"card.json": json.dumps(said).encode()}).items():
            with store.open_output_stream(f"{place}/{name}") as out:
                out.write(content)
    except OSError as cause:
        raise ModelError(
            f"The object store does not take {card.name} {version}: {cause}.", "See 'rift status'."
        ) from cause
    return f"s3://{place}"


def fetch(name: str, version: str, uri: str, sha256: str | None, settings: Settings | None = None) -> Card:
    """The card of a published version, its files in ``RIFT_HOME``; they are copied once.

    Args:
        name: The model.
        version: The version.
        uri: Address of its folder in the object store.
        sha256: Identity that the artefact must have; any where it is None.

    Raises:
        ModelError: The files cannot be read, or are not those that were published.
    """
    settings = settings or get_settings()
    folder = settings.home / "models" / uri.removeprefix(f"s3://{BUCKET}/")
    if not folder.is_dir():
        _copy(uri.removeprefix("s3://"), folder, settings)
    card = load_card(name, folder)
    if card.version != version or (sha256 is not None and card.sha256 != sha256):
        raise ModelError(f"The artefact at {uri} is not {name} {version} as it was published.")
    return card


def committed(name: str) -> Card | None:
    """The card of the artefact that comes with the code; None where the model has none.

    Raises:
        ModelError: It is broken.
    """
    return load_card(name) if (artefact_folder(name) / "card.json").is_file() else None


def _copy(place: str, folder: Path, settings: Settings) -> None:
    """Copy a folder whole or not at all."""
    from pyarrow import fs

    folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".building-"))
    try:
        store = _store(settings)
        for file in store.get_file_info(fs.FileSelector(place)):
            with store.open_input_stream(file.path) as source:
                (building / file.base_name).write_bytes(source.read())
        if not folder.is_dir():
            building.rename(folder)
    except OSError as cause:
        raise ModelError(f"The artefact at s3://{place} cannot be read: {cause}.") from cause
    finally:
        shutil.rmtree(building, ignore_errors=True)


def _store(settings: Settings | None) -> Any:
    from pyarrow import fs

    settings = settings or get_settings()
    return fs.S3FileSystem(
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        endpoint_override=settings.s3_endpoint,
        region=settings.s3_region,
        allow_bucket_creation=True,
        connect_timeout=5,
        request_timeout=20,
    )
