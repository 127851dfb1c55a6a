"""What all Python programs of the benchmark share: the job's Avro, and its arithmetic in plain Python.

The frameworks differ in how they read, keep, window, snapshot and write; what is done with an event is the
same code in all of them. State is plain lists and dicts, so that every framework can store it as it likes.
"""

from __future__ import annotations

import io
import json
import struct
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import fastavro

Event = dict[str, Any]
State = dict[str, Any]
Window = dict[str, list[int]]
"""Of one match in one window: events, kills, deaths and assists of each player."""
Part = tuple[str, int, int, int]
"""A player's part in an event: player id, killed, died, assisted."""

WINDOW_MS = 5_000
LATENESS_MS = 5_000
"""How far out of order events may come: the watermark's distance from the newest event."""
SNAPSHOT_SECONDS = 5
ROLLING_MS = 180_000

PRODUCER = {
    "compression.type": "lz4",
    "linger.ms": 20,
    "batch.size": 262_144,
    "queue.buffering.max.messages": 1_000_000,
    "queue.buffering.max.kbytes": 1_048_576,
}
"""What librdkafka advises for throughput, for every program that writes through it."""

_FRAME = 5
_USED = (
    *("match_id", "event_type", "event_time", "game_time_ms", "team", "player_id", "victim_id", "assist_ids"),
    *("building", "monster", "monster_sub", "blue_gold", "red_gold"),
)


@dataclass(frozen=True)
class Job:
    """What a program is told: the JSON file that its command line names.

    Attributes:
        bootstrap: Kafka bootstrap servers.
        events: Topic of MatchEvents.
        states: Topic for the state after each event.
        windows: Topic for the players' windows.
        events_schema: Schema of MatchEvent, as Avro JSON.
        states_schema: Schema of the states.
        windows_schema: Schema of the windows.
        states_id: The registry's id of it.
        windows_id: The registry's id of it.
        group: Consumer group or application id, new for each run.
        folder: Folder for local state, shared by all processes, empty at first.
        processes: How many processes share the work.
        addresses: An address for each of them, where they must talk to each other.
        index: Which of them this one is, from 0.
    """

    bootstrap: str
    events: str
    states: str
    windows: str
    events_schema: str
    states_schema: str
    windows_schema: str
    states_id: int
    windows_id: int
    group: str
    folder: str
    processes: int
    addresses: list[str]
    index: int

    def wait_for_all(self) -> None:
        """Return when every process is as far: a group that grows while it works does work twice."""
        (Path(self.folder) / f"ready-{self.index}").touch()
        while not all((Path(self.folder) / f"ready-{index}").exists() for index in range(self.processes)):
            time.sleep(0.01)

    def decoder(self) -> Callable[[bytes], Event]:
        """Frames to events. Only the fields that the job uses are read: quicker than reading all."""
        written = json.loads(self.events_schema)
        fields = [_plain(field) for field in written["fields"]]
        writer = fastavro.parse_schema({**written, "fields": fields})
        used = [field for field in fields if field["name"] in _USED]
        reader = fastavro.parse_schema({**written, "fields": used})
        read = fastavro.schemaless_reader

        def decode(frame: bytes) -> Event:
            body = io.BytesIO(frame)
            body.seek(_FRAME)
            event: Event = read(body, writer, reader)  # type: ignore[assignment]
            return event

        return decode

    def state_encoder(self) -> Callable[[State], bytes]:
        """States to frames."""
        return _encoder(self.states_schema, self.states_id)

    def window_encoder(self) -> Callable[[str, int, Window], list[tuple[bytes, bytes]]]:
        """Match id, start and players of a closed window to a key and a frame for each player."""
        encode = _encoder(self.windows_schema, self.windows_id)

        def encode_all(match_id: str, start: int, window: Window) -> list[tuple[bytes, bytes]]:
            return [
                (player_id.encode(), encode(window_record(player_id, match_id, start, counts)))
                for player_id, counts in window.items()
            ]

        return encode_all


