"""Sources of match events: each module reads one format and gives events of ours, accounted for.

========== ============================================================ ========================
lol-pro    five CSV files of professional matches, 2014 to 2017         a folder, or ``kaggle:``
oracles-elixir Oracle's Elixir match data, with real dates              a file or folder
match-v5   Riot match-v5 timelines                                      a file or folder
live-client Riot Live Client Data (``allgamedata``)                     a file, or a URL to poll
lolesports lolesports livestats ``window``                              a file, or a URL to poll
events     our own events as JSON lines                                 a file
sample     twenty real matches that come with the project               nothing
simulator  synthetic matches for load, or real ones multiplied          nothing, or what to multiply
========== ============================================================ ========================
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from riftstream.errors import SourceError
from riftstream.settings import get_settings
from streams.sources.account import Account

Event = dict[str, Any]

NAMES = (
    *("lol-pro", "oracles-elixir", "match-v5", "live-client", "lolesports", "events", "sample", "simulator"),
)
KAGGLE_SET = "chuckephron/leagueoflegends"


class Source(Protocol):
    """What every source gives."""

    account: Account

    def __len__(self) -> int:
        """How many matches ``matches`` will give."""

    def matches(self) -> Iterator[list[Event]]:
        """The events of each match, in log order."""


@dataclass(frozen=True)
class Options:
    """What a caller may say about an input.

    Attributes:
        limit: Only the first matches.
        match_id: Identity of the match where a feed gives none.
        league: League of the match where a feed gives none.
        start_ms: Start of the match where a feed has no date (ms since the Unix epoch).
        seed: Seed of the simulator.
        copies: How often the simulator plays each real match.
    """

    limit: int | None = None
    match_id: str | None = None
    league: str | None = None
    start_ms: int | None = None
    seed: int = 0
    copies: int = 1


def open_source(name: str, path: str | None = None, options: Options | None = None) -> Source:
    """Open an input.

    Args:
        name: One of ``NAMES``.
        path: File or folder; for ``lol-pro`` and ``oracles-elixir`` by default the data folder of the
            settings; ``kaggle:`` for a download of ``lol-pro`` through kagglehub; for ``simulator`` what to
            multiply, as ``open_input`` takes it.
        options: What else is known.

    Raises:
        SourceError: There is no such source, or its input cannot be read.
    """
    options = options or Options()
    if name == "lol-pro":
        from streams.sources.lol_pro import LolPro

        return LolPro(_lol_pro_folder(path), options.limit)
    if name == "oracles-elixir":
        from streams.sources.oracles_elixir import OraclesElixir

        return OraclesElixir(Path(path) if path is not None else _data_folder(name), options.limit)
    if name == "sample":
        from streams.sources.json_lines import JsonLines
        from streams.sources.sample import FILE

        return JsonLines(FILE, options.limit)
    if name == "simulator":
        from streams.sources.simulator import Multiplied, Simulated

        if path is None:
            return Simulated(options.limit if options.limit is not None else 10, options.seed)
        return Multiplied(open_input(path, options), options.copies)
    if name not in NAMES:
        raise SourceError(f"There is no source {name}.", f"Sources: {', '.join(NAMES)}.")
    if path is None:
        raise SourceError(f"The source {name} needs a path.", f"For example: rift import {name} FILE.")
    return _file_source(name, Path(path), options)


def _file_source(name: str, path: Path, options: Options) -> Source:
    if name == "events":
        from streams.sources.json_lines import JsonLines

        return JsonLines(path, options.limit)
    if name == "match-v5":
        from streams.sources.match_v5 import MatchV5

        return MatchV5(path, options)
    from streams.sources.recorded import Recorded

    return Recorded(name, path, options)


def open_input(what: str | None, options: Options | None = None) -> Source:
    """Open what a person named: nothing (the sample), a source, ``source:path``, a folder or a file.

    Raises:
        SourceError: It is none of these, or cannot be read.
    """
    if what is None:
        return open_source("sample", None, options)
    name, colon, path = what.partition(":")
    if name in NAMES:
        return open_source(name, path if colon and path else None, options)
    if name == "kaggle":
        return open_source("lol-pro", what, options)
    if Path(what).is_dir():
        return open_source("lol-pro", what, options)
    if Path(what).is_file():
        return open_source("events", what, options)
    raise SourceError(
        f"{what} is no file, no folder and no source.",
        f"Sources: {', '.join(NAMES)}; with a path, for example lol-pro:FOLDER.",
    )


def _lol_pro_folder(path: str | None) -> Path:
    if path is not None and path.startswith("kaggle:"):
        return kaggle_folder(path.removeprefix("kaggle:") or KAGGLE_SET)
    return Path(path) if path is not None else _data_folder("lol-pro", ", or use kaggle: to download it")


def _data_folder(name: str, otherwise: str = "") -> Path:
    data = get_settings().data
    if data is None:
        raise SourceError(f"The source {name} needs a folder.", f"Name it, or set RIFT_DATA{otherwise}.")
    return data


def kaggle_folder(dataset: str = KAGGLE_SET) -> Path:
    """Download a data set of Kaggle, or take it from kagglehub's cache.

    Raises:
        SourceError: kagglehub is not installed, or Kaggle does not give the set.
    """
    try:
        import kagglehub
    except ImportError as cause:
        raise SourceError(
            "The package kagglehub is not installed.",
            "Install it into this environment (uv pip install kagglehub), or download "
            f"https://www.kaggle.com/datasets/{dataset} and name its folder.",
        ) from cause
    try:
        return Path(kagglehub.dataset_download(dataset))
    except Exception as cause:
        raise SourceError(
            f"Kaggle did not give {dataset}: {cause}.",
            f"Download https://www.kaggle.com/datasets/{dataset} by hand and name its folder.",
        ) from cause
