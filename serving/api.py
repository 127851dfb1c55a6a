"""The HTTP API."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from riftstream.settings import Settings
from streams import ingest
from streams.client import Producer


def app(settings: Settings) -> Starlette:
    """The API as an ASGI application: event ingest and health."""
    producer = Producer(settings)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        producer.close()

    return Starlette(
        routes=[Route("/health/live", _live), *ingest.routes(producer)],
        lifespan=lifespan,
    )


async def _live(_: Request) -> JSONResponse:
    return JSONResponse({"status": "live"})
