"""Any model of ours on Triton's Python backend: one run of ONNX Runtime for all requests of a batch."""

from __future__ import annotations

# First, since it makes the other packages importable in Triton's isolated interpreter.
import triton_python_backend_utils as pb_utils  # isort: skip

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime


class TritonPythonModel:
    """The model of one version folder."""

    def initialize(self, args: dict[str, str]) -> None:
        """Load ``model.onnx`` of the version folder; its outputs are those of the configuration."""
        self.outputs = [output["name"] for output in json.loads(args["model_config"])["output"]]
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        file = Path(args["model_repository"]) / args["model_version"] / "model.onnx"
        self.session = onnxruntime.InferenceSession(str(file), options, providers=["CPUExecutionProvider"])

    def execute(self, requests: list[Any]) -> list[Any]:
        """Score the rows of all requests together; answer each with its own."""
        rows = [pb_utils.get_input_tensor_by_name(request, "features").as_numpy() for request in requests]
        found = self.session.run(self.outputs, {"features": np.concatenate(rows)})
        ends = np.cumsum([len(row) for row in rows])
        answers, start = [], 0
        for end in ends:
            rows_of = zip(self.outputs, found, strict=True)
            tensors = [pb_utils.Tensor(name, values[start:end]) for name, values in rows_of]
            answers.append(pb_utils.InferenceResponse(tensors))
            start = end
        return answers
