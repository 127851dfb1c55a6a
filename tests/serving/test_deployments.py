"""What the records of model-updates add up to."""

from __future__ import annotations

from typing import Any

from serving.deployments import Artefact, Deployment, add_up, place_of

START = Deployment("m", live="1", artefacts={"1": Artefact(None, "a")})


def update(action: str, version: str, **more: Any) -> dict[str, Any]:
    fields = {"traffic": None, "artefact_uri": f"s3://models/{version}", "artefact_sha256": f"sha{version}"}
    return {"model_name": "m", "model_version": version, "action": action, **fields, **more}


def after(*updates: dict[str, Any]) -> Deployment:
    return add_up(updates, {"m": START})["m"]


def test_a_published_version_answers_nothing_yet() -> None:
    found = after(update("publish", "2"))
    assert (found.live, found.shadow, found.serving) == ("1", (), ("1",))
    assert found.artefacts["2"] == Artefact("s3://models/2", "sha2")


def test_a_promotion_takes_a_version_out_of_shadow_and_a_rollback_brings_the_other_back() -> None:
    shadowed = [update("publish", "2"), update("shadow", "2")]
    assert after(*shadowed).shadow == ("2",)
    promoted = after(*shadowed, update("promote", "2"))
    assert (promoted.live, promoted.previous, promoted.shadow) == ("2", "1", ())
    back = after(*shadowed, update("promote", "2"), update("rollback", "1"))
    assert (back.live, back.previous) == ("1", "2")


def test_promoting_what_is_live_keeps_the_way_back() -> None:
    twice = after(update("promote", "2"), update("promote", "2"))
    assert (twice.live, twice.previous) == ("2", "1")


def test_a_share_of_the_subjects_goes_to_a_version_and_always_the_same_ones() -> None:
    split = after(update("promote", "2", traffic=0.2))
    assert (split.live, split.split, split.serving) == ("1", {"2": 0.2}, ("1", "2"))
    subjects = [f"LCK/{number}" for number in range(2_000)]
    chosen = [split.version_for(subject) for subject in subjects]
    assert chosen == [split.version_for(subject) for subject in subjects]
    assert 0.17 < chosen.count("2") / len(chosen) < 0.23
    more = after(update("promote", "2", traffic=0.2), update("promote", "2", traffic=0.4))
    assert all(
        more.version_for(s) == "2" for s, version in zip(subjects, chosen, strict=True) if version == "2"
    )


def test_a_retired_version_is_forgotten() -> None:
    found = after(update("promote", "2"), update("retire", "1"))
    assert (found.live, found.previous) == ("2", "")
    assert "1" not in found.artefacts


def test_an_action_of_the_future_changes_nothing() -> None:
    assert after(update("dance", "2")) == START


def test_places_are_spread_evenly() -> None:
    places = [place_of("m", f"player-{number}") for number in range(4_000)]
    tenths = [sum(low <= place * 10 < low + 1 for place in places) for low in range(10)]
    assert all(300 < count < 500 for count in tenths)
