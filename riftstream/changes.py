"""What `rift plan` says and `rift apply` does: differences between the files and the running platform."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["create", "update", "refuse"]


@dataclass(frozen=True)
class Change:
    """One difference.

    Attributes:
        kind: What it is about: topic, schema, table, feast or job.
        name: Which one.
        action: create, update, or refuse for what may not be done; then nothing at all is applied.
        detail: What will be done, or why it is refused, as a sentence.
    """

    kind: str
    name: str
    action: Action
    detail: str