def read_job() -> Job:
    """The job that the command line names."""
    return Job(**json.loads(Path(sys.argv[1]).read_text()))


def window_record(player_id: str, match_id: str, start: int, counts: list[int]) -> dict[str, Any]:
    """A player's window as it is written."""
    events, kills, deaths, assists = counts
    return {
        "player_id": player_id,
        "match_id": match_id,
        "window_start": start,
        "events": events,
        "kills": kills,
        "deaths": deaths,
        "assists": assists,
    }


def advance(state: State | None, event: Event) -> State:
    """The state of a match after one more event; the record that is written is the same dict."""
    if state is None:
        state = {
            "match_id": event["match_id"],
            "clock_ms": 0,
            "events": 0,
            "kills_blue": 0,
            "kills_red": 0,
            "towers_blue": 0,
            "towers_red": 0,
            "dragons_blue": 0,
            "dragons_red": 0,
            "barons_blue": 0,
            "barons_red": 0,
            "gold_diff": None,
            "blue": [],
            "red": [],
        }
    kind, clock, team = event["event_type"], event["game_time_ms"], event["team"]
    state["game_time_ms"] = clock
    state["events"] += 1
    now = state["clock_ms"] = max(clock, state["clock_ms"])
    if kind == "TEAM_GOLD":
        state["gold_diff"] = event["blue_gold"] - event["red_gold"]
    elif team is not None:
        if kind == "CHAMPION_KILL":
            state["kills_" + team] += 1
            state[team].append(clock)
        elif kind == "BUILDING_KILL":
            if event["building"] == "TOWER":
                state["towers_" + team] += 1
        elif kind == "ELITE_MONSTER_KILL":
            if event["monster"] == "BARON_NASHOR":
                state["barons_" + team] += 1
            elif event["monster"] == "DRAGON" and event["monster_sub"] != "ELDER_DRAGON":
                state["dragons_" + team] += 1
    for side in ("blue", "red"):
        kills = state[side]
        if kills and kills[0] <= now - ROLLING_MS:
            kills = state[side] = [at for at in kills if at > now - ROLLING_MS]
        state[f"kills_{side}_3m"] = len(kills)
    return state


def parts(event: Event) -> list[Part]:
    """The players who took part in an event."""
    kill = int(event["event_type"] == "CHAMPION_KILL")
    found: list[Part] = []
    if event["player_id"]:
        found.append((event["player_id"], kill, 0, 0))
    if event["victim_id"]:
        found.append((event["victim_id"], 0, kill, 0))
    found += [(player_id, 0, 0, kill) for player_id in event["assist_ids"] or () if player_id]
    return found


def fold(window: Window, taken: list[Part]) -> Window:
    """The window of a match with these parts added."""
    for player_id, killed, died, assisted in taken:
        counts = window.setdefault(player_id, [0, 0, 0, 0])
        counts[0] += 1
        counts[1] += killed
        counts[2] += died
        counts[3] += assisted
    return window


def _plain(field: dict[str, Any]) -> dict[str, Any]:
    """A field without logical types: times stay numbers, which is quicker and what windows need."""
    kinds = field["type"] if isinstance(field["type"], list) else [field["type"]]
    plain = [kind["type"] if isinstance(kind, dict) and "logicalType" in kind else kind for kind in kinds]
    return {**field, "type": plain if isinstance(field["type"], list) else plain[0]}


def _encoder(schema: str, schema_id: int) -> Callable[[dict[str, Any]], bytes]:
    parsed = fastavro.parse_schema(json.loads(schema))
    header = struct.pack(">bI", 0, schema_id)
    write = fastavro.schemaless_writer

    def encode(record: dict[str, Any]) -> bytes:
        out = io.BytesIO()
        out.write(header)
        write(out, parsed, record)
        return out.getvalue()

    return encode
