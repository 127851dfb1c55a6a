from __future__ import annotations

import itertools
from collections import Counter
from pathlib import Path
from typing import Any

import matplotlib.image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.text import Text

from riftstream.cli.chart import apart, draw, save
from riftstream.cli.story import Story, tell
from riftstream.errors import RiftError
from streams.avro import Record
from tests.cli.records import MATCH, event, features, prediction, record, result

SCENES: list[dict[str, str]] = [
    {"event_type": "MATCH_START"},
    {"event_type": "CHAMPION_KILL", "team": "blue"},
    {"event_type": "CHAMPION_KILL", "team": "red"},
    {"event_type": "ELITE_MONSTER_KILL", "team": "blue", "monster": "DRAGON", "monster_sub": "FIRE_DRAGON"},
    {"event_type": "BUILDING_KILL", "team": "blue", "building": "TOWER", "tower_type": "OUTER_TURRET"},
    {"event_type": "BUILDING_KILL", "team": "blue", "building": "INHIBITOR"},
    {"event_type": "ELITE_MONSTER_KILL", "team": "red", "monster": "BARON_NASHOR"},
    {"event_type": "ELITE_MONSTER_KILL", "team": "red", "monster": "RIFTHERALD"},
    {"event_type": "CHAMPION_KILL", "team": "blue"},
    {"event_type": "MATCH_END", "winner": "blue"},
]


def records(gold: bool = True, blue: str = "TSM", red: str = "C9") -> list[tuple[str, Record]]:
    made: list[tuple[str, Record]] = []
    for number, scene in enumerate(SCENES):
        made.append(("live-matches", event(number, **scene)))
        state: dict[str, Any] = {
            "blue_team": blue,
            "red_team": red,
            "league": "NALCS",
            "season": "2015 Spring",
        }
        if gold:
            state |= {"gold_diff": number * 100 - 300, "gold_age_ms": 30_000}
        made.append(("match-features", features(number, **state)))
        p = 0.45 + number / 20
        made.append(
            (
                "predictions",
                prediction(number, p, interval_low=p - 0.1, interval_high=p + 0.1, interval_level=0.9),
            )
        )
    made.append(("match-results", result(len(SCENES) - 1)))
    return made


def drawn(figure: Figure) -> Counter[str]:
    """Points of every artist that has a name."""
    lines = [line for axes in figure.axes for line in axes.lines if line.get_gid()]
    return Counter({str(line.get_gid()): len(line.get_xdata()) for line in lines})  # type: ignore[arg-type]


def visible(figure: Figure) -> list[Text]:
    """Every text on the page; matplotlib keeps labels of ticks outside the axes too, they are not drawn."""
    texts = [*figure.texts, *(text for legend in figure.legends for text in legend.get_texts())]
    for axes in figure.axes:
        texts += [*axes.texts, axes.xaxis.label, axes.yaxis.label]
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            texts += [tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high]
    return [text for text in texts if text.get_text().strip() and text.get_visible()]


def test_every_prediction_and_every_mark_is_in_the_picture() -> None:
    points = drawn(draw(tell(MATCH, records())))
    # One for each event but the end, and the last one held to the end.
    assert points["probability"] == len(SCENES)
    marks = {name: count for name, count in points.items() if ":" in name}
    assert marks == {
        "Kill:blue": 2,
        "Kill:red": 1,
        "Infernal Dragon:blue": 1,
        "Tower:blue": 1,
        "Inhibitor:blue": 1,
        "Baron:red": 1,
        "Rift Herald:red": 1,
    }


def test_an_event_that_was_not_accepted_is_not_marked() -> None:
    rejected = event(99, event_type="CHAMPION_KILL", team="blue")
    assert len(tell(MATCH, [*records(), ("live-matches", rejected)]).marks) == 8


def test_records_that_come_twice_and_in_any_order_make_the_same_story() -> None:
    once = records()
    assert tell(MATCH, [*reversed(once), *once]) == tell(MATCH, once)


