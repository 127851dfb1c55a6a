"""Riftstream: streaming predictions for League of Legends esports, each one a fact that can be checked.

The public client is here: ``Producer`` pushes match events, ``PredictionSubscriber`` follows predictions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from streams.client import DeliveryReport, PredictionSubscriber, Producer

__all__ = ["DeliveryReport", "PredictionSubscriber", "Producer"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from streams import client

        return getattr(client, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
