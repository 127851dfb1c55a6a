"""What is known of a match before it begins, looked up once a match and the same for every process.

The pre-match estimate of win_probability stands on forms of the two teams and their players, on their games
against each other, and on the draft. The online store has the newest of each, and the newest of a match that
is over holds its own result: so a form counts only where it was told before the match began, as in training.

A match is looked up when its first event comes. What a MATCH_START tells of its teams is in the online store
a moment later, so for some seconds what is known of the teams has to do, and the look-up is repeated. Then it
is settled: the first process that has it all, or something of it after ten seconds, writes it to Redis, and
all others read it there. So a match is answered by one estimate, by the live path and by HTTP, to its end.
Where nothing at all is known nothing is settled; it is looked up again, longer and longer apart.
"""

from __future__ import annotations

import math
import struct
import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import zip_longest
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import orjson
import redis
import structlog

from features.online import OnlineReader
from features.views import View, find_view
from models.artefact import Card
from models.vector import sha256
from models.win_probability import pre_match
from models.win_probability.pre_match import INPUTS, MatchContext, PreMatch, Side
from riftstream.errors import FeatureError, StackError
from riftstream.settings import Settings
from serving.circuit import Circuit
from serving.rows import Row, rows_of, together

log = structlog.get_logger()

SETTLED_AFTER_SECONDS = 10.0
"""How long a match is looked up again while the online store lacks what its MATCH_START tells, where at least
something is known."""
AGAIN_SECONDS = 0.5
"""The pause before it is looked up for the second time; each further one is as long as all before it."""

_SIDES = ("blue", "red")
_IN_A_TEAM = 5
_MOST_MATCHES = 20_000
_AT_ONCE = 64
_KEPT_MS = 24 * 3_600_000
_TIMEOUT_SECONDS = 0.25
_PREFIX = b"rift:before:"
_TEAM, _PAIR, _CONTEXT = (find_view(name) for name in ("team_form", "head_to_head", "match_context"))
_PLAYER, _CHAMPION = find_view("player_form"), find_view("champion_meta")

_NEEDED = ("wins", "kills_mean", "deaths_mean", "assists_mean")
"""What the regression needs of a player's form, which may be null where a source tells no counts."""
_ODD = (FeatureError, ValueError, TypeError, LookupError, struct.error)
"""What reading raises where a row in Redis is none of ours or lacks what each form has."""

Inputs = np.ndarray[Any, np.dtype[np.float64]]


@dataclass(frozen=True)
class Match:
    """A match that is asked about.

    Attributes:
        match_id: Its id.
        teams: Names of the blue and of the red team; None where unknown.
        event_ms: Time of one of its events, ms since the Unix epoch: what was told later is not known.
    """

    match_id: str
    teams: tuple[str | None, str | None]
    event_ms: int


@dataclass
class _Held:
    """What was found of a match: its inputs, when it was looked up first and is to be again (monotonic s)."""

    inputs: Inputs
    since: float
    again: float


def estimates(card: Card, inputs: Inputs) -> np.ndarray:
    """Log odds that blue wins as a version's regression has them, float32, shape [n]; NaN where unknown.

    Args:
        card: The version; one without a regression knows nothing before a match.
        inputs: What is known of each match, shape [n, k], see ``Before.of``.
    """
    if pre_match.FILE not in card.files:
        return np.full(len(inputs), np.nan, np.float32)
    return np.asarray(regression(card.folder).log_odds(inputs), np.float32)


@lru_cache(maxsize=16)
def regression(folder: Path) -> PreMatch:
    """The regression of an artefact whose card was checked."""
    return pre_match.load(folder)


def told(before: np.ndarray, inputs: Inputs) -> list[dict[str, Any]]:
    """The fields of each ``Prediction`` that hold an estimate and what it stands on; null where unknown.

    An input that is unknown adds nothing, as one that is 0 does: with 0 the estimate can be made again.

    Args:
        before: The estimates, log odds, shape [n]; NaN where unknown.
        inputs: What they stand on, shape [n, k].
    """
    stood_on = np.nan_to_num(inputs).tolist()
    return [
        {"pre_match": None, "pre_match_inputs": None}
        if math.isnan(estimate)
        else {"pre_match": estimate, "pre_match_inputs": known}
        for estimate, known in zip(before.tolist(), stood_on, strict=True)
    ]


def digests(matrix: np.ndarray, before: np.ndarray, service: str) -> list[str]:
    """Identities of all that predictions of matches depend on: each vector, and the estimate if there is one.

    Args:
        matrix: The features, float32, shape [n, f].
        before: The pre-match log odds, shape [n]; NaN where nothing was known; then it is the vector's.
        service: The feature service.
    """
    stacked = np.column_stack([matrix, before.astype(np.float32)])
    return [
        sha256(vector[:-1] if unknown else vector, service)
        for vector, unknown in zip(stacked, np.isnan(before).tolist(), strict=True)
    ]


def digest(vector: np.ndarray, estimate: float | None, service: str) -> str:
    """Identity of all that one prediction depends on, see ``digests``; the estimate is None where unknown."""
    (found,) = digests(vector[None], np.array([estimate], np.float64), service)
    return found


