"""What can be asked for online: entities, feature views and feature services.

This is the one place to declare them. A view's fields, their types, units and docs are those of the Avro
record on its topic; Feast's objects (``features.repo``), the layout in Redis and the reference page follow.
To add a view: write its job and its ``.avsc`` file, add a ``View`` to ``VIEWS``, and run ``rift apply``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property, lru_cache
from typing import TypeVar

from riftstream.errors import FeatureError
from streams.schemas import Field, RecordSchema, for_topic

PROJECT = "riftstream"
"""Name of the Feast project; part of every key in Redis."""

TIMESTAMP = "event_time"
"""Field of every feature record that says from when on its values hold (ms since the Unix epoch)."""

_JOB_CLOCKS = frozenset({"flink_time", "watermark"})


@dataclass(frozen=True)
class Entity:
    """Something that features are about.

    Attributes:
        name: Name of the entity.
        key: Field that identifies one of them (Feast's join key); always a string.
        doc: What it is.
    """

    name: str
    key: str
    doc: str


@dataclass(frozen=True)
class View:
    """A group of features that one topic tells about an entity.

    Attributes:
        name: Name of the feature view.
        topic: Topic that carries its rows.
        entities: Names of its entities; several make a composite key.
        ttl: For how long a row may be used: older values are marked as stale, and Redis forgets an entity
            that no view of it has told about for that long.
        order: Fields that decide between rows of the same event time; the highest is the newest.
        left_out: Fields of the record that are no features. The job's own clocks never are: they differ from
            run to run.
    """

    name: str
    topic: str
    entities: tuple[str, ...]
    ttl: timedelta
    order: tuple[str, ...] = ("source_offset",)
    left_out: frozenset[str] = frozenset()

    @property
    def schema(self) -> RecordSchema:
        """The record on its topic."""
        return for_topic(self.topic)

    @property
    def keys(self) -> tuple[str, ...]:
        """Join keys of its entities, in their order."""
        return tuple(ENTITIES[name].key for name in self.entities)

    @property
    def table(self) -> str:
        """Iceberg table that holds its history."""
        return f"features.{self.name}"

    @cached_property
    def features(self) -> tuple[Field, ...]:
        """Its features: the record's fields without keys, event time and what is left out."""
        no_features = {*self.keys, TIMESTAMP, *_JOB_CLOCKS, *self.left_out}
        return tuple(field for field in self.schema.fields if field.name not in no_features)

    def feature(self, name: str) -> Field:
        """The feature of this name.

        Raises:
            FeatureError: The view has no such feature.
        """
        for field in self.features:
            if field.name == name:
                return field
        raise FeatureError(
            f"The view {self.name} has no feature {name}.", f"See 'rift features show {self.name}'."
        )


@dataclass(frozen=True)
class Service:
    """The features that one model reads, in its order.

    Attributes:
        name: Name of the feature service. A change of its features is a new service with a new name.
        model: Model that reads them.
        features: ``view:feature``, in the model's order where they are its input as they are.
        doc: What it is for.
    """

    name: str
    model: str
    features: tuple[str, ...]
    doc: str

    @cached_property
    def parts(self) -> tuple[tuple[View, Field], ...]:
        """View and field of each feature, in order.

        Raises:
            FeatureError: One of them is unknown.
        """
        return tuple(find_feature(reference) for reference in self.features)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Feature names in order; ``view__feature`` where two views have a feature of the same name."""
        count = Counter(field.name for _, field in self.parts)
        return tuple(f.name if count[f.name] == 1 else f"{view.name}__{f.name}" for view, f in self.parts)

    @cached_property
    def views(self) -> tuple[View, ...]:
        """Views that it reads, each once."""
        return tuple({view.name: view for view, _ in self.parts}.values())

    @cached_property
    def keys(self) -> tuple[str, ...]:
        """Join keys that must be given to read it."""
        return tuple(dict.fromkeys(key for view in self.views for key in view.keys))


_Declared = TypeVar("_Declared", View, Service)


def _by_name(*entities: Entity) -> dict[str, Entity]:
    return {entity.name: entity for entity in entities}


ENTITIES = _by_name(
    Entity("match", "match_id", "One match (map) of a series."),
    Entity("player", "player_id", "A player, over all matches."),
    Entity("team", "team", "A team, over all matches."),
    Entity("opponent", "opponent", "The other team of a pair."),
    Entity("champion", "champion", "A champion, over all matches."),
    Entity("meta", "scope", "A patch, or a season where the source tells no patch."),
)

VIEWS = (
    View(
        "match_state", "match-features", ("match",), timedelta(hours=24), left_out=frozenset({"kafka_time"})
    ),
    View(
        "player_window",
        "player-performance",
        ("player",),
        timedelta(hours=6),
        order=("source_offset", "events"),
    ),
    # Of forms as of the same match the one with the most games is the truth: what was heard late is in it.
    View("player_form", "player-stats", ("player",), timedelta(days=60), order=("games",)),
    View("team_form", "team-form", ("team",), timedelta(days=60), order=("games",)),
    View(
        "head_to_head",
        "head-to-head",
        ("team", "opponent"),
        timedelta(days=365),
        order=("games",),
        left_out=frozenset({"pair"}),
    ),
    View("champion_meta", "champion-meta", ("champion", "meta"), timedelta(days=365), order=("games",)),
    View("match_context", "match-context", ("match", "team"), timedelta(hours=24)),
)


def _of(view: str, text: str) -> tuple[str, ...]:
    return tuple(f"{view}:{name}" for name in text.split())


SERVICES = (
    Service(
        "win_probability_v1",
        "win_probability",
        _of(
            "match_state",
            """
            clock_ms
            kills_diff towers_diff inhibitors_diff dragons_diff
            air_dragons_diff earth_dragons_diff fire_dragons_diff water_dragons_diff elder_dragons_diff
            heralds_diff barons_diff
            kills_blue kills_red
            kills_diff_1m kills_diff_3m kills_diff_5m kills_blue_3m kills_red_3m
            towers_diff_1m towers_diff_3m towers_diff_5m towers_alive_blue towers_alive_red
            first_blood_blue first_blood_red first_tower_blue first_tower_red
            inhibitors_down_blue inhibitors_down_red baron_power_blue baron_power_red
            dragon_alive herald_alive baron_alive
            since_kill_ms since_tower_ms since_dragon_ms since_baron_ms
            gold_blue gold_red gold_diff gold_diff_3m gold_diff_5m
            """,
        ),
        "What win_probability reads of a match's state.",
    ),
    Service(
        "player_props_v1",
        "player_props",
        (
            *_of(
                "player_form",
                "games form kills_mean deaths_mean assists_mean participation kills_volatility role",
            ),
            *_of("team_form", "games form kills_mean deaths_mean duration_mean_ms"),
        ),
        "What player_props reads of online forms: team_form twice, of the player's team and of the other. "
        "What else its vector holds comes with the question: see models/player_props/contract.py.",
    ),
)


def find_view(name: str) -> View:
    """The view of this name.

    Raises:
        FeatureError: There is none.
    """
    return _find(VIEWS, name, "feature view")


@lru_cache(maxsize=256)
def find_service(name: str) -> Service:
    """The service of this name; a view's name stands for all its features.

    Raises:
        FeatureError: There is neither.
    """
    whole = [
        Service(view.name, "", tuple(f"{view.name}:{field.name}" for field in view.features), view.schema.doc)
        for view in VIEWS
    ]
    return _find((*SERVICES, *whole), name, "feature service")


def find_feature(reference: str) -> tuple[View, Field]:
    """View and field of ``view:feature``; a name alone will do where one view has it.

    Raises:
        FeatureError: There is no such feature, or several.
    """
    view, colon, name = reference.rpartition(":")
    if colon:
        found = find_view(view)
        return found, found.feature(name)
    holders = [view for view in VIEWS if any(field.name == name for field in view.features)]
    if len(holders) == 1:
        return holders[0], holders[0].feature(name)
    if holders:
        choices = ", ".join(f"{view.name}:{name}" for view in holders)
        raise FeatureError(f"Several views have a feature {name}.", f"Say which: {choices}.")
    raise FeatureError(f"There is no feature {name}.", "See 'rift features list'.")


def _find(among: Iterable[_Declared], name: str, what: str) -> _Declared:
    found = {one.name: one for one in among}
    if name not in found:
        raise FeatureError(f"There is no {what} {name}.", f"There are: {', '.join(found)}.")
    return found[name]
