"""``rift serve``: the applications of the serving layer, in the foreground."""

from __future__ import annotations

import signal
from typing import Annotated

import typer

from riftstream.settings import get_settings

serve = typer.Typer(help="Run an application in the foreground ('rift up' runs both).", no_args_is_help=True)


def register(app: typer.Typer) -> None:
    """Add ``rift serve``."""
    app.add_typer(serve, name="serve")


@serve.command("predictor")
def _predictor() -> None:
    """Turn every record of match-features into a prediction, until stopped. Example: rift serve predictor"""
    from models.artefact import load_card
    from serving.predictor import PredictionLoop, Served
    from serving.triton import TritonClient

    card = load_card("win_probability")
    model = Served(card.name, card.version, card.feature_service, tuple(card.features), card.interval_level)
    loop = PredictionLoop(model, TritonClient(get_settings().triton_url, card.name, card.version))
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: loop.stop())
    loop.run()


@serve.command("api")
def _api(
    port: Annotated[int, typer.Option(help="Port to listen on, on loopback.")] = 8090,
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Serve the HTTP API until stopped. Example: rift serve api --port 8090"""
    import uvicorn

    from serving.api import app

    uvicorn.run(app(get_settings()), host=host, port=port, log_level="warning", access_log=False)
