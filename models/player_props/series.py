"""Props over a series: maps 1, 1–2 and 1–3, where map 3 is played only when each team has won one.

A player's count depends on who wins the map, and who won the first two decides whether there is a third. So
the sum is made for each course of the series, and the courses are mixed by their probability. Given who wins,
maps are taken as independent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from models.player_props.contract import Prop
from models.player_props.distribution import CountDistribution, Doubles, Tabulated, mixed, total


@dataclass(frozen=True)
class Series:
    """What is said of n players over a best of three.

    Attributes:
        maps: The distributions of the sum over map 1, maps 1–2, and maps 1–3 where a map that is not played
            counts nothing.
        third_map: Probability that map 3 is played, shape [n].
    """

    maps: tuple[CountDistribution, Tabulated, Tabulated]
    third_map: Doubles


def over_series(first: Prop, second: Prop | None = None, third: Prop | None = None) -> Series:
    """Props over a best of three.

    Args:
        first: Map 1, played to its end or not.
        second: Map 2; as map 1 by default.
        third: Map 3; as map 2 by default.
    """
    second = second or first
    props = (first, second, third or second)
    two, two_weights = _courses(props[:2], product((0, 1), repeat=2))
    swept = [(wins, wins) for wins in (0, 1)]
    split = [(one, 1 - one, last) for one in (0, 1) for last in (0, 1)]
    three, three_weights = _courses(props, [*swept, *split])
    return Series(
        (first.overall, mixed(two, two_weights), mixed(three, three_weights)),
        np.asarray(three_weights[:, len(swept) :].sum(axis=1)),
    )


def _courses(
    props: Sequence[Prop], courses: Sequence[tuple[int, ...]] | product[tuple[int, ...]]
) -> tuple[list[CountDistribution], Doubles]:
    """The sum over each course (0 lost, 1 won, by map), and its probability, shape [n, courses]."""
    sums: list[CountDistribution] = []
    weights = []
    for course in courses:
        played = list(zip(props, course, strict=False))
        sums.append(total([prop.won if won else prop.lost for prop, won in played]))
        chances = [prop.win_probability if won else 1 - prop.win_probability for prop, won in played]
        weights.append(np.prod(chances, axis=0))
    return sums, np.column_stack(weights)
