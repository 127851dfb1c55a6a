"""The model that every peer of ``rift bench serving`` serves: ``model.onnx``, by ONNX Runtime on one thread.

A peer is told by the environment: ``BENCH_MODEL`` is the file.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import onnxruntime

OUTPUTS = ("probability", "interval_low", "interval_high")


class Model:
    """The model of this process."""

    def __init__(self) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        file = os.environ["BENCH_MODEL"]
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])

    def score(self, rows: Sequence[Sequence[float | None]]) -> list[dict[str, float]]:
        """Answers to feature vectors; None is a missing value."""
        found = self._session.run(OUTPUTS, {"features": np.asarray(rows, dtype=np.float32)})
        columns = [values.reshape(-1).tolist() for values in found]
        return [dict(zip(OUTPUTS, row, strict=True)) for row in zip(*columns, strict=True)]
