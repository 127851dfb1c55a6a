"""uv, which installs packages into environments beside our own."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path


def uv() -> str | None:
    """Where uv is: beside this Python, where ``./rift`` put it, or on PATH; None where there is none."""
    root = Path(__file__).resolve().parent.parent
    beside = (Path(sys.executable).with_name("uv"), root / ".uv" / "bin" / "uv")
    return next((str(file) for file in beside if file.is_file()), None) or shutil.which("uv")
