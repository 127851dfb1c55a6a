"""Models into Triton: the committed artefact laid into a model repository, and loaded."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from models.artefact import BOOSTER, INTERVAL_ONNX, ONNX, Card, load_card
from models.store import committed
from riftstream.errors import ModelError
from riftstream.settings import get_settings

if TYPE_CHECKING:
    from tritonclient.grpc import InferenceServerClient

WIN_PROBABILITY = "win_probability"
MODELS = (WIN_PROBABILITY, "player_props")
_STAMP = "stamp"

_SERVING = Path(__file__).parent.parent / "serving"
_REPOSITORY, _FIL_REPOSITORY = _SERVING / "model_repository", _SERVING / "model_repository_fil"


def install(target: Path | None = None, url: str | None = None) -> list[Card]:
    """Lay the committed models into Triton's model repository and load them. Twice changes nothing.

    Args:
        target: Triton's model repository; that of the local stack by default.
        url: Triton's gRPC address; that of the settings by default.

    Returns:
        The cards of the models that Triton now serves.

    Raises:
        ModelError: An artefact is missing or broken, or Triton does not take it.
    """
    cards = [card for name in MODELS if (card := committed(name)) is not None]
    for card in cards:
        serve(card, target, url)
    return cards


def lay_out(card: Card, target: Path) -> str:
    """Write a version's folder of a Triton model repository, and the configuration of all its versions.

    Returns:
        A stamp of the version (SHA-256), which the configuration carries too: by it a running Triton tells
        what it has loaded.
    """
    version = target / card.name / card.version
    version.mkdir(mode=0o700, parents=True, exist_ok=True)
    _write(version / "model.py", (_REPOSITORY / "model.py").read_bytes())
    _write(version / ONNX, (card.folder / ONNX).read_bytes())
    return _configure(card.name, target)[card.version]


def _configure(name: str, target: Path) -> dict[str, str]:
    """Write a model's configuration, with a stamp of each version whose folder is there; gives the stamps."""
    config = (_REPOSITORY / name / "config.pbtxt").read_text()
    folders = sorted(file.parent for file in (target / name).glob(f"*/{ONNX}"))
    stamps = {folder.name: _stamp(config, folder) for folder in folders}
    for number, stamp in stamps.items():
        config += f'parameters {{ key: "{_STAMP}_{number}", value: {{ string_value: "{stamp}" }} }}\n'
    _write(target / name / "config.pbtxt", config.encode())
    return stamps


def _stamp(config: str, folder: Path) -> str:
    parts = (config.encode(), (folder / "model.py").read_bytes(), (folder / ONNX).read_bytes())
    return hashlib.sha256(b"\0".join(parts)).hexdigest()


def model_repository_versions(name: str, target: Path | None = None) -> list[str]:
    """Versions of a model that lie in Triton's model repository; that of the local stack by default."""
    folder = (target or get_settings().home / "triton" / "models") / name
    return sorted(file.parent.name for file in folder.glob(f"*/{ONNX}"))


def withdraw(name: str, version: str, target: Path | None = None, url: str | None = None) -> None:
    """Take a version out of Triton and of its model repository; the others go on answering.

    Args:
        name: The model.
        version: The version; nothing happens where it is not there.
        target: Triton's model repository; that of the local stack by default.
        url: Triton's gRPC address; that of the settings by default.

    Raises:
        ModelError: Triton does not answer.
    """
    settings = get_settings()
    target = target or settings.home / "triton" / "models"
    if not (target / name / version).is_dir():
        return
    shutil.rmtree(target / name / version)
    _configure(name, target)
    with _triton(url or settings.triton_url, f"unload {name} {version}") as client:
        client.load_model(name)


def serve(card: Card, target: Path | None = None, url: str | None = None) -> None:
    """Lay a version into Triton's model repository beside the others and load it. Twice changes nothing.

    A version that Triton does not take is taken out of the repository again; the others go on answering.

    Args:
        card: The version.
        target: Triton's model repository; that of the local stack by default.
        url: Triton's gRPC address; that of the settings by default.

    Raises:
        ModelError: Triton does not take it.
    """
    settings = get_settings()
    repository = target or settings.home / "triton" / "models"
    known = (repository / card.name / card.version).is_dir()
    stamp = lay_out(card, repository)
    try:
        _load(card, stamp, url or settings.triton_url)
    except ModelError:
        if not known:
            shutil.rmtree(repository / card.name / card.version)
            _configure(card.name, repository)
        raise


def lay_out_fil(target: Path, card: Card | None = None) -> None:
    """Write the model repository for GPU servers, see ``serving/model_repository_fil/README.md``."""
    card = card or load_card(WIN_PROBABILITY)
    files = {
        card.name: {},
        f"{card.name}_trees": {"xgboost.ubj": BOOSTER},
        f"{card.name}_interval": {"model.onnx": INTERVAL_ONNX},
    }
    for model, contents in files.items():
        version = target / model / card.version
        version.mkdir(parents=True, exist_ok=True)
        config = (_FIL_REPOSITORY / model / "config.pbtxt").read_bytes()
        _write(target / model / "config.pbtxt", config)
        for name, file in contents.items():
            _write(version / name, (card.folder / file).read_bytes())


def _write(file: Path, content: bytes) -> None:
    """Write a file whole or not at all; one that holds the content already keeps its time, for Triton."""
    if file.is_file() and file.read_bytes() == content:
        return
    handle, temporary = tempfile.mkstemp(dir=file.parent, prefix=f".{file.name}.")
    with os.fdopen(handle, "wb") as out:
        out.write(content)
    Path(temporary).replace(file)


@contextmanager
def _triton(url: str, what: str) -> Iterator[InferenceServerClient]:
    """A connection to Triton.

    Raises:
        ModelError: Triton did not do what it was asked.
    """
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(url)
    try:
        yield client
    except InferenceServerException as cause:
        raise ModelError(f"Triton at {url} did not {what}: {cause.message()}.") from cause
    finally:
        client.close()


def _load(card: Card, stamp: str, url: str) -> None:
    """Have Triton load the model, unless it serves this very one."""
    with _triton(url, f"load {card.name}") as client:
        if client.is_model_ready(card.name, card.version):
            loaded = client.get_model_config(card.name, card.version).config.parameters
            if loaded[f"{_STAMP}_{card.version}"].string_value == stamp:
                return
        client.load_model(card.name)
        ready = client.is_model_ready(card.name, card.version)
    if not ready:
        raise ModelError(f"Triton at {url} loaded {card.name}, but not its version {card.version}.")
