"""What a Flink cluster is asked over its REST API: which jobs run, stop them, take their savepoints."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx

from riftstream.errors import JobError, StackError

_TIMEOUT_S = 10.0
_POLL_S = 0.2
_GONE = frozenset(("FINISHED", "CANCELED", "FAILED"))


@dataclass(frozen=True)
class Running:
    """A job on a cluster.

    Attributes:
        name: Name of the job.
        job_id: Flink's id.
        state: Flink's word for its state, for example RUNNING, RESTARTING or FAILED.
        started_ms: When it was submitted, ms since the Unix epoch.
        tasks: Parallel tasks, and how many of them run.
    """

    name: str
    job_id: str
    state: str
    started_ms: int
    tasks: int
    tasks_running: int

    @property
    def alive(self) -> bool:
        """Whether it runs or will run again by itself."""
        return self.state not in _GONE


@dataclass(frozen=True)
class Snapshot:
    """A checkpoint or savepoint that a job can go on from.

    Attributes:
        path: Where it lies, as Flink takes it.
        taken_ms: When it was finished, ms since the Unix epoch.
    """

    path: str
    taken_ms: int


class Cluster:
    """A Flink cluster.

    Args:
        url: Its REST address.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")

    def jobs(self) -> list[Running]:
        """All jobs that the cluster remembers, newest first.

        Raises:
            StackError: The cluster does not answer.
        """
        jobs = [
            Running(
                name=job["name"],
                job_id=job["jid"],
                state=job["state"],
                started_ms=job["start-time"],
                tasks=job["tasks"]["total"],
                tasks_running=job["tasks"]["running"],
            )
            for job in self._get("/jobs/overview")["jobs"]
        ]
        return sorted(jobs, key=lambda job: -job.started_ms)

    def find(self, name: str) -> Running | None:
        """The live job of a name, or None."""
        return next((job for job in self.jobs() if job.name == name and job.alive), None)

    def failure(self, job_id: str) -> str:
        """Why a job failed last: the innermost cause; empty where it did not."""
        history = self._get(f"/jobs/{job_id}/exceptions").get("exceptionHistory", {}).get("entries", [])
        return innermost(history[0]["stacktrace"]) if history else ""

    def wait_running(self, job_id: str, patience_s: float = 120.0) -> None:
        """Return when all tasks of a job run.

        Raises:
            JobError: It failed, or its tasks do not all run after this time.
        """
        until = time.monotonic() + patience_s
        while True:
            job = next((job for job in self.jobs() if job.job_id == job_id), None)
            if job and (job.state == "FINISHED" or 0 < job.tasks == job.tasks_running):
                return
            if job and (not job.alive or time.monotonic() > until):
                why = self.failure(job_id)
                raise JobError(
                    f"The job {job.name} is {job.state}. {why}".strip(), "See its page in the Flink UI."
                )
            if time.monotonic() > until:
                raise JobError(f"Flink does not know the job {job_id}.")
            time.sleep(_POLL_S)

    def stop(self, job_id: str) -> Snapshot:
        """Stop a job with a savepoint: it takes no more records, and what it read is in the savepoint.

        Raises:
            JobError: The savepoint failed; the job goes on.
        """
        return self._savepoint(job_id, "stop", {"drain": False})

    def savepoint(self, job_id: str) -> Snapshot:
        """Take a savepoint of a job that goes on.

        Raises:
            JobError: It failed.
        """
        return self._savepoint(job_id, "savepoints", {"cancel-job": False})

    def cancel(self, job_id: str) -> None:
        """End a job at once; its newest checkpoint stays."""
        self._ask("PATCH", f"/jobs/{job_id}", params={"mode": "cancel"})
        while any(job.job_id == job_id and job.alive for job in self.jobs()):
            time.sleep(_POLL_S)

    def snapshots(self, job_id: str) -> list[Snapshot]:
        """Completed checkpoints and savepoints of a job, as far as the cluster or its folder tell."""
        return [*self._remembered(job_id), *self._in_folder(job_id)]

    def _remembered(self, job_id: str) -> list[Snapshot]:
        answer = self._ask("GET", f"/jobs/{job_id}/checkpoints")
        if answer.status_code == httpx.codes.NOT_FOUND:
            return []
        latest = answer.json().get("latest") or {}
        found = [latest.get(kind) for kind in ("completed", "savepoint")]
        return [
            Snapshot(snapshot["external_path"], snapshot["latest_ack_timestamp"])
            for snapshot in found
            if snapshot and snapshot.get("external_path", "").strip("<>") and not snapshot.get("discarded")
        ]

    def _in_folder(self, job_id: str) -> list[Snapshot]:
        """Checkpoints that outlived the cluster which took them, where they lie on this machine."""
        address = urlsplit(self._config().get("execution.checkpointing.dir", ""))
        if address.scheme != "file":
            return []
        folder = Path(unquote(address.path)) / job_id
        files = sorted(folder.glob("chk-*/_metadata"))
        return [Snapshot(file.parent.as_uri(), int(file.stat().st_mtime * 1000)) for file in files]

    def _config(self) -> dict[str, str]:
        return {entry["key"]: entry["value"] for entry in self._get("/jobmanager/config")}

    def _savepoint(self, job_id: str, verb: str, body: dict[str, Any]) -> Snapshot:
        answer = self._ask("POST", f"/jobs/{job_id}/{verb}", json=body)
        if answer.status_code >= 400:
            raise JobError(f"Flink takes no savepoint of {job_id}: {answer.text}")
        trigger = answer.json()["request-id"]
        while True:
            state = self._get(f"/jobs/{job_id}/savepoints/{trigger}")
            if state["status"]["id"] == "COMPLETED":
                break
            time.sleep(_POLL_S)
        failure = state["operation"].get("failure-cause")
        if failure:
            raise JobError(f"The savepoint of {job_id} failed: {innermost(failure['stack-trace'])}")
        return Snapshot(state["operation"]["location"], int(time.time() * 1000))

    def _get(self, path: str) -> Any:
        answer = self._ask("GET", path)
        if answer.status_code >= 400:
            raise JobError(f"Flink answered {answer.status_code} to {path}: {answer.text[:300]}")
        return answer.json()

    def _ask(self, method: str, path: str, **more: Any) -> httpx.Response:
        try:
            return httpx.request(method, self.url + path, timeout=_TIMEOUT_S, **more)
        except httpx.HTTPError as cause:
            raise StackError(
                f"Flink does not answer at {self.url}: {cause}.", "Is it up? See `rift status`."
            ) from cause


def innermost(trace: str) -> str:
    """The sentence of a Java stack trace that says what was wrong: that of the innermost cause."""
    lines = [line.strip() for line in trace.splitlines() if line.strip()]
    causes = [line.removeprefix("Caused by: ") for line in lines if line.startswith("Caused by: ")]
    return causes[-1] if causes else (lines[0] if lines else "")
