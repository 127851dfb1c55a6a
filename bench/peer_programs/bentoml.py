"""The model as a service of BentoML, with its adaptive batching."""

from __future__ import annotations

import sys
from pathlib import Path

import bentoml

from bench.peer_programs.score import Model


@bentoml.service(workers=1, traffic={"timeout": 30})
class Service:
    """The service."""

    def __init__(self) -> None:
        self._model = Model()

    @bentoml.api(batchable=True, max_batch_size=64, max_latency_ms=1000)  # type: ignore[untyped-decorator]
    def predict(self, features: list[list[float | None]]) -> list[dict[str, float]]:
        """Answer the questions of a batch."""
        return self._model.score(features)


if __name__ == "__main__":
    import os

    program = str(Path(sys.executable).with_name("bentoml"))
    target = "bench.peer_programs.bentoml:Service"
    os.execv(program, [program, "serve", target, "--host", "127.0.0.1", "--port", sys.argv[1]])  # noqa: S606
