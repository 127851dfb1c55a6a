"""A small gRPC client of Triton (KServe v2 inference protocol) for models with our three outputs."""

from __future__ import annotations

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from riftstream.errors import ModelError

INPUT = "features"
OUTPUTS = ("probability", "interval_low", "interval_high")


class TritonClient:
    """Asks one model.

    Args:
        url: Address of Triton's gRPC port, ``host:port``.
        model: Name of the model.
        version: Version as Triton numbers it; empty for the newest that is loaded.
        timeout: Seconds that an answer may take.
    """

    def __init__(
        self, url: str, model: str = "win_probability", version: str = "", timeout: float = 5.0
    ) -> None:
        self._client = triton.InferenceServerClient(url)
        self._model = model
        self._version = version
        self._timeout = timeout
        self._outputs = [triton.InferRequestedOutput(name) for name in OUTPUTS]

    def ready(self) -> bool:
        """Whether the model can answer now."""
        try:
            return bool(self._client.is_model_ready(self._model, self._version))
        except InferenceServerException:
            return False

    def score(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability and the two ends of its interval.

        Args:
            matrix: Feature vectors, float32, shape [n, f], NaN for what is missing.

        Returns:
            Three arrays, float32, shape [n]: probability, lower end, upper end.

        Raises:
            ModelError: Triton is away, has no such model, or refuses the vectors.
        """
        given = triton.InferInput(INPUT, list(matrix.shape), "FP32")
        given.set_data_from_numpy(np.ascontiguousarray(matrix, dtype=np.float32))
        try:
            answer = self._client.infer(
                self._model,
                [given],
                model_version=self._version,
                outputs=self._outputs,
                client_timeout=self._timeout,
            )
        except InferenceServerException as cause:
            raise ModelError(
                f"Triton does not answer for {self._model}: {cause.message()}.", "See 'rift status'."
            ) from cause
        probability, low, high = (answer.as_numpy(name) for name in OUTPUTS)
        if probability is None or low is None or high is None or len(probability) != len(matrix):
            raise ModelError(f"Triton's answer for {self._model} has not the outputs {', '.join(OUTPUTS)}.")
        return probability.reshape(-1), low.reshape(-1), high.reshape(-1)

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
