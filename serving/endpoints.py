"""What each route of the API does."""

from __future__ import annotations

import asyncio
import functools
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import quote

import orjson
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import ValidationError
from starlette.requests import Request
from starlette.types import Receive

from riftstream.errors import ModelError, StackError
from serving import lists, openapi, problems, status
from serving.board import Told
from serving.engine import Given, Outcome
from serving.front import JSON, Headers, Reply, body_of
from serving.metrics import REFUSED, REGISTRY
from serving.players import PlayerKind, curve_json
from serving.problems import Refused
from serving.questions import LONGEST_ID, MATCH, MOST_IN_BATCH, OF_MATCHES, PLAYER, STATISTICS, Question
from serving.service import Service

T = TypeVar("T")

MOST_SINGLE_BODY = 16_384
MOST_BATCHES = 16
MOST_LINES = 100
_CONTEXT = ("match_id", "opponent", "side", "champion")
"""What a question about a player may say of the map, as the query of the curve has it."""


def question_of(body: bytes) -> Question:
    """The question in a JSON body.

    Raises:
        Refused: It is none.
    """
    try:
        return Question.model_validate_json(body)
    except ValidationError as faults:
        if faults.errors()[0]["type"] == "json_invalid":
            raise problems.malformed(f"The body is not JSON: {faults.errors()[0]['ctx']['error']}.") from None
        raise problems.invalid(faults) from None


def _anew(headers: Headers) -> bool:
    return b"no-cache" in headers.get(b"cache-control", b"")


