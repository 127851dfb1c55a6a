"""The model as a runtime of MLServer, with its adaptive batching."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse

from bench.peer_programs.score import OUTPUTS, Model


class Runtime(MLModel):  # type: ignore[misc]
    """The runtime."""

    async def load(self) -> bool:
        """Load the model."""
        self._model = Model()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Answer the questions of a batch."""
        rows: Any = NumpyCodec.decode_input(payload.inputs[0])
        found = self._model.score(rows)
        import numpy as np

        outputs = [
            NumpyCodec.encode_output(name, np.array([[one[name]] for one in found], dtype=np.float32))
            for name in OUTPUTS
        ]
        return InferenceResponse(model_name=self.name, outputs=outputs)


def main() -> None:
    """Write the settings into the current folder and serve them."""
    port = int(sys.argv[1])
    settings = {"host": "127.0.0.1", "http_port": port, "grpc_port": port + 1, "metrics_port": port + 2}
    Path("settings.json").write_text(json.dumps(settings | {"parallel_workers": 0, "debug": False}))
    model = {"name": "model", "implementation": "bench.peer_programs.mlserver.Runtime"}
    Path("model-settings.json").write_text(
        json.dumps(model | {"max_batch_size": 64, "max_batch_time": 0.002})
    )
    program = Path(sys.executable).with_name("mlserver")
    sys.exit(subprocess.run([program, "start", "."], env=os.environ, check=False).returncode)


if __name__ == "__main__":
    main()
