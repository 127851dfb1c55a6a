"""A small gRPC client of Triton (KServe v2 inference protocol) for models of one input, ``features``."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from riftstream.errors import ModelError

INPUT = "features"
OUTPUTS = ("probability", "interval_low", "interval_high")

_CHANNEL = [("grpc.initial_reconnect_backoff_ms", 100), ("grpc.max_reconnect_backoff_ms", 1000)]
"""A server that comes back is found again within a second, not within gRPC's two minutes."""


class TritonClient:
    """Asks one model. Safe to use from several threads.

    Args:
        url: Address of Triton's gRPC port, ``host:port``.
        model: Name of the model.
        version: Version as Triton numbers it; empty for the newest that is loaded.
        timeout: Seconds that an answer may take.
    """

    def __init__(
        self, url: str, model: str = "win_probability", version: str = "", timeout: float = 5.0
    ) -> None:
        self._client = triton.InferenceServerClient(url, channel_args=_CHANNEL)
        self._model = model
        self._version = version
        self._timeout = timeout

    def ready(self) -> bool:
        """Whether the model can answer now."""
        try:
            return bool(self._client.is_model_ready(self._model, self._version, client_timeout=self._timeout))
        except InferenceServerException:
            return False

    def score(self, matrix: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability and the two ends of its interval, for a model with these outputs.

        Args:
            matrix: Feature vectors, float32, shape [n, f], NaN for what is missing.

        Returns:
            Three arrays, float32, shape [n]: probability, lower end, upper end.

        Raises:
            ModelError: Triton is away, has no such model, or refuses the vectors.
        """
        probability, low, high = self.infer(matrix, OUTPUTS)
        return probability.reshape(-1), low.reshape(-1), high.reshape(-1)

    def infer(self, matrix: np.ndarray, outputs: Sequence[str]) -> list[np.ndarray]:
        """Outputs of the model by name, each with one row a vector.

        Args:
            matrix: Feature vectors, float32, shape [n, f], NaN for what is missing.
            outputs: Names of the outputs.

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
                outputs=[triton.InferRequestedOutput(name) for name in outputs],
                client_timeout=self._timeout,
            )
        except InferenceServerException as cause:
            raise ModelError(
                f"Triton does not answer for {self._model}: {cause.message()}.", "See 'rift status'."
            ) from cause
        found = [answer.as_numpy(name) for name in outputs]
        if any(values is None or len(values) != len(matrix) for values in found):
            raise ModelError(f"Triton's answer for {self._model} has not the outputs {', '.join(outputs)}.")
        return found

    def close(self) -> None:
        """Close the connection."""
        self._client.close()
