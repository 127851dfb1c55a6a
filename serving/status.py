"""What the service is made of and how it is: for ``/models/status`` and ``/health/ready``."""

from __future__ import annotations

from typing import Any

from serving.deployments import Deployment
from serving.metrics import REGISTRY
from serving.service import Service


def models(service: Service) -> dict[str, Any]:
    """Every model with its versions, and the caches' hit rates since the start."""
    return {
        "models": [_model(service, service.deployments[name]) for name in service.engine.kinds],
        "caches": {layer: _hit_rate(layer) for layer in ("memory", "redis")},
    }


def _model(service: Service, deployment: Deployment) -> dict[str, Any]:
    return {
        "name": deployment.model,
        "subject_type": service.engine.kinds[deployment.model].subject_type,
        "live": deployment.live,
        "previous": deployment.previous or None,
        "split": dict(deployment.split),
        "versions": [
            _version(service, deployment, number)
            for number in service.engine.known_versions(deployment.model)
        ],
    }


def _version(service: Service, deployment: Deployment, number: str) -> dict[str, Any]:
    artefact = deployment.artefacts.get(number)
    found: dict[str, Any] = {
        "version": number,
        "role": role(deployment, number),
        "sha256": None if artefact is None else artefact.sha256,
        "ready": False,
        "circuit": None,
        "feature_service": None,
    }
    for version in service.versions.loaded():
        if (version.card.name, version.card.version) == (deployment.model, number):
            found["ready"] = version.client.ready()
            found["circuit"] = version.circuit.state
            found["feature_service"] = version.card.feature_service
    return found


def role(deployment: Deployment, number: str) -> str:
    """What a version does: ``live``, ``split``, ``shadow``, ``previous`` or ``published``."""
    if number == deployment.live:
        return "live"
    if number in deployment.split:
        return "split"
    if number in deployment.shadow:
        return "shadow"
    return "previous" if number == deployment.previous else "published"


def _hit_rate(layer: str) -> dict[str, float | int | None]:
    hits, misses = (
        REGISTRY.get_sample_value("rift_cache_lookups_total", {"layer": layer, "result": result}) or 0.0
        for result in ("hit", "miss")
    )
    whole = hits + misses
    return {"lookups": int(whole), "hit_rate": hits / whole if whole else None}


def readiness(service: Service) -> dict[str, Any]:
    """Whether requests can be answered, and what of the platform is there.

    Without Triton or Redis answers are degraded, and still given: a platform whose every process says that it
    is not ready would give none.
    """
    parts = {
        "predictions": service.board.following,
        "models": bool(service.versions.loaded()),
        "triton": all(version.client.ready() for version in service.versions.loaded()),
        "redis": service.engine.online(),
    }
    ready = parts["predictions"] and parts["models"]
    return {"ready": ready, "degraded": not all(parts.values()), "parts": parts}