def _json(value: Any, status_code: int = 200, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
    return Reply(status_code, orjson.dumps(value), JSON, headers)


def _given(outcome: Outcome) -> Given:
    if isinstance(outcome, Refused):
        raise outcome
    return outcome


class Endpoints:
    """The routes' functions.

    Args:
        service: What they work with.
    """

    def __init__(self, service: Service) -> None:
        self._service = service
        self._batches = 0

    @property
    def players(self) -> bool:
        """Whether questions about players are answered."""
        return PlayerKind.model in self._service.engine.kinds

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        """Run what is slow in a thread; only so many may wait."""
        if self._batches >= MOST_BATCHES:
            REFUSED.inc()
            raise problems.busy(f"{MOST_BATCHES} large requests are being worked on already.")
        self._batches += 1
        try:
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self._service.others, functools.partial(work, *arguments))
        finally:
            self._batches -= 1

    async def _answer(self, question: Question, anew: bool = False) -> Given:
        """The answer to one question.

        Raises:
            Refused: There is none.
        """
        if anew:
            return _given(await self._service.batcher_anew.ask(question))
        found = self._service.engine.recall(question)
        return found if found is not None else _given(await self._service.batcher.ask(question))

    async def single(self, headers: Headers, receive: Receive) -> Reply:
        """``POST /predict/single``."""
        question = question_of(await body_of(headers, receive, MOST_SINGLE_BODY))
        given = await self._answer(question, _anew(headers))
        return Reply(200, given.json())

    async def batch(self, headers: Headers, receive: Receive) -> Reply:
        """``POST /predict/batch``: what can be answered is, the rest is named by its index."""
        body = await body_of(headers, receive)
        try:
            found = orjson.loads(body)
        except orjson.JSONDecodeError as cause:
            raise problems.malformed(f"The body is not JSON: {cause}.") from None
        items = found.get("requests") if isinstance(found, dict) and len(found) == 1 else None
        if not isinstance(items, list):
            raise problems.malformed('The body must be {"requests": [...]} and hold nothing else.')
        if not 1 <= len(items) <= MOST_IN_BATCH:
            raise problems.unfit(f"A batch holds from 1 to {MOST_IN_BATCH} requests.")
        return await self._run(self._batch, items, _anew(headers))

    def _batch(self, items: list[Any], anew: bool) -> Reply:
        read = [_read(item) for item in items]
        questions = [one for one in read if isinstance(one, Question)]
        outcomes = iter(self._service.answer(questions, anew) if questions else [])
        results = [next(outcomes) if isinstance(one, Question) else one for one in read]
        answers = [
            b'{"index":%d,' % index + one.json()[1:]
            for index, one in enumerate(results)
            if isinstance(one, Given)
        ]
        errors = [
            {"index": index, **one.body} for index, one in enumerate(results) if isinstance(one, Refused)
        ]
        body = b'{"received":%d,"answered":%d,"predictions":[%b],"errors":%b}' % (
            len(items),
            len(answers),
            b",".join(answers),
            orjson.dumps(errors),
        )
        return Reply(200, body)

    async def explain(self, request: Request) -> Reply:
        """``POST /predict/explain``."""
        headers = dict(request.scope["headers"])
        question = question_of(await body_of(headers, request.receive, MOST_SINGLE_BODY))
        return await self._run(self._explain, question)

    def _explain(self, question: Question) -> Reply:
        engine = self._service.engine
        model, number, *_ = engine.key(question)
        given = _given(engine.answer([question], anew=True)[0])
        try:
            version = self._service.versions.get(model, number)
            known = version.kind.read(engine.sources, version.card, [question])[0]
        except (ModelError, StackError) as away:
            raise problems.unavailable(away.message) from None
        told = version.kind.reasons(version.card, question, known)
        return Reply(200, b'{"prediction":%b,"explanation":%b}' % (given.json(), orjson.dumps(told)))

    async def match(self, request: Request) -> Reply:
        """``GET /predict/match/{match_id}``."""
        query = _known(request, ("max_age_ms", "model_version", *OF_MATCHES))
        question = _question(
            subject_type=MATCH,
            subject_id=request.path_params["match_id"],
            **{name: query.get(name) for name in OF_MATCHES},
            model_version=query.get("model_version"),
            max_age_ms=lists.whole(query, "max_age_ms", None, 0, 2**53),
        )
        given = await self._answer(question, _anew(dict(request.scope["headers"])))
        return Reply(200, given.json())

    async def curve(self, request: Request) -> Reply:
        """``GET /predict/curve/{player_id}``: P(over) along lines."""
        query = _known(request, ("statistic", "lines", "maps", "max_age_ms", "model_version", *_CONTEXT))
        statistic = query.get("statistic")
        if statistic not in STATISTICS:
            raise problems.wrong_query("statistic", f"must be one of {', '.join(STATISTICS)}.")
        lines = _lines(query.get("lines"))
        question = _question(
            subject_type=PLAYER,
            subject_id=request.path_params["player_id"],
            statistic=statistic,
            maps=lists.whole(query, "maps", None, 1, 3),
            **{name: query.get(name) for name in _CONTEXT},
            model_version=query.get("model_version"),
            max_age_ms=lists.whole(query, "max_age_ms", None, 0, 2**53),
        )
        given = await self._answer(question, _anew(dict(request.scope["headers"])))
        distribution = given.answer.record["distribution"]
        points = curve_json(tuple(distribution), tuple(lines or ()))
        return Reply(200, b'{"prediction":%b,"curve":%b}' % (given.json(), points))

    async def history(self, request: Request) -> Reply:
        """``GET /predict/match/{match_id}/history``: by match clock."""
        match_id = request.path_params["match_id"][:LONGEST_ID]
        query, filters, limit = _page(request)
        after = lists.place_of(query.get("cursor"), int, int, str)
        told = self._service.board.match(match_id)
        if told is None:
            raise problems.unknown_subject(MATCH, match_id)
        wanted = [one for one in told.history() if after is None or one[:3] > after]
        page: list[Told] = []
        more = False
        for one in wanted:
            if filters and not all(condition.takes(orjson.loads(one.json)) for condition in filters):
                continue
            if len(page) == limit:
                more = True
                break
            page.append(one)
        return _items(request, [one.json for one in page], page[-1][:3] if more else None)

    async def matches(self, request: Request) -> Reply:
        """``GET /predict/matches``: the newest prediction of each match, by match id."""
        query, filters, limit = _page(request)
        after = lists.place_of(query.get("cursor"), str)
        found = [
            (match_id, record)
            for match_id, record in self._service.board.matches()
            if (after is None or match_id > after[0]) and all(one.takes(record) for one in filters)
        ]
        found.sort(key=lambda one: one[0])
        page = found[:limit]
        last = (page[-1][0],) if len(found) > limit else None
        return _items(request, [orjson.dumps(record) for _, record in page], last)

    async def models(self, request: Request) -> Reply:
        """``GET /models/status``."""
        _known(request, ())
        return _json(await self._run(status.models, self._service))

    async def live(self, _: Request) -> Reply:
        """``GET /health/live``: the process answers."""
        return _json({"status": "live"})

    async def ready(self, _: Request) -> Reply:
        """``GET /health/ready``: the process can do its work, perhaps without some of what it needs."""
        found = await asyncio.to_thread(status.readiness, self._service)
        return _json(
            found, 200 if found["ready"] else 503, () if found["ready"] else ((b"retry-after", b"1"),)
        )

    async def metrics(self, _: Request) -> Reply:
        """``GET /metrics``."""
        self._service.note_circuits()
        return Reply(200, generate_latest(REGISTRY), CONTENT_TYPE_LATEST)

    async def openapi(self, _: Request) -> Reply:
        """``GET /openapi.json``."""
        return Reply(200, openapi.document_bytes(self.players))


