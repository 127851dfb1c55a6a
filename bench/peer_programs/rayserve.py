"""The model as a deployment of Ray Serve, with its batching."""

from __future__ import annotations

import signal
import sys
from typing import Any

import ray
from ray import serve

from bench.peer_programs.score import Model


@serve.deployment(num_replicas=1, max_ongoing_requests=256, ray_actor_options={"num_cpus": 0.5})
class Deployment:
    """The deployment."""

    def __init__(self) -> None:
        self._model = Model()

    @serve.batch(max_batch_size=64, batch_wait_timeout_s=0.002)  # type: ignore[untyped-decorator]
    async def _score(self, rows: list[Any]) -> list[dict[str, float]]:
        return self._model.score(rows)

    async def __call__(self, request: Any) -> dict[str, float]:
        """Answer one question."""
        found: dict[str, float] = await self._score((await request.json())["features"])
        return found


if __name__ == "__main__":
    ray.init(num_cpus=2, include_dashboard=False, logging_level="ERROR")
    serve.start(http_options={"host": "127.0.0.1", "port": int(sys.argv[1])})
    application: Any = Deployment
    serve.run(application.bind(), route_prefix="/predict")
    signal.sigwait({signal.SIGTERM, signal.SIGINT})
    ray.shutdown()
