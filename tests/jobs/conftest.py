"""One JVM for the tests of the jobs: table environments in which our functions are known."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jobs import session

Rows = list[list[Any]]


@pytest.fixture(scope="session")
def batch() -> Any:
    """A table environment in batch mode."""
    return session.environment(session.LOCAL, batch=True, options={"parallelism.default": "2"})


def _streaming(backend: str) -> Any:
    options = {
        "parallelism.default": "1",
        "state.backend.type": backend,
        "pipeline.object-reuse": "true",
        "table.local-time-zone": "UTC",
    }
    return session.environment(session.LOCAL, options=options)


@pytest.fixture(scope="session")
def streaming() -> Any:
    """A table environment in streaming mode, state on the heap."""
    return _streaming("hashmap")


@pytest.fixture(scope="session")
def streaming_rocksdb() -> Any:
    """A table environment in streaming mode, state in RocksDB: written out and read back on every row."""
    return _streaming("rocksdb")


@pytest.fixture(scope="session")
def jvm(batch: Any) -> Any:
    """The JVM behind the table environments."""
    from pyflink.java_gateway import get_gateway

    return get_gateway().jvm


class FakeRegistry:
    """A Schema Registry that answers as it is told: it can be away, broken, or not know a schema.

    Attributes:
        url: Its address.
        schemas: Schema text by id.
        failure: Status that every request gets; 0 for proper answers.
        asked: Paths that were asked for.
    """

    def __init__(self) -> None:
        self.schemas: dict[int, str] = {}
        self.failure = 0
        self.asked: list[str] = []
        registry = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                registry.asked.append(self.path)
                schema = registry.schemas.get(int(self.path.rsplit("/", 1)[1]))
                if registry.failure:
                    self._answer(
                        registry.failure, {"error_code": registry.failure * 100, "message": "broken"}
                    )
                elif schema is None:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})
                else:
                    self._answer(200, {"schema": schema})

            def do_POST(self) -> None:
                registry.asked.append(self.path)
                text = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["schema"]
                found = next((number for number, known in registry.schemas.items() if known == text), None)
                if found is None and self.path.endswith("/versions"):
                    found = max(registry.schemas, default=0) + 1
                    registry.schemas[found] = text
                if found is None:
                    self._answer(404, {"error_code": 40403, "message": "Schema not found"})
                else:
                    self._answer(200, {"id": found})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: Any) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        """Go away: from now on nobody answers."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def registry() -> Iterator[FakeRegistry]:
    """A registry of its own for a test."""
    fake = FakeRegistry()
    yield fake
    fake.close()


@pytest.fixture
def rows_of() -> Callable[[Any, str], Rows]:
    """Runs a query and gives its rows."""

    def run(environment: Any, query: str) -> Rows:
        with environment.execute_sql(query).collect() as found:
            return [list(row) for row in found]

    return run
