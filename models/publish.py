"""Models into Triton: the committed artefact laid into a model repository, and loaded."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from models.artefact import BOOSTER, INTERVAL_ONNX, ONNX, Card, load_card
from riftstream.errors import ModelError
from riftstream.settings import get_settings

WIN_PROBABILITY = "win_probability"
_STAMP = "stamp"

_SERVING = Path(__file__).parent.parent / "serving"
_REPOSITORY, _FIL_REPOSITORY = _SERVING / "model_repository", _SERVING / "model_repository_fil"


def install(target: Path | None = None, url: str | None = None) -> Card:
    """Lay win_probability into Triton's model repository and load it. Doing it again changes nothing.

    Args:
        target: Triton's model repository; that of the local stack by default.
        url: Triton's gRPC address; that of the settings by default.

    Returns:
        The card of the model that Triton now serves.

    Raises:
        ModelError: The artefact is missing or broken, or Triton does not take it.
    """
    settings = get_settings()
    card = load_card(WIN_PROBABILITY)
    stamp = lay_out(card, target or settings.home / "triton" / "models")
    _load(card, stamp, url or settings.triton_url)
    return card


def lay_out(card: Card, target: Path) -> str:
    """Write the model's folder of a Triton model repository: configuration, code and ONNX file by version.

    Returns:
        A stamp of all of it (SHA-256), which the configuration carries too: by it a running Triton tells what
        it has loaded.
    """
    source, folder = _REPOSITORY / card.name, target / card.name
    version = folder / card.version
    version.mkdir(mode=0o700, parents=True, exist_ok=True)
    config = (source / "config.pbtxt").read_text()
    code, graph = (_REPOSITORY / "model.py").read_bytes(), (card.folder / ONNX).read_bytes()
    stamp = hashlib.sha256(b"\0".join((config.encode(), code, graph))).hexdigest()
    config += f'parameters {{ key: "{_STAMP}", value: {{ string_value: "{stamp}" }} }}\n'
    _write(version / "model.py", code)
    _write(version / ONNX, graph)
    _write(folder / "config.pbtxt", config.encode())
    return stamp


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


def _load(card: Card, stamp: str, url: str) -> None:
    """Have Triton load the model, unless it serves this very one."""
    from tritonclient.grpc import InferenceServerClient
    from tritonclient.utils import InferenceServerException

    client = InferenceServerClient(url)
    try:
        if client.is_model_ready(card.name, card.version):
            loaded = client.get_model_config(card.name, card.version).config.parameters
            if loaded[_STAMP].string_value == stamp:
                return
        client.load_model(card.name)
        ready = client.is_model_ready(card.name, card.version)
    except InferenceServerException as cause:
        raise ModelError(f"Triton at {url} did not load {card.name}: {cause.message()}.") from cause
    finally:
        client.close()
    if not ready:
        raise ModelError(f"Triton at {url} loaded {card.name}, but not its version {card.version}.")