def test_records_of_other_matches_and_of_trial_models_are_left_out() -> None:
    strange: list[tuple[str, Record]] = [
        ("predictions", prediction(50, 0.1, match_id="other", prediction_id="x")),
        ("predictions", prediction(51, 0.1, shadow=True, prediction_id="y")),
        ("match-results", record("match-results", match_id="other", winner="red")),
    ]
    assert tell(MATCH, [*records(), *strange]) == tell(MATCH, records())


def test_the_title_names_the_teams_and_who_won() -> None:
    titles = [text.get_text() for text in draw(tell(MATCH, records())).texts]
    assert titles[0] == "TSM v C9: TSM wins in 09:00"
    assert "NALCS" in titles[1] and MATCH in titles[1] and "win_probability 1" in titles[1]


def test_a_match_that_goes_on_has_no_winner_in_its_title() -> None:
    story = tell(MATCH, [pair for pair in records() if pair[0] != "match-results"])
    assert draw(story).texts[0].get_text() == "TSM v C9"


@pytest.mark.parametrize(("gold", "panels"), [(True, 3), (False, 2)])
def test_the_gold_panel_is_there_where_gold_is_known(gold: bool, panels: int) -> None:
    assert len(draw(tell(MATCH, records(gold=gold))).axes) == panels


def test_the_interval_is_a_band_and_is_left_out_where_the_model_gives_none() -> None:
    def bands(story: Story) -> int:
        return sum(area.get_gid() == "interval" for area in draw(story).axes[0].collections)

    assert bands(tell(MATCH, records())) == 1
    bare = [
        (topic, one | {"interval_low": None} if topic == "predictions" else one) for topic, one in records()
    ]
    assert bands(tell(MATCH, bare)) == 0


def test_the_file_is_a_picture_with_content(tmp_path: Path) -> None:
    file = save(tell(MATCH, records()), tmp_path / "new" / "match.png")
    pixels = matplotlib.image.imread(file)
    assert pixels.shape[0] > 800 and pixels.shape[1] > 1200
    assert (pixels[..., :3] < 0.5).any(axis=2).mean() > 0.003, "dark ink"
    blue = (pixels[..., 2] > pixels[..., 0] + 0.3).mean()
    red = (pixels[..., 0] > pixels[..., 2] + 0.3).mean()
    assert blue > 0.0005 and red > 0.0005


def test_a_match_without_predictions_cannot_be_drawn() -> None:
    with pytest.raises(RiftError, match="no prediction"):
        draw(tell(MATCH, []))


LONG = ("Samsung Galaxy White " * 3, "KOO Tigers e-Sports Club Korea")


@pytest.mark.parametrize("names", [("TSM", "C9"), LONG])
@pytest.mark.parametrize("gold", [True, False])
def test_texts_stay_on_the_page_and_do_not_overlap(names: tuple[str, str], gold: bool) -> None:
    figure = draw(tell(MATCH, records(gold=gold, blue=names[0], red=names[1])))
    figure.canvas.draw()
    page = figure.bbox
    boxes = [(text.get_text(), text.get_window_extent()) for text in visible(figure)]
    assert len(boxes) > 20
    for label, box in boxes:
        inside = box.x0 >= 0 and box.y0 >= 0 and box.x1 <= page.x1 and box.y1 <= page.y1
        assert inside, f"{label} leaves the page"
    for (one, a), (other, b) in itertools.combinations(boxes, 2):
        apart_x = a.x1 <= b.x0 or b.x1 <= a.x0
        apart_y = a.y1 <= b.y0 or b.y1 <= a.y0
        assert apart_x or apart_y, f"{one!r} and {other!r} overlap"


@given(st.lists(st.floats(0, 40), max_size=30), st.floats(0, 1))
def test_marks_are_moved_apart_and_keep_their_order(values: list[float], gap: float) -> None:
    placed = apart(sorted(values), gap, 40)
    assert len(placed) == len(values)
    assert all(b - a >= gap - 1e-6 for a, b in itertools.pairwise(placed))
    assert all(place <= 40 + 1e-6 for place in placed)


def test_marks_that_have_room_stay_where_they_are() -> None:
    assert apart([1.0, 5.0, 5.2, 9.0], 0.5, 40) == pytest.approx([1.0, 4.85, 5.35, 9.0])
