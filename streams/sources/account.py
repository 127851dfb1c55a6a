"""The account of an import: every row that was read is an event, a part of one, or a rejected row."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass
class FileAccount:
    """What became of the rows of one file.

    Attributes:
        read: Rows read, the header not counted.
        used: Rows that became events or a part of one.
        left_out: Good or bad rows of matches beyond ``--limit``, and rows about other things than a match's
            events (per-player gold); not looked at further.
        rejected: Rows that could not be used, by reason.
        events: Events made of the used rows.
    """

    read: int = 0
    used: int = 0
    left_out: int = 0
    rejected: Counter[str] = field(default_factory=Counter)
    events: int = 0

    @property
    def balanced(self) -> bool:
        """Whether rows read = rows used + rows left out + rows rejected."""
        return self.read == self.used + self.left_out + self.rejected.total()

    def reject(self, reason: str) -> None:
        """Count one rejected row."""
        self.rejected[reason] += 1

    def use(self, events: int) -> None:
        """Count one used row and the events made of it."""
        self.used += 1
        self.events += events


@dataclass
class Account:
    """What an import read and made.

    Attributes:
        source: Name of the source.
        files: Account of each file or part of the input.
        kinds: Events handed out, by type; counted from the events themselves and not from the rows.
        notes: What was kept although something about it is unknown, by what that is.
        matches: Matches handed out.
    """

    source: str
    files: dict[str, FileAccount] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    notes: Counter[str] = field(default_factory=Counter)
    matches: int = 0

    def file(self, name: str) -> FileAccount:
        """The account of a file, opened where there is none yet."""
        return self.files.setdefault(name, FileAccount())

    def hand_out(self, match: Iterable[Mapping[str, Any]]) -> None:
        """Count one match and its events as handed out."""
        self.kinds.update(event["event_type"] for event in match)
        self.matches += 1

    @property
    def balanced(self) -> bool:
        """Whether every file balances, and the events made of rows are as many as the events handed out."""
        made = sum(file.events for file in self.files.values())
        return all(file.balanced for file in self.files.values()) and made == self.kinds.total()

    def as_dict(self) -> dict[str, Any]:
        """The account for ``--json``."""
        return {
            "source": self.source,
            "matches": self.matches,
            "files": {
                name: {
                    "rows_read": file.read,
                    "rows_used": file.used,
                    "rows_left_out": file.left_out,
                    "rows_rejected": file.rejected.total(),
                    "rejected": dict(sorted(file.rejected.items())),
                    "events": file.events,
                }
                for name, file in self.files.items()
            },
            "rows_read": sum(file.read for file in self.files.values()),
            "rows_used": sum(file.used for file in self.files.values()),
            "rows_left_out": sum(file.left_out for file in self.files.values()),
            "rows_rejected": sum(file.rejected.total() for file in self.files.values()),
            "events": self.kinds.total(),
            "events_by_type": dict(sorted(self.kinds.items())),
            "notes": dict(sorted(self.notes.items())),
            "balanced": self.balanced,
        }
