"""``rift models publish | promote | rollback | retire | status``: which version of a model answers.

A change is a record of ``model-updates``, which every process of the serving layer follows. A version is
loaded into Triton before the record is sent, and the one before it stays loaded, so no request meets a model
that is not there, and a rollback is one record.
"""

from __future__ import annotations

import getpass
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import ModelError, RiftError
from riftstream.settings import Settings, get_settings

if TYPE_CHECKING:
    from models.artefact import Card
    from serving.deployments import Deployment

MODEL = "win_probability"
MISMATCH_HOURS = 24
"""Feature mismatches found in the last so many hours stand in the way of a promotion."""

_HOUR_MS = 3_600_000

NameArgument = Annotated[str, typer.Argument(help="The model.")]


@dataclass(frozen=True)
class Changed:
    """What a command did.

    Attributes:
        action: ``publish``, ``promote``, ``rollback``, ``retire``, or ``none`` where nothing had to be done.
        model: The model.
        version: The version.
        live: Version that is live afterwards.
        previous: Version that a rollback makes live again.
        shadow: Versions that are tried.
        split: Share of the subjects that a version answers in the live one's place.
    """

    action: str
    model: str
    version: str
    live: str
    previous: str
    shadow: list[str] = field(default_factory=list)
    split: dict[str, float] = field(default_factory=dict)


def deployment_of(name: str, settings: Settings) -> Deployment:
    """The deployment of a model as the topic has it.

    Raises:
        ModelError: There is no such model.
        StackError: Kafka does not answer.
    """
    from serving import deployments
    from serving.versions import at_start

    found = deployments.current(at_start([name]), settings).get(name)
    if found is None:
        raise ModelError(f"There is no model {name}.", "See 'rift models status'.")
    return found


def publish(name: str, folder: Path | None, shadow: bool, settings: Settings) -> Changed:
    """Make a version known: its files into the object store, itself into Triton, and into shadow if wanted.

    An artefact that is published already keeps its version; another one gets the version of its card, or the
    next number where that is taken.

    Raises:
        ModelError: The artefact is broken, reads other features than the model's, or Triton refuses it.
    """
    from models import store
    from models.artefact import load_card
    from models.publish import serve
    from serving.deployments import PUBLISH, SHADOW
    from serving.versions import card_of

    card = load_card(name, folder)
    deployment = deployment_of(name, settings)
    if card.feature_service != card_of(deployment, deployment.live, settings).feature_service:
        raise ModelError(
            f"This artefact reads {card.feature_service}, and {name} does not.",
            "Other features need their own feature service in the code of the serving layer.",
        )
    version = version_of(card, deployment)
    known = deployment.artefacts.get(version)
    if known is None:
        uri = store.put(card, version, settings)
        published = store.fetch(name, version, uri, card.sha256, settings)
    else:
        uri = known.uri or ""
        published = card_of(deployment, version, settings)
    serve(published)
    if known is None:
        deployment = _send(deployment, PUBLISH, version, settings, published, uri=uri)
    if shadow and version not in (*deployment.serving, *deployment.shadow):
        deployment = _send(deployment, SHADOW, version, settings, published, uri=uri)
    return _changed(PUBLISH if known is None else "none", version, deployment)


def version_of(card: Card, deployment: Deployment) -> str:
    """The version that an artefact has or gets."""
    for number, artefact in deployment.artefacts.items():
        if artefact.sha256 == card.sha256:
            return number
    if card.version not in deployment.artefacts:
        return card.version
    numbers = [int(number) for number in deployment.artefacts if number.isdigit()]
    return str(max(numbers, default=0) + 1)


def promote(
    name: str, version: str, traffic: float | None, settings: Settings, since_ms: int | None = None
) -> Changed:
    """Let a published version answer: all subjects, or a share of them.

    Args:
        name: The model.
        version: The version.
        traffic: Share of the subjects; all where it is None.
        settings: Where the platform is.
        since_ms: Feature mismatches found before have been dealt with (ms since the Unix epoch); those of the
            last 24 hours count by default.

    Raises:
        ModelError: It is not published, Triton does not take it, served features differ from their
            recomputation, or it is worse calibrated than the live one.
    """
    from models.publish import serve
    from serving.deployments import PROMOTE
    from serving.versions import card_of

    deployment = deployment_of(name, settings)
    whole = traffic is None or traffic == 1
    if deployment.live == version and whole and not deployment.split:
        return _changed("none", version, deployment)
    card = card_of(deployment, version, settings)
    refuse_mismatches(settings, since_ms)
    if version != deployment.live:
        refuse_worse(card, card_of(deployment, deployment.live, settings))
    serve(card)
    deployment = _send(deployment, PROMOTE, version, settings, card, traffic=None if whole else traffic)
    _retire(deployment, settings)
    return _changed(PROMOTE, version, deployment)


