"""What the programs of ``rift bench peers`` must write, recomputed plainly, and whether they did.

Nothing here is shared with the programs: states come from sums over the events so far, windows from a pass
over all events of a match, bytes from our codec.
"""

from __future__ import annotations

import zlib
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import accumulate

import confluent_kafka as kafka

from streams.avro import Codec, Record

Event = Record
Key = tuple[str, int]
"""A player and the start of a window."""

WINDOW_MS = 5_000
ROLLING_MS = 180_000
SETTLED_MS = 15_000
"""Event time after which a window is certainly closed: lateness, length, and time to spare."""
SETTLED_SECONDS = 15
"""What was written this long before the end must have its windows out: those of a match that has gone quiet
are closed by one peer's clock after ten seconds."""
SAMPLED_EVENTS = 1_000_000
"""Windows are compared for matches with about this many events in all; states for every one."""


def states(events: Sequence[Event]) -> list[Record]:
    """The state of one match after each of its events, in log order; a field that an event lacks is null."""

    def so_far(wanted: Callable[[Event], bool]) -> list[int]:
        return list(accumulate(int(wanted(event)) for event in events))

    def monster(event: Event, name: str) -> bool:
        of_kind = event["event_type"] == "ELITE_MONSTER_KILL" and event.get("monster") == name
        return bool(of_kind and event.get("monster_sub") != "ELDER_DRAGON")

    def count(side: str) -> dict[str, list[int]]:
        def acted(event: Event) -> bool:
            return bool(event.get("team") == side)

        return {
            f"kills_{side}": so_far(lambda e: acted(e) and e["event_type"] == "CHAMPION_KILL"),
            f"towers_{side}": so_far(lambda e: acted(e) and e.get("building") == "TOWER"),
            f"dragons_{side}": so_far(lambda e: acted(e) and monster(e, "DRAGON")),
            f"barons_{side}": so_far(lambda e: acted(e) and monster(e, "BARON_NASHOR")),
        }

    counts = count("blue") | count("red")
    clocks = list(accumulate((event["game_time_ms"] for event in events), max))
    snapshots = [e["blue_gold"] - e["red_gold"] if e["event_type"] == "TEAM_GOLD" else None for e in events]
    gold: list[int | None] = list(accumulate(snapshots, lambda known, told: known if told is None else told))
    kills = {
        side: [e["game_time_ms"] if kind_and_side(e) == ("CHAMPION_KILL", side) else None for e in events]
        for side in ("blue", "red")
    }
    found = []
    for place, event in enumerate(events):
        oldest = clocks[place] - ROLLING_MS
        rolling = {
            f"kills_{side}_3m": sum(at is not None and at > oldest for at in at_clock[: place + 1])
            for side, at_clock in kills.items()
        }
        found.append(
            {
                "match_id": event["match_id"],
                "game_time_ms": event["game_time_ms"],
                "clock_ms": clocks[place],
                "events": place + 1,
                "gold_diff": gold[place],
                **{name: column[place] for name, column in counts.items()},
                **rolling,
            }
        )
    return found


def kind_and_side(event: Event) -> tuple[str, str | None]:
    """Type of an event, and the side that acted."""
    return event["event_type"], event.get("team")


def windows(events: Sequence[Event], shift_ms: int = 0) -> dict[Key, tuple[int, int, int, int]]:
    """Events, kills, deaths and assists of each player of one match by window.

    Args:
        events: The events of the match.
        shift_ms: Added to every event's time.
    """
    found: dict[Key, Counter[str]] = defaultdict(Counter)
    for event in events:
        start = (event["event_time"] + shift_ms) // WINDOW_MS * WINDOW_MS
        kill = event["event_type"] == "CHAMPION_KILL"
        roles = [("kills", event.get("player_id")), ("deaths", event.get("victim_id"))]
        roles += [("assists", player) for player in event.get("assist_ids") or ()]
        for role, player in roles:
            if player:
                found[player, start]["events"] += 1
                found[player, start][role] += kill
    return {key: (n["events"], n["kills"], n["deaths"], n["assists"]) for key, n in found.items()}


@dataclass(frozen=True)
class Load:
    """What lies in the topic: real matches again and again, as ``simulator.preload`` sends them in one group.

    Attributes:
        matches: The real matches.
        start_ms: Event time at which the first copies begin.
    """

    matches: list[list[Event]]
    start_ms: int

    @cached_property
    def span_ms(self) -> int:
        """Event time from the start of one copy to the next one's."""
        return span_ms(self.matches)

    def begin_ms(self, copy: int) -> int:
        """Event time at which a copy begins, counted from 1."""
        return self.start_ms + (copy - 1) * self.span_ms


def span_ms(matches: list[list[Event]]) -> int:
    """Event time that one copy of all matches takes, all at once."""
    return 1 + max(int(event["event_time"] - match[0]["event_time"]) for match in matches for event in match)


@dataclass
class Checked:
    """What was found in a program's output.

    Attributes:
        states: States that were compared.
        windows: Windows that were compared.
        wrong: What is wrong, the first few as sentences; empty where all is right.
    """

    states: int = 0
    windows: int = 0
    wrong: list[str] = field(default_factory=list)

    def blame(self, sentence: str) -> None:
        """Note something wrong."""
        if len(self.wrong) < 5:
            self.wrong.append(sentence)


