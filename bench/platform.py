"""A platform of the benchmark's own, so that nothing of the user's is touched."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import psutil

from infra import stack
from infra.progress import live_progress
from jobs import runner
from riftstream.cli import platform
from riftstream.settings import Settings, get_settings


@contextmanager
def running_platform(*, job: bool | str = True) -> Iterator[Settings]:
    """Servers, topics, schemas and tables in a new folder, removed at the end.

    Args:
        job: Whether all jobs and our applications run too; or the name of the one job that runs beside the
            applications.
    """
    before = os.environ.get("RIFT_HOME")
    with tempfile.TemporaryDirectory(prefix="rift-bench-", ignore_cleanup_errors=True) as folder:
        os.environ["RIFT_HOME"] = str(Path(folder) / "home")
        get_settings.cache_clear()
        try:
            with live_progress() as progress:
                platform.start(progress, work=job is True)
                if isinstance(job, str):
                    runner.submit(job)
                    platform.start_applications(progress)
            yield get_settings()
        finally:
            stack.down(wipe=True)
            if before is None:
                del os.environ["RIFT_HOME"]
            else:
                os.environ["RIFT_HOME"] = before
            get_settings.cache_clear()


class Usage:
    """Processor time and memory of each part of the platform since the object was made.

    Args:
        others: Process ids of more parts, by name.
    """

    def __init__(self, others: Mapping[str, int] | None = None) -> None:
        parts = {part.name: part.pid for part in stack.health() if part.pid is not None}
        self._processes = {name: psutil.Process(pid) for name, pid in (parts | dict(others or {})).items()}
        self._start = {name: self._seconds(process) for name, process in self._processes.items()}
        self.peak_mb = dict.fromkeys(self._processes, 0.0)

    @staticmethod
    def _seconds(process: psutil.Process) -> float:
        times = process.cpu_times()
        return float(times.user + times.system)

    def sample(self) -> None:
        """Note the memory of now."""
        for name, process in self._processes.items():
            self.peak_mb[name] = max(self.peak_mb[name], process.memory_info().rss / 2**20)

    def cpu_seconds(self) -> dict[str, float]:
        """Processor seconds used by each part so far."""
        return {name: self._seconds(p) - self._start[name] for name, p in self._processes.items()}
