"""The HTTP API: event ingest, predictions, live feeds, health and metrics, put together."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute, Route, WebSocketRoute
from starlette.types import ASGIApp, Scope

from riftstream.settings import Settings
from serving import feeds, problems
from serving.endpoints import Endpoints
from serving.front import Front, Reply, reply_of
from serving.problems import Refused
from serving.service import Service
from streams import ingest
from streams.client import Producer

Endpoint = Callable[[Request], Awaitable[Reply]]


def app(settings: Settings) -> ASGIApp:
    """The API as an ASGI application."""
    producer = Producer(settings)
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        await service.start()
        yield
        await service.stop()
        producer.close()

    endpoints = Endpoints(service)
    inner = Starlette(
        routes=[*ingest.routes(producer), *_routes(endpoints), *_feeds(service)],
        exception_handlers={Refused: _problem, HTTPException: _no_route},
        lifespan=lifespan,
    )
    inner.router.redirect_slashes = False
    hot = {
        "/predict/single": ("POST", endpoints.single),
        "/predict/batch": ("POST", endpoints.batch),
    }
    return Front(inner, hot, route_name)


def _routes(endpoints: Endpoints) -> list[BaseRoute]:
    """Routes that are answered as a whole; identifiers of matches and players may hold slashes."""
    table: list[tuple[str, str, Endpoint]] = [
        ("POST", "/predict/explain", endpoints.explain),
        ("GET", "/predict/matches", endpoints.matches),
        ("GET", "/predict/match/{match_id:path}/history", endpoints.history),
        ("GET", "/predict/match/{match_id:path}", endpoints.match),
        ("GET", "/models/status", endpoints.models),
        ("GET", "/health/live", endpoints.live),
        ("GET", "/health/ready", endpoints.ready),
        ("GET", "/metrics", endpoints.metrics),
        ("GET", "/openapi.json", endpoints.openapi),
    ]
    if endpoints.players:
        table.append(("GET", "/predict/curve/{player_id:path}", endpoints.curve))
    return [Route(path, _answering(endpoint), methods=[method]) for method, path, endpoint in table]


def _feeds(service: Service) -> list[BaseRoute]:
    return [
        Route("/predict/live", feeds.Events(service.board), methods=["GET"]),
        WebSocketRoute("/predict/live/ws", feeds.Socket(service.board)),
    ]


def _answering(endpoint: Endpoint) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return _response(await endpoint(request))

    return answer


def _response(reply: Reply) -> Response:
    headers = {name.decode(): value.decode() for name, value in reply.headers}
    return Response(reply.body, reply.status, headers, media_type=reply.media_type)


async def _problem(_: Request, refused: Exception) -> Response:
    assert isinstance(refused, Refused)
    return _response(reply_of(refused))


async def _no_route(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        allowed = sorted((error.headers or {}).get("Allow", "").split(", "))
        return _response(reply_of(problems.not_allowed(request.method, allowed)))
    return _response(reply_of(problems.not_found(request.url.path)))


def route_name(scope: Scope) -> str:
    """Path of the route that answered, with its place holders; for the metrics."""
    return getattr(scope.get("route"), "path", "other")
