"""``rift replay-prediction``: make a prediction again from the log's history, and compare.

The match's features are rebuilt from ``raw.match_events`` with the SQL that made them on the stream, the
model version that the prediction names scores them, and all must be equal, to the last bit. What was known
before the match is in the record: the estimate is made again from it, by the version's regression.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

import typer

from riftstream.console import JsonFlag, err, out, print_json
from riftstream.errors import RiftError
from streams.avro import Record

JOB, VIEW = "match_pipeline", "features"
COMPARED = ("features_sha256", "pre_match", "probability", "interval_low", "interval_high")


@dataclass(frozen=True)
class Comparison:
    """One thing that was said, and the same made again."""

    name: str
    published: Any
    again: Any

    @property
    def equal(self) -> bool:
        """Whether both are the same, to the last bit."""
        return bool(self.published == self.again)


def compare(published: Record, again: Record) -> list[Comparison]:
    """What of a prediction is the same when it is made again."""
    return [Comparison(name, published[name], again[name]) for name in COMPARED]


def find(prediction_id: str) -> Record:
    """The prediction of this id.

    Raises:
        RiftError: The topic does not keep it.
    """
    from riftstream.cli.reading import kept

    for received in kept("predictions"):
        if received.record["prediction_id"] == prediction_id:
            return received.record
    raise RiftError(
        f"There is no prediction {prediction_id}.",
        "'rift predict MATCH' shows the id of a match's newest one.",
    )


def rebuild(prediction: Record) -> Record:
    """Make a prediction again: its features from the lakehouse, its probability from its model version.

    Returns:
        The values of ``COMPARED``.

    Raises:
        RiftError: The lakehouse does not hold the event, or the prediction is a fallback or about a player.
        ModelError: The model version is not known any more.
    """
    if prediction["subject_type"] != "match" or prediction["degraded"]:
        raise RiftError(
            "This prediction cannot be made again: "
            + ("it is a fallback answer." if prediction["degraded"] else "it is about a player."),
            "Those of the live path, about matches, can.",
        )
    begun = prediction["source_offset"] >= 0
    return score(prediction, _features(prediction) if begun else None)


def score(prediction: Record, state: Record | None) -> Record:
    """What a prediction's version says of a state, and of what the prediction says was known before it.

    Args:
        prediction: A prediction about a match.
        state: The match's features; None for a match that has not begun.

    Returns:
        The values of ``COMPARED``.

    Raises:
        ModelError: The model version is not known any more.
    """
    import numpy as np

    from models.publish import serve
    from models.vector import from_records
    from models.win_probability.features import FEATURES
    from models.win_probability.model import start
    from riftstream.cli.deploy import deployment_of
    from riftstream.settings import get_settings
    from serving import pre_match
    from serving.triton import TritonClient
    from serving.versions import card_of

    settings = get_settings()
    deployment = deployment_of(prediction["model_name"], settings)
    card = card_of(deployment, prediction["model_version"], settings)
    client = TritonClient(settings.triton_url, card.name, card.version)
    if not client.ready():
        serve(card)
    row = dict(zip(FEATURES, start()[0].tolist(), strict=True)) if state is None else state
    matrix = from_records([row], card.features)
    inputs = prediction["pre_match_inputs"]
    before = np.full(1, np.nan, np.float32)
    if inputs is not None:
        before = pre_match.estimates(card, np.array([inputs], np.float64))
    probability, low, high = (float(values[0]) for values in client.score(matrix, before))
    return {
        "features_sha256": pre_match.digest(matrix[0], float(before[0]), card.feature_service),
        "pre_match": None if inputs is None else float(before[0]),
        "probability": probability,
        "interval_low": low,
        "interval_high": high,
    }


def _features(prediction: Record) -> Record:
    """The state of the match at the prediction's place in the log, from the lakehouse."""
    from jobs.runner import run_batch

    match = prediction["match_id"]
    place = (prediction["source_partition"], prediction["source_offset"])
    for row in run_batch(JOB, VIEW, matches=[match]).to_pylist():
        if (row["source_partition"], row["source_offset"]) == place:
            return dict(row)
    raise RiftError(
        f"The lakehouse does not hold the event at partition {place[0]}, offset {place[1]}.",
        "New events come there within ten seconds: try again.",
    )


def register(app: typer.Typer) -> None:
    """Add ``rift replay-prediction``."""
    app.command("replay-prediction")(_replay_prediction)


def _replay_prediction(
    prediction_id: Annotated[str, typer.Argument(help="Id of the prediction; 'rift predict' shows it.")],
    json: JsonFlag = False,
) -> None:
    """Make a prediction again from the lakehouse and compare: features, probability, interval.

    Exits with 1 where anything differs.

    Example: rift replay-prediction 0b6f0c3f5c2a4e0f9a7d3b1c5e8f2a64
    """
    with err.status("finding the prediction") as status:
        published = find(prediction_id)
        status.update(f"rebuilding the features of {published['match_id']} from the lakehouse")
        compared = compare(published, rebuild(published))
    equal = all(one.equal for one in compared)
    if json:
        print_json({"prediction_id": prediction_id, "equal": equal, "compared": compared})
    else:
        for one in compared:
            values = one.published if one.equal else f"{one.published} was published, now {one.again}"
            line = f"{one.name:<16} {'equal' if one.equal else 'DIFFERENT':<10} {values}"
            out.print(line, markup=False, highlight=False, soft_wrap=True)
    if not equal:
        raise typer.Exit(1)
