"""A question to the models: the ``PredictionRequest`` of the topic, as HTTP takes it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

MATCH: Final = "match"
PLAYER: Final = "player"
OF_MATCHES = ("blue_team", "red_team")
OF_PLAYERS = ("statistic", "line", "match_id", "opponent", "side", "champion", "maps")
"""What only questions about players may say; ``OF_MATCHES`` is the same of matches."""
STATISTICS = ("kills", "deaths", "assists")
MOST_IN_BATCH = 1_000
LONGEST_ID = 200

PRINTABLE = r"^[^\x00-\x1f\x7f]+$"
Text = Annotated[str, Field(min_length=1, max_length=LONGEST_ID, pattern=PRINTABLE)]


def _whole(value: Any) -> Any:
    """JSON knows no whole numbers: 5.0 is 5."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


class Question(BaseModel):
    """A question about one match or player. Field names and meanings are those of ``PredictionRequest``."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)

    subject_type: Literal["match", "player"] = Field(description="match or player.")
    subject_id: Text = Field(description="match_id or player_id.")
    model_name: Text | None = Field(
        None, description="Model that shall answer; null for the one that answers for this kind of subject."
    )
    model_version: Text | None = Field(None, description="Version that shall answer; null for the live one.")
    statistic: Literal["kills", "deaths", "assists"] | None = Field(
        None, description="For a player: kills, deaths or assists."
    )
    line: Annotated[float, Field(ge=0, le=1000)] | None = Field(
        None, description="For a player: the line that P(over) is asked for."
    )
    match_id: Text | None = Field(
        None,
        description="For a player: the match that is asked about, from its MATCH_START to its end; null for "
        "the one that the player is seen to play, or for the next map where opponent, side or champion is "
        "given.",
    )
    opponent: Text | None = Field(
        None, description="For a player: the other team; in a match that is being played its own are known."
    )
    side: Literal["blue", "red"] | None = Field(None, description="For a player: blue or red, likewise.")
    champion: Text | None = Field(None, description="For a player: the champion, likewise.")
    maps: Annotated[Annotated[int, Field(ge=1, le=3)] | None, BeforeValidator(_whole)] = Field(
        None,
        description="For a player: over how many maps of a best of three, from its first, the statistic is "
        "summed; a third map counts where it is played. Null for this map alone.",
    )
    blue_team: Text | None = Field(
        None,
        description="For a match that has not begun: the blue team. With red_team it is answered before its "
        "first event; of a match that has begun the teams are known.",
    )
    red_team: Text | None = Field(None, description="For a match that has not begun: the red team.")
    max_age_ms: Annotated[Annotated[int, Field(ge=0, le=2**53)] | None, BeforeValidator(_whole)] = Field(
        None, description="Oldest features that may answer, in ms; null for any."
    )
    request_id: Text | None = Field(None, description="Identity of the question; the answer carries it.")


def from_record(record: Mapping[str, Any]) -> Question:
    """The question in a ``PredictionRequest``.

    Raises:
        pydantic.ValidationError: A field is out of its bounds.
    """
    return Question.model_validate({name: record[name] for name in Question.model_fields})


def refusal_of(question: Question, names: Sequence[str], text: str) -> str:
    """Why a question cannot be answered: the text with the first of the names that it gives, or empty."""
    given = next((name for name in names if getattr(question, name) is not None), None)
    return "" if given is None else text.format(given.replace("_", " "))