_OF_TEAMS = together("pre-match, teams", _TEAM, _PAIR, _CONTEXT)
_OF_ROSTERS = together("pre-match, rosters", _PLAYER, _CHAMPION)


def known_at(row: tuple[int, Row | None], view: View, as_of: int, match_id: str) -> Row | None:
    """A view's row where it was known at a moment, and is neither too old nor of the match itself."""
    at, values = row
    if values is None or values.get("match_id") == match_id:
        return None
    return values if 0 <= as_of - at <= view.ttl.total_seconds() * 1000 else None


class Lookup(Protocol):
    """What was known before matches."""

    def of(self, matches: Sequence[Match]) -> Inputs:
        """What is settled of matches, see ``Before.of``."""

    def read(self, matches: Sequence[Match]) -> tuple[Inputs, list[bool], list[int]]:
        """What is known now, see ``Before.read``."""


class Before:
    """Looks up what is known before matches; remembers it for as long as they last. For one thread at a time.

    Args:
        settings: Where Redis is.
    """

    def __init__(self, settings: Settings) -> None:
        self._reader = OnlineReader(settings, timeout_seconds=_TIMEOUT_SECONDS)
        self._shared: Any = redis.Redis.from_url(
            settings.redis_url.get_secret_value(),
            socket_timeout=_TIMEOUT_SECONDS,
            socket_connect_timeout=_TIMEOUT_SECONDS,
        )
        self._held: OrderedDict[str, _Held] = OrderedDict()
        self._circuit = Circuit(failures=1)

    def close(self) -> None:
        """Close the connections."""
        self._reader.close()
        self._shared.close()

    def of(self, matches: Sequence[Match]) -> Inputs:
        """The inputs of the pre-match estimate, shape [n, k], in the order of ``pre_match.INPUTS``.

        NaN where something is unknown, and while the online store is away: it is asked again later.
        """
        now = time.monotonic()
        due = {}
        for match in matches:
            held = self._held.get(match.match_id)
            if match.teams != (None, None) and (held is None or held.again <= now):
                due[match.match_id] = match
        if due and self._circuit.allows():
            try:
                self._look_up(list(due.values()), now)
            except (StackError, redis.RedisError) as away:
                self._circuit.failed()
                log.warning("pre_match.store_away", error=str(away))
            else:
                self._circuit.succeeded()
        found = np.full((len(matches), len(INPUTS)), np.nan)
        for place, match in enumerate(matches):
            held = self._held.get(match.match_id)
            if held is not None:
                found[place] = held.inputs
        return found

    def read(self, matches: Sequence[Match]) -> tuple[Inputs, list[bool], list[int]]:
        """What the online store knows now, without regard to what was settled.

        Of a match with a row that cannot be read nothing is known.

        Returns:
            The inputs; whether what the MATCH_START tells was there for each team that has a name; time of
            the newest form behind each match's inputs, ms, -1 where there is none.

        Raises:
            StackError: The online store is away.
        """
        inputs, complete, newest = [], [], []
        for start in range(0, len(matches), _AT_ONCE):
            for known, whole, time_ms in self._known(matches[start : start + _AT_ONCE]):
                inputs.append(known)
                complete.append(whole)
                newest.append(time_ms)
        return np.array(inputs, np.float64).reshape(-1, len(INPUTS)), complete, newest

    def _known(self, matches: Sequence[Match]) -> list[tuple[Inputs, bool, int]]:
        """See ``read``; where a row cannot be read, match by match, so that one holds up no other."""
        try:
            contexts, complete, newest = zip(*self._contexts(matches), strict=True)
            return list(zip(pre_match.inputs(contexts), complete, newest, strict=True))
        except _ODD as odd:
            if len(matches) > 1:
                return [known for match in matches for known in self._known([match])]
            log.warning("pre_match.odd_row", match=matches[0].match_id, error=str(odd))
            return [(np.full(len(INPUTS), np.nan), False, -1)]

    def _look_up(self, due: Sequence[Match], now: float) -> None:
        """Enter what is settled, or what is known now."""
        kept = self._shared.mget([_key(match.match_id) for match in due])
        unsettled, odd = [], []
        for match, raw in zip(due, kept, strict=True):
            settled = None if raw is None else _read(raw)
            if settled is None:
                unsettled.append(match)
                odd += [] if raw is None else [match.match_id]
            else:
                self._hold(match.match_id, settled, now, settled=True)
        if odd:
            log.warning("pre_match.odd_value", matches=odd)
            self._shared.delete(*map(_key, odd))
        if not unsettled:
            return
        inputs, complete, _ = self.read(unsettled)
        ready = []
        for match, found, whole in zip(unsettled, inputs, complete, strict=True):
            held = self._hold(match.match_id, found, now, settled=False)
            waited = now - held.since >= SETTLED_AFTER_SECONDS
            # Where nothing is known forms may still be on their way; settled, none would count for a day.
            if whole or (waited and not np.isnan(found).all()):
                ready.append((match.match_id, found))
        self._settle(ready, now)

    def _hold(self, match_id: str, inputs: Inputs, now: float, *, settled: bool) -> _Held:
        before = self._held.pop(match_id, None)
        since = now if before is None else before.since
        pause = float("inf") if settled else max(AGAIN_SECONDS, now - since)
        held = _Held(inputs, since, now + pause)
        self._held[match_id] = held
        while len(self._held) > _MOST_MATCHES:
            self._held.popitem(last=False)
        return held

    def _settle(self, ready: Iterable[tuple[str, Inputs]], now: float) -> None:
        """Write what was found where nobody did yet, and take over what is written then."""
        pipe = self._shared.pipeline(transaction=False)
        names = []
        for match_id, inputs in ready:
            names.append(match_id)
            pipe.set(_key(match_id), orjson.dumps(_listed(inputs)), nx=True, px=_KEPT_MS)
            pipe.get(_key(match_id))
        if names:
            for match_id, raw in zip(names, pipe.execute()[1::2], strict=True):
                settled = None if raw is None else _read(raw)
                if settled is not None:
                    self._hold(match_id, settled, now, settled=True)

    def _contexts(self, matches: Sequence[Match]) -> list[tuple[MatchContext, bool, int]]:
        """What is known of matches, whether that is all, and its newest time: two reads for all of them."""
        names = [match.teams[side] or "" for match in matches for side in (0, 1)]
        others = [match.teams[1 - side] or "" for match in matches for side in (0, 1)]
        ids = [match.match_id for match in matches for _ in _SIDES]
        found = self._reader.get(_OF_TEAMS, {"team": names, "opponent": others, "match_id": ids})
        forms, pairs, told_at = (rows_of(found, view) for view in (_TEAM, _PAIR, _CONTEXT))
        contexts = [row for _, row in told_at]
        as_of = [
            min([match.event_ms, *(told_at[place][0] for place in (2 * n, 2 * n + 1) if contexts[place])])
            for n, match in enumerate(matches)
        ]
        rosters = self._rosters(contexts, [as_of[place // 2] for place in range(len(names))], ids)
        answers = []
        for n, match in enumerate(matches):
            at, newest = as_of[n], -1
            sides = {}
            for side, place in zip(_SIDES, (2 * n, 2 * n + 1), strict=True):
                form = known_at(forms[place], _TEAM, at, match.match_id) if names[place] else None
                players, champions, of_players = rosters[place]
                newest = max(newest, of_players, forms[place][0] if form else -1)
                sides[side] = Side(form, players, champions)
            pair = known_at(pairs[2 * n], _PAIR, at, match.match_id) if all(match.teams) else None
            newest = max(newest, pairs[2 * n][0] if pair else -1)
            whole = all(contexts[2 * n + side] or not match.teams[side] for side in (0, 1))
            answers.append((MatchContext(**sides, head_to_head=pair), whole, newest))
        return answers

    def _rosters(
        self, contexts: Sequence[Row | None], as_of: Sequence[int], ids: Sequence[str]
    ) -> list[tuple[list[Row], list[Row], int]]:
        """Of each team the forms of its players, rates of its champions, and the newest time of a form."""
        wanted: list[tuple[int, str, str, str]] = []
        for place, context in enumerate(contexts):
            if context is not None:
                scope = context["patch"] or context["season"] or ""
                lists = ((context[name] or [])[:_IN_A_TEAM] for name in ("players", "champions"))
                picks = zip_longest(*lists, fillvalue="")
                wanted += [(place, player or "", champion or "", scope) for player, champion in picks]
        found: list[tuple[list[Row], list[Row], int]] = [([], [], -1) for _ in contexts]
        if not wanted:
            return found
        _, players, champions, scopes = zip(*wanted, strict=True)
        entities = {"player_id": players, "champion": champions, "scope": scopes}
        vectors = self._reader.get(_OF_ROSTERS, entities)
        forms, rates = (rows_of(vectors, view) for view in (_PLAYER, _CHAMPION))
        for (place, player, champion, scope), form_row, rate in zip(wanted, forms, rates, strict=True):
            of_players, of_champions, newest = found[place]
            form = known_at(form_row, _PLAYER, as_of[place], ids[place]) if player else None
            if form and all(form[name] is not None for name in _NEEDED):
                of_players.append(form)
                newest = max(newest, form_row[0])
            if champion and scope and (known := known_at(rate, _CHAMPION, as_of[place], ids[place])):
                of_champions.append(known)
                newest = max(newest, rate[0])
            found[place] = (of_players, of_champions, newest)
        return found


def _key(match_id: str) -> bytes:
    return _PREFIX + match_id.encode()


def _listed(inputs: Inputs) -> dict[str, float | None]:
    return {
        name: None if np.isnan(value) else float(value) for name, value in zip(INPUTS, inputs, strict=True)
    }


def _read(raw: bytes) -> Inputs | None:
    """The inputs that a process wrote, perhaps one of other code: what it did not know is unknown.

    None where they cannot be read.
    """
    try:
        written = orjson.loads(raw)
        return np.array([written.get(name) for name in INPUTS], np.float64)
    except (ValueError, TypeError, AttributeError):
        return None
