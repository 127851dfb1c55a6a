"""The declarations agree with the records and with the models."""

from __future__ import annotations

import pytest

from features.repo import definitions
from features.views import ENTITIES, SERVICES, VIEWS, Service, View, find_feature, find_service, find_view
from models.artefact import load_card
from models.player_props.adjustments import NOTHING
from models.player_props.contract import PlayerContext, vectors
from models.win_probability.features import FEATURES, SERVICE
from riftstream.errors import FeatureError
from serving.service import every_kind


def test_the_service_of_win_probability_is_what_the_model_reads_in_its_order() -> None:
    service = find_service(SERVICE)
    assert service.names == FEATURES
    assert service.names == tuple(load_card("win_probability").features)
    assert service.model == "win_probability"


def test_the_service_of_player_props_names_every_form_that_its_vector_is_made_of() -> None:
    """Each feature changes the vector, and nothing else of the forms does."""
    parts = find_service(load_card("player_props").feature_service).parts
    views = {"player_form": find_view("player_form"), "team_form": find_view("team_form")}
    known: dict[str, dict[str, object]] = {
        name: {field.name: 1.0 for field in view.features} for name, view in views.items()
    }

    def vector(view: str, without: str) -> bytes:
        forms = {
            name: {k: v for k, v in of.items() if name != view or k != without} for name, of in known.items()
        }
        role = "mid" if "role" in forms["player_form"] else None
        player, team = forms["player_form"], forms["team_form"]
        context = PlayerContext(role=role, player_form=player, team_form=team, opponent_form=team)
        return vectors([context], NOTHING).tobytes()

    whole = vector("", "")
    read = {
        (v, field.name)
        for v, view in views.items()
        for field in view.features
        if vector(v, field.name) != whole
    }
    assert read == {(view.name, field.name) for view, field in parts}


def test_every_model_that_serves_has_a_service() -> None:
    assert {service.model for service in SERVICES} == {kind.model for kind in every_kind()}


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_every_field_of_a_record_is_a_key_the_time_left_out_or_a_feature(view: View) -> None:
    names = [field.name for field in view.schema.fields]
    features = [field.name for field in view.features]
    others = {*view.keys, "event_time", "flink_time", "watermark", *view.left_out}
    assert [name for name in names if name not in others] == features
    assert set(view.left_out) <= set(names)


@pytest.mark.parametrize("view", VIEWS, ids=lambda view: view.name)
def test_feast_has_the_types_and_docs_of_the_record(view: View) -> None:
    made = definitions.feature_views[view.name]
    docs = {field.name: field.doc for field in view.schema.fields}
    types = {"string": "String", "int": "Int32", "long": "Int64", "double": "Float64", "boolean": "Bool"}
    types |= {f"array<{name}>": f"Array({types[name]})" for name in ("string", "double")}
    assert [field.name for field in made.features] == [field.name for field in view.features]
    for ours, feast in zip(view.features, made.features, strict=True):
        assert feast.description == docs[ours.name]
        assert str(feast.dtype) == ("UnixTimestamp" if ours.logical else types[ours.type])
    assert made.join_keys == list(view.keys)
    assert made.ttl == view.ttl


def test_every_service_and_entity_has_its_counterpart_in_feast() -> None:
    assert set(definitions.entities) == set(ENTITIES)
    for service in SERVICES:
        projections = definitions.services[service.name].feature_view_projections
        told = {f"{one.name}:{field.name}" for one in projections for field in one.features}
        assert told == set(service.features)


def test_names_of_everything_differ_since_feast_keeps_them_in_one_module() -> None:
    names = [*ENTITIES, *(view.name for view in VIEWS), *(service.name for service in SERVICES)]
    assert len(names) == len(set(names))


def test_a_feature_is_found_by_its_name_where_one_view_has_it() -> None:
    assert find_feature("gold_diff")[0].name == "match_state"
    assert find_feature("player_form:kills")[0].name == "player_form"
    with pytest.raises(FeatureError, match="Several views"):
        find_feature("kills")


@pytest.mark.parametrize(
    "ask", [lambda: find_view("x"), lambda: find_service("x"), lambda: find_feature("x")]
)
def test_what_is_not_declared_is_refused(ask: object) -> None:
    with pytest.raises(FeatureError, match="There is no"):
        ask()  # type: ignore[operator]


def test_names_that_two_views_have_are_told_apart() -> None:
    service = Service("s", "m", ("player_form:kills", "player_window:kills", "player_form:games"), "")
    assert service.names == ("player_form__kills", "player_window__kills", "games")
