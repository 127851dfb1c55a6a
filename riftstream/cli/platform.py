"""The whole platform: servers, what lives on them (topics, schemas, tables, jobs), and our applications."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from infra import stack
from infra.progress import Progress, silent
from riftstream.changes import Change
from riftstream.cli import plan
from riftstream.cli.quality import Checked, Quality, checked, qualities
from riftstream.errors import RiftError
from riftstream.settings import get_settings

API_PORT = 8090
ONLINE_STORE = "online-store"
FEATURE_CHECK = "feature-check"
_NICE = 10


@dataclass(frozen=True)
class Status:
    """State of the platform.

    Attributes:
        parts: Health of each server and application.
        topics: State of each topic; empty where Kafka does not answer.
        jobs: Flink jobs that run, by name, with their state; empty where Flink does not answer.
        newest_feature_age_ms: Time since the newest feature vector was appended, ms.
        newest_prediction_age_ms: Time since the newest prediction was appended, ms.
        features: How fresh and how whole the newest features of each view are, and how far from training.
        checked: What the newest checks of served features said; None where there was none.
        problems: What could not be asked, as sentences.
    """

    parts: list[stack.PartStatus]
    topics: list[Any] = field(default_factory=list)
    jobs: dict[str, str] = field(default_factory=dict)
    newest_feature_age_ms: int | None = None
    newest_prediction_age_ms: int | None = None
    features: list[Quality] = field(default_factory=list)
    checked: Checked | None = None
    problems: list[str] = field(default_factory=list)

    @property
    def healthy(self) -> bool:
        """Whether every part is ready and everything could be asked."""
        return not self.problems and all(part.state == "ready" for part in self.parts)


def start(progress: Progress | None = None, *, work: bool = True) -> list[Change]:
    """Bring the whole platform up, or what of it does not run; what runs is left alone.

    Args:
        progress: Told what each part does.
        work: Whether the Flink jobs and our applications are started too.

    Returns:
        What was changed on the servers: topics, schemas, tables, jobs.

    Raises:
        StackError: A part did not start.
        SchemaError: A schema or table change is refused.
    """
    tell = progress or silent
    stack.up(progress=tell)
    tell("platform", "comparing")
    pieces = [piece for piece in plan.pieces(get_settings()) if work or piece.name != plan.JOBS]
    changes = plan.apply(pieces, lambda name: tell("platform", f"applying {name}"))
    tell("platform", "ready")
    if work:
        start_applications(tell)
    return changes


def start_applications(progress: Progress | None = None) -> None:
    """Start our applications, or what of them does not run.

    They are the prediction loop, the online store's writer, what answers requests by topic, what keeps the
    lake, and the HTTP API; the check of features where the settings ask for it.
    """
    from models.publish import install

    tell = progress or silent
    tell("predictor", "loading the model")
    install()
    stack.up_app("predictor", ["rift", "serve", "predictor"], progress=tell)
    _start_online_store(tell)
    stack.up_app("requests", ["rift", "serve", "requests"], progress=tell)
    if get_settings().check_features:
        _start_in_background(FEATURE_CHECK, ["features", "check", "--follow"], tell)
    stack.up_app(
        "api",
        ["rift", "serve", "api", "--port", "{port}"],
        port=API_PORT,
        url="http://127.0.0.1:{port}/health/live",
        settings={"api_url": "http://127.0.0.1:{port}"},
        progress=tell,
    )
    _start_in_background("lake-upkeep", ["lake", "keep"], tell)


def _start_in_background(name: str, command: list[str], tell: Progress) -> None:
    """Start what may wait while predictions are made."""
    stack.up_app(name, ["rift", *command], nice=_NICE, progress=tell)


def renew_online_store() -> None:
    """Start the online store's writer anew where it runs here with other declarations than the files'."""
    if any(part.name == ONLINE_STORE and part.pid is not None for part in stack.health()):
        _start_online_store(silent)


def _start_online_store(tell: Progress) -> None:
    from features.repo import declared

    # An application is started anew when its environment is another: so it is when what it writes is.
    stack.up_app(ONLINE_STORE, ["rift", "features", "write"], env={"DECLARED": declared()}, progress=tell)


def status() -> Status:
    """State of the platform, from its parts themselves. Never raises for a part that is down."""
    from jobs.runner import running
    from streams.status import topic_status

    parts = stack.health()
    settings = get_settings()
    problems: list[str] = []
    topics: list[Any] = []
    jobs: dict[str, str] = {}
    states = {part.name: part.state for part in parts}
    features: list[Quality] = []
    checks: Checked | None = None
    try:
        topics = topic_status(settings) if states.get("kafka") == "ready" else []
        told = {topic.name for topic in topics if topic.records}
        features = qualities(settings) if "feature-quality" in told else []
        checks = checked(settings) if "feature-checks" in told else None
        jobs = running(settings) if states.get("jobmanager") == "ready" else {}
    except RiftError as error:
        problems.append(str(error))
    ages = {topic.name: topic.newest_age_ms for topic in topics}
    return Status(
        parts,
        topics,
        jobs,
        ages.get("match-features"),
        ages.get("predictions"),
        features,
        checks,
        problems,
    )
