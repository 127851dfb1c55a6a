"""A small gRPC client of Triton (KServe v2 inference protocol): features, and what is known beside them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import tritonclient.grpc as triton
from tritonclient.utils import InferenceServerException

from riftstream.errors import ModelError

INPUT, PRE_MATCH = "features", "pre_match"
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

    def score(
        self, matrix: np.ndarray, before: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Probability and the two ends of its interval, for a model with these outputs.

        Args:
            matrix: Feature vectors, float32, shape [n, f], NaN for what is missing.
            before: See ``infer``.

        Returns:
            Three arrays, float32, shape [n]: probability, lower end, upper end.

        Raises:
            ModelError: Triton is away, has no such model, or refuses the vectors.
        """
        probability, low, high = self.infer(matrix, OUTPUTS, before)
        return probability.reshape(-1), low.reshape(-1), high.reshape(-1)

    def infer(
        self, matrix: np.ndarray, outputs: Sequence[str], before: np.ndarray | None = None
    ) -> list[np.ndarray]:
        """Outputs of the model by name, each with one row a vector.

        Args:
            matrix: Feature vectors, float32, shape [n, f], NaN for what is missing.
            outputs: Names of the outputs.
            before: Pre-match log odds of each vector, float32, shape [n], NaN where unknown; only for a model
                that takes them. None, or all NaN, is not sent.

        Raises:
            ModelError: Triton is away, has no such model, or refuses the vectors.
        """
        given = [_input(INPUT, matrix)]
        if before is not None and not np.isnan(before).all():
            given.append(_input(PRE_MATCH, before.reshape(-1, 1)))
        try:
            answer = self._client.infer(
                self._model,
                given,
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


def _input(name: str, values: np.ndarray) -> triton.InferInput:
    found = triton.InferInput(name, list(values.shape), "FP32")
    found.set_data_from_numpy(np.ascontiguousarray(values, dtype=np.float32))
    return found