def rollback(name: str, settings: Settings) -> Changed:
    """Let the version answer again that was live before.

    Raises:
        ModelError: There is none.
    """
    from models.publish import serve
    from serving.deployments import ROLLBACK
    from serving.versions import card_of

    deployment = deployment_of(name, settings)
    if deployment.split:
        # A share is taken back by making the live version answer for all.
        back = deployment.live
    elif deployment.previous:
        back = deployment.previous
    else:
        raise ModelError(f"{name} has no version to go back to; {deployment.live} was live all along.")
    card = card_of(deployment, back, settings)
    serve(card)
    deployment = _send(deployment, ROLLBACK, back, settings, card)
    return _changed(ROLLBACK, back, deployment)


def retire(name: str, version: str, settings: Settings) -> Changed:
    """Forget a version that answers nothing: out of shadow, and out of Triton.

    Raises:
        ModelError: It is not known, or it answers.
    """
    from models.publish import withdraw
    from serving.deployments import RETIRE
    from serving.versions import card_of

    deployment = deployment_of(name, settings)
    card = card_of(deployment, version, settings)
    if version in deployment.serving:
        raise ModelError(f"{name} {version} answers; promote another version first.")
    deployment = _send(deployment, RETIRE, version, settings, card)
    withdraw(name, version)
    return _changed(RETIRE, version, deployment)


def refuse_mismatches(settings: Settings, since_ms: int | None = None) -> None:
    """See that no served feature was found to differ from its recomputation: since a time, or lately.

    Raises:
        ModelError: Some were.
    """
    from riftstream.cli.reading import kept
    from streams.clock import now_ms

    since = now_ms() - MISMATCH_HOURS * _HOUR_MS if since_ms is None else since_ms
    found = [got.record for got in kept("feature-mismatches", settings) if got.record["checked_at"] >= since]
    if found:
        first = found[0]
        raise ModelError(
            f"{len(found)} feature mismatches were found, the first of {first['feature']} in "
            f"{first['match_id'] or first['player_id']}: nothing is promoted meanwhile.",
            "Find out why served and recomputed features differ; --since leaves out what is dealt with.",
        )


def refuse_worse(card: Card, live: Card) -> None:
    """See that a version is not worse calibrated than the live one, beyond what chance explains.

    Raises:
        ModelError: The interval of its calibration error (ECE on the test split) lies above the live one's.
    """
    new, old = (one.metrics.get("pooled", {}).get("model", {}).get("ece") for one in (card, live))
    if new and old and new[1] > old[2]:
        raise ModelError(
            f"{card.name} {card.version} is worse calibrated than {live.version}: ECE {new[0]:.4f} "
            f"[{new[1]:.4f}, {new[2]:.4f}] against {old[0]:.4f} [{old[1]:.4f}, {old[2]:.4f}]."
        )


def _send(
    deployment: Deployment,
    action: str,
    version: str,
    settings: Settings,
    card: Card,
    *,
    uri: str | None = None,
    traffic: float | None = None,
) -> Deployment:
    """Send a record of ``model-updates``; gives the deployment after it."""
    import orjson

    from serving.deployments import TOPIC
    from streams.client import Producer
    from streams.clock import now_ms

    known = deployment.artefacts.get(version)
    address = uri or (known.uri if known else None)
    record: dict[str, Any] = {
        "model_name": deployment.model,
        "model_version": version,
        "action": action,
        "previous_version": deployment.live or None,
        "traffic": traffic,
        "artefact_uri": address,
        "artefact_sha256": card.sha256,
        "feature_service": card.feature_service,
        "data_sha256": card.data_sha256,
        "metrics": orjson.dumps(card.metrics.get("pooled", {})).decode(),
        "reason": None,
        "created_at": now_ms(),
        "created_by": getpass.getuser(),
    }
    with Producer(settings, topic=TOPIC) as producer:
        producer.send(record)
    return deployment.after(record)


def _retire(deployment: Deployment, settings: Settings) -> None:
    """Unload versions from Triton that neither answer, nor are tried, nor would be gone back to."""
    from models.publish import model_repository_versions, withdraw

    wanted = {*deployment.serving, *deployment.shadow, deployment.previous}
    for number in model_repository_versions(deployment.model):
        if number not in wanted:
            withdraw(deployment.model, number)