class Checker:
    """Compares what a program wrote with the recomputation.

    Args:
        load: What lay in the topic.
        states_codec: Codec of the states.
        windows_codec: Codec of the windows.
    """

    def __init__(self, load: Load, states_codec: Codec, windows_codec: Codec) -> None:
        self._load = load
        self._matches = {match[0]["match_id"]: match for match in load.matches}
        self._states_codec = states_codec
        self._tails = {name: _tails(states_codec, match) for name, match in self._matches.items()}
        self._windows_codec = windows_codec

    def check(
        self,
        state_records: Iterable[kafka.Message],
        window_records: Iterable[kafka.Message],
        ended_ms: int,
    ) -> Checked:
        """Read both outputs and say what is wrong with them.

        Args:
            state_records: All states until then, each partition in order.
            window_records: All windows until then, each partition in order.
            ended_ms: Until when that was written, ms since the Unix epoch.
        """
        checked = Checked()
        settled_ms = ended_ms - SETTLED_SECONDS * 1000
        seen, settled = self._states(state_records, settled_ms, checked)
        cut = self._cut(settled) - SETTLED_MS
        stride = max(1, sum(seen.values()) // SAMPLED_EVENTS)
        self._windows(window_records, seen, cut, stride, checked)
        return checked

    def _states(
        self, records: Iterable[kafka.Message], settled_ms: int, checked: Checked
    ) -> tuple[dict[bytes, int], dict[bytes, int]]:
        """Every state in its place; how many of each match there are in all, and how many in good time."""
        seen: dict[bytes, int] = defaultdict(int)
        settled: dict[bytes, int] = {}
        heads: dict[bytes, tuple[bytes, list[bytes]]] = {}
        for record in records:
            key, value = record.key() or b"", record.value() or b""
            known = heads.get(key)
            if known is None:
                known = heads[key] = self._expected(key.decode())
            place = seen[key]
            seen[key] = place + 1
            if place >= len(known[1]) or value != known[0] + known[1][place]:
                checked.blame(f"state {place + 1} of {key.decode()} is not what it must be")
            if record.timestamp()[1] <= settled_ms:
                settled[key] = place + 1
            checked.states += 1
        return seen, settled

    def _expected(self, match_id: str) -> tuple[bytes, list[bytes]]:
        """How every state of a match begins, and how each of them goes on."""
        original = match_id.rpartition("#")[0]
        if original not in self._matches:
            return b"", []
        first = states(self._matches[original][:1])[0]
        tails = self._tails[original]
        return self._states_codec.encode({**first, "match_id": match_id}).removesuffix(tails[0]), tails

    def _cut(self, settled: dict[bytes, int]) -> int:
        """Event time before which every event was counted in good time."""
        copies = [int(key.decode().rpartition("-")[2]) for key, count in settled.items() if count]
        last = max(copies, default=0)
        cut = self._load.begin_ms(last + 1)
        for copy in range(1, last + 1):
            for name, match in self._matches.items():
                count = settled.get(f"{name}#copy-{copy}".encode(), 0)
                if count < len(match):
                    cut = min(cut, self._shift(match, copy) + match[count]["event_time"])
        return cut

    def _shift(self, match: list[Event], copy: int) -> int:
        return self._load.begin_ms(copy) - int(match[0]["event_time"])

    def _windows(
        self,
        records: Iterable[kafka.Message],
        seen: dict[bytes, int],
        cut: int,
        stride: int,
        checked: Checked,
    ) -> None:
        """The newest record of every window that must be closed, for a sample of the matches."""
        found: dict[str, dict[Key, tuple[int, int, int, int]]] = defaultdict(dict)
        match_of = self._windows_codec.projection(["match_id"])
        told = self._windows_codec.projection(
            ["player_id", "window_start", "events", "kills", "deaths", "assists"]
        )
        for record in records:
            frame = record.value() or b""
            (match_id,) = match_of(frame)
            if _sampled(match_id, stride):
                player, start, *counts = told(frame)
                found[match_id][player, start] = tuple(counts)
        for key in seen:
            match_id = key.decode()
            if not _sampled(match_id, stride):
                continue
            name, _, number = match_id.rpartition("#copy-")
            match = self._matches[name]
            wanted = windows(match, self._shift(match, int(number)))
            got = found.pop(match_id, {})
            for window in sorted({*wanted, *got}, key=lambda one: one[1]):
                if window[1] + WINDOW_MS > cut:
                    break
                checked.windows += 1
                if wanted.get(window) != got.get(window):
                    checked.blame(
                        f"the window {window[1]} of {window[0]} in {match_id} is {got.get(window)}, "
                        f"must be {wanted.get(window)}"
                    )
        for match_id in found:
            checked.blame(f"there are windows of {match_id}, which has no states")
        if not checked.windows:
            checked.blame("no window could be compared: the run was too short")


def _sampled(match_id: str, stride: int) -> bool:
    return zlib.crc32(match_id.encode()) % stride == 0


def _tails(codec: Codec, match: list[Event]) -> list[bytes]:
    """Encoded states of a match, without header and match id, which come first and differ between copies."""
    head = len(codec.header) + 1
    return [codec.encode({**state, "match_id": ""})[head:] for state in states(match)]
