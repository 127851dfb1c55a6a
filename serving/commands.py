"""``rift serve``: the applications of the serving layer, in the foreground."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from riftstream.settings import get_settings

MOST_CONNECTIONS = 8_192
"""Connections that the API holds at once, idle ones among them; further ones are answered with 503."""

serve = typer.Typer(
    help="Run an application in the foreground ('rift up' runs them all).", no_args_is_help=True
)


def register(app: typer.Typer) -> None:
    """Add ``rift serve``."""
    app.add_typer(serve, name="serve")


@serve.command("predictor")
def _predictor() -> None:
    """Turn every record of match-features into a prediction, until stopped. Example: rift serve predictor"""
    from serving.matches import MatchKind
    from serving.predictor import PredictionLoop
    from serving.versions import Followed

    choice = Followed(MatchKind())
    choice.start()
    live, _ = choice.version(choice.deployment().live)
    loop = PredictionLoop(live, choice)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()


@serve.command("requests")
def _requests() -> None:
    """Answer prediction-requests on predictions, until stopped. Example: rift serve requests"""
    from serving.requests import run

    run(get_settings())


@serve.command("api")
def _api(
    port: Annotated[int, typer.Option(help="Port to listen on, on loopback.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the HTTP API until stopped. Example: rift serve api --port 8090"""
    import uvicorn

    from serving.api import app

    uvicorn.run(
        app(get_settings()),
        host=host,
        port=port,
        log_level="warning",
        access_log=False,
        server_header=False,
        limit_concurrency=MOST_CONNECTIONS,
        timeout_graceful_shutdown=3,
        # Compressing each small message for each client costs more than it saves.
        ws_per_message_deflate=False,
    )
