"""Every model on Triton's Python backend: one run of ONNX Runtime for all requests of a batch."""

from __future__ import annotations

# First, since it makes the other packages importable in Triton's isolated interpreter.
import triton_python_backend_utils as pb_utils  # isort: skip

from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class TritonPythonModel:
    """The model of one version folder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``model.onnx`` of the version folder."""
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])
        self.outputs = [output.name for output in self.session.get_outputs()]
        self.optional = [given.name for given in self.session.get_overridable_initializers()]

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the rows of all requests together; answer each with its own."""
        rows = [pb_utils.get_input_tensor_by_name(request, "features").as_numpy() for request in requests]
        inputs = {"features": np.concatenate(rows)}
        for name in self.optional:
            inputs |= self._optional(name, requests, rows)
        found = self.session.run(self.outputs, inputs)
        ends = np.cumsum([len(row) for row in rows])
        answers, start = [], 0
        for end in ends:
            tensors = [
                pb_utils.Tensor(name, values[start:end])
                for name, values in zip(self.outputs, found, strict=True)
            ]
            answers.append(pb_utils.InferenceResponse(tensors))
            start = end
        return answers

    def _optional(self, name: str, requests: list[Any], rows: list[np.ndarray]) -> dict[str, np.ndarray]:
        """An input that may be left out: unknown (NaN) in requests without it, absent where all are."""
        given = [pb_utils.get_input_tensor_by_name(request, name) for request in requests]
        if all(tensor is None for tensor in given):
            return {}
        columns = [
            np.full((len(row), 1), np.nan, np.float32) if tensor is None else tensor.as_numpy()
            for row, tensor in zip(rows, given, strict=True)
        ]
        return {name: np.concatenate(columns)}
