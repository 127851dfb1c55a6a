"""Writes small folders in the layout of lol-pro."""

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

SIDES = ("blue", "red")
ROLES = ("Top", "Jungle", "Middle", "ADC", "Support")
PLAYERS = [f"{side}{role}{suffix}" for side in SIDES for role in ROLES for suffix in ("", "Champ")]
COLUMNS = {
    "matchinfo": [
        *("League", "Year", "Season", "Type", "blueTeamTag", "bResult", "rResult", "redTeamTag"),
        *("gamelength", *PLAYERS, "Address"),
    ],
    "bans": ["Address", "Team", "ban_1", "ban_2", "ban_3", "ban_4", "ban_5"],
    "kills": [
        *("Address", "Team", "Time", "Victim", "Killer"),
        *("Assist_1", "Assist_2", "Assist_3", "Assist_4", "x_pos", "y_pos"),
    ],
    "structures": ["Address", "Team", "Time", "Lane", "Type"],
    "monsters": ["Address", "Team", "Time", "Type"],
}


def address(number: int) -> str:
    """Address of match ``number``."""
    return f"http://matchhistory.na.leagueoflegends.com/en/#match-details/TRLH1/{number}?gameHash=abc"


def match_row(number: int, **changes: str) -> dict[str, str]:
    """A good matchinfo row."""
    row = {
        "League": "NALCS",
        "Year": "2016",
        "Season": "Spring",
        "Type": "Season",
        "blueTeamTag": "TSM",
        "bResult": "1",
        "rResult": "0",
        "redTeamTag": "C9",
        "gamelength": "30",
        "Address": address(number),
    }
    for side in SIDES:
        for role in ROLES:
            row[f"{side}{role}"] = f"{side.capitalize()}{role}"
            row[f"{side}{role}Champ"] = f"Champ{side}{role}"
    return row | changes


def kill_row(number: int, **changes: str) -> dict[str, str]:
    """A good kill row: blue's mid kills red's top with the jungler's help."""
    return {
        "Address": address(number),
        "Team": "bKills",
        "Time": "10.5",
        "Victim": "C9 RedTop",
        "Killer": "TSM BlueMiddle",
        "Assist_1": "TSM BlueJungle",
        "Assist_2": "",
        "Assist_3": "",
        "Assist_4": "",
        "x_pos": "7000",
        "y_pos": "8000",
    } | changes


def structure_row(number: int, **changes: str) -> dict[str, str]:
    """A good structure row."""
    return {
        "Address": address(number),
        "Team": "bTowers",
        "Time": "15.25",
        "Lane": "MID_LANE",
        "Type": "OUTER_TURRET",
    } | changes


def monster_row(number: int, **changes: str) -> dict[str, str]:
    """A good monster row."""
    return {"Address": address(number), "Team": "rDragons", "Time": "12.0", "Type": "FIRE_DRAGON"} | changes


def ban_row(number: int, **changes: str) -> dict[str, str]:
    """A good row of bans."""
    return {
        "Address": address(number),
        "Team": "blueBans",
        "ban_1": "Rumble",
        "ban_2": "Kassadin",
        "ban_3": "Lissandra",
        "ban_4": "",
        "ban_5": "",
    } | changes


def text_of(columns: Sequence[str], rows: Sequence[dict[str, str]]) -> str:
    """Rows as CSV, with a header."""
    file = io.StringIO(newline="")
    writer = csv.DictWriter(file, columns, extrasaction="ignore")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


@dataclass
class Files:
    """Rows of each file; ``write`` makes the folder."""

    matchinfo: list[dict[str, str]] = field(default_factory=list)
    bans: list[dict[str, str]] = field(default_factory=list)
    kills: list[dict[str, str]] = field(default_factory=list)
    structures: list[dict[str, str]] = field(default_factory=list)
    monsters: list[dict[str, str]] = field(default_factory=list)
    gold: tuple[list[str], list[dict[str, str]]] | None = None

    def write(self, folder: Path, *, packed: bool = False) -> Path:
        """Write the files, plain or gzipped."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, columns in COLUMNS.items():
            put(folder, name, text_of(columns, getattr(self, name)).encode(), packed=packed)
        if self.gold is not None:
            put(folder, "gold", text_of(*self.gold).encode(), packed=packed)
        return folder


def put(folder: Path, name: str, content: bytes, *, packed: bool = False) -> None:
    """Write one file, plain or gzipped."""
    if packed:
        (folder / f"{name}.csv.gz").write_bytes(gzip.compress(content, mtime=0))
    else:
        (folder / f"{name}.csv").write_bytes(content)


def small() -> Files:
    """Two good matches."""
    return Files(
        matchinfo=[match_row(1), match_row(2, Season="Summer", bResult="0", rResult="1")],
        bans=[ban_row(1), ban_row(1, Team="redBans", ban_1="Zed"), ban_row(2)],
        kills=[kill_row(1), kill_row(1, Time="3.2"), kill_row(2)],
        structures=[structure_row(1), structure_row(2, Team="rInhibs", Type="INHIBITOR")],
        monsters=[monster_row(1), monster_row(2, Team="bBarons", Type="BARON_NASHOR")],
        gold=(
            ["Address", "goldblue", "goldred"],
            [{"Address": address(1), "goldblue": "[2500, 2500, 2700]", "goldred": "[2500, 2510, 2650]"}],
        ),
    )