def _changed(action: str, version: str, deployment: Deployment) -> Changed:
    return Changed(
        action,
        deployment.model,
        version,
        deployment.live,
        deployment.previous,
        list(deployment.shadow),
        dict(deployment.split),
    )


def register(models: typer.Typer) -> None:
    """Add the commands to ``rift models``."""
    models.command("publish")(_publish)
    models.command("promote")(_promote)
    models.command("rollback")(_rollback)
    models.command("retire")(_retire_command)
    models.command("status")(_status)


def _show(changed: Changed, json: bool) -> None:
    if json:
        print_json(changed)
        return
    said = {
        "publish": f"{changed.model} {changed.version} is published and loaded.",
        "promote": f"{changed.model} {changed.version} is promoted.",
        "rollback": f"{changed.model} {changed.version} answers again.",
        "retire": f"{changed.model} {changed.version} is retired.",
        "none": f"{changed.model} {changed.version}: nothing had to be done.",
    }
    out.print(said[changed.action], highlight=False)
    shares = "".join(f", {number} for {share:.0%} of subjects" for number, share in changed.split.items())
    tried = f"; in shadow: {', '.join(changed.shadow)}" if changed.shadow else ""
    out.print(f"Live: {changed.live}{shares}{tried}.", highlight=False)


def _publish(
    name: NameArgument = MODEL,
    folder: Annotated[
        Path | None, typer.Option("--from", help="Folder of the artefact; the committed one by default.")
    ] = None,
    shadow: Annotated[
        bool, typer.Option("--shadow/--no-shadow", help="Try it on the live matches, marked as shadow.")
    ] = True,
    json: JsonFlag = False,
) -> None:
    """Publish a version: into the object store, into Triton, and first into shadow.

    Example: rift models publish win_probability --from my-model
    """
    with err.status(f"publishing {name}"):
        changed = publish(name, folder, shadow, get_settings())
    _show(changed, json)


def _promote(
    name: NameArgument,
    version: Annotated[str, typer.Argument(help="The version.")],
    traffic: Annotated[
        float | None,
        typer.Option(min=0.01, max=1.0, help="Share of the subjects that it answers; all by default."),
    ] = None,
    since: Annotated[
        datetime | None,
        typer.Option(help="Feature mismatches found before (UTC) are dealt with; a day counts by default."),
    ] = None,
    json: JsonFlag = False,
) -> None:
    """Let a published version answer, without a pause. Refused while there are feature mismatches.

    Example: rift models promote win_probability 2 --traffic 0.1
    """
    since_ms = None if since is None else round(since.replace(tzinfo=UTC).timestamp() * 1000)
    _show(promote(name, version, traffic, get_settings(), since_ms), json)


def _rollback(name: NameArgument = MODEL, json: JsonFlag = False) -> None:
    """Let the version answer again that did before; or take a share back. Example: rift models rollback"""
    _show(rollback(name, get_settings()), json)


def _retire_command(
    name: NameArgument,
    version: Annotated[str, typer.Argument(help="The version.")],
    json: JsonFlag = False,
) -> None:
    """Forget a version that does not answer, such as one in shadow. Example: rift models retire m 2"""
    _show(retire(name, version, get_settings()), json)


def _status(json: JsonFlag = False) -> None:
    """Versions of each model and what each does, the committed ones checked against their cards.

    Example: rift models status --json
    """
    from models.commands import committed_status, show_committed

    found = committed_status()
    for model in found:
        model["deployment"] = _deployed(model["name"])
    if json:
        print_json(found)
        return
    for model in found:
        deployment = model.pop("deployment")
        show_committed(model)
        if deployment is None:
            out.print("The platform does not run, so nothing is known of what is served.")
            continue
        for version in deployment["versions"]:
            loaded = "loaded" if version["loaded"] else "not loaded"
            out.print(f"version {version['version']}: {version['role']}, {loaded}", highlight=False)


def _deployed(name: str) -> dict[str, Any] | None:
    """The deployment of a model for people and programs; None where the platform does not run."""
    from serving.status import role
    from serving.triton import TritonClient

    settings = get_settings()
    try:
        deployment = deployment_of(name, settings)
    except RiftError:
        return None
    return {
        "live": deployment.live,
        "previous": deployment.previous or None,
        "split": dict(deployment.split),
        "versions": [
            {
                "version": number,
                "role": role(deployment, number),
                "loaded": TritonClient(settings.triton_url, name, number, timeout=2.0).ready(),
                "uri": artefact.uri,
                "sha256": artefact.sha256,
            }
            for number, artefact in deployment.artefacts.items()
        ],
    }