def _read(item: Any) -> Question | Refused:
    try:
        return Question.model_validate(item)
    except ValidationError as faults:
        return problems.invalid(faults)


def _question(**fields: Any) -> Question:
    try:
        return Question.model_validate(fields)
    except ValidationError as faults:
        raise problems.invalid(faults) from None


def _known(request: Request, known: Sequence[str]) -> Mapping[str, str]:
    """The query of a request that has only known parameters.

    Raises:
        Refused: One is unknown.
    """
    for name in request.query_params:
        if name not in known:
            names = ", ".join(known) or "none"
            raise problems.wrong_query(name[:60], f"there is no such parameter; there are: {names}.")
    return request.query_params


def _lines(text: str | None) -> list[float]:
    """The lines of a query, as numbers between commas; none where it has none.

    Raises:
        Refused: One is no number, or there are too many.
    """
    if text is None:
        return []
    parts = text.split(",")
    good = all(re.fullmatch(r"\d{1,3}(\.\d{1,3})?", one, re.ASCII) for one in parts)
    if len(parts) > MOST_LINES or not good:
        raise problems.wrong_query("lines", f"must be up to {MOST_LINES} numbers from 0 to 999, with commas.")
    return [float(one) for one in parts]


def _page(request: Request) -> tuple[Mapping[str, str], list[lists.Filter], int]:
    """Query, filters and limit of a request for a list."""
    query = request.query_params
    filters = lists.filters(query.multi_items(), ("cursor", "limit"))
    limit = lists.whole(query, "limit", lists.LIMIT, 1, lists.MOST_LIMIT)
    assert limit is not None
    return query, filters, limit


def _items(request: Request, items: list[bytes], last: Sequence[Any] | None) -> Reply:
    """A page of a list, and where the next one begins."""
    cursor = None if last is None else lists.cursor_of(last)
    body = b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), orjson.dumps(cursor))
    headers: tuple[tuple[bytes, bytes], ...] = ()
    if cursor is not None:
        query = [(name, value) for name, value in request.query_params.multi_items() if name != "cursor"]
        text = "&".join(f"{quote(name)}={quote(value)}" for name, value in [*query, ("cursor", cursor)])
        headers = ((b"link", f'<?{text}>; rel="next"'.encode()),)
    return Reply(200, body, JSON, headers)
