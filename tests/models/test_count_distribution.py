from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from models.player_props.distribution import NegativeBinomial, Tabulated, mixed, total

MEANS = st.floats(0.01, 60)
DISPERSIONS = st.floats(1e-3, 3)
COUNTS = np.arange(400)


def scipys(mean: float, dispersion: float) -> stats.rv_discrete:
    size = 1 / dispersion
    return stats.nbinom(size, size / (size + mean))


@given(MEANS, DISPERSIONS)
@settings(max_examples=60)
def test_one_component_is_scipys_negative_binomial(mean: float, dispersion: float) -> None:
    ours, theirs = NegativeBinomial.of([mean], dispersion), scipys(mean, dispersion)
    np.testing.assert_allclose(ours.pmf(COUNTS), theirs.pmf(COUNTS), atol=1e-12, rtol=1e-7)
    np.testing.assert_allclose(ours.cdf(COUNTS), theirs.cdf(COUNTS), atol=1e-12)
    np.testing.assert_allclose(ours.over(COUNTS), theirs.sf(COUNTS), atol=1e-13, rtol=1e-6)
    assert ours.mean == pytest.approx(mean)
    assert ours.variance == pytest.approx(theirs.var())
    assert ours.dispersion == pytest.approx(dispersion, rel=1e-6, abs=1e-9)


@given(MEANS)
@settings(max_examples=30)
def test_no_dispersion_is_a_poisson_distribution(mean: float) -> None:
    ours, theirs = NegativeBinomial.of([mean], 0.0), stats.poisson(mean)
    np.testing.assert_allclose(ours.pmf(COUNTS), theirs.pmf(COUNTS), atol=1e-12)
    np.testing.assert_allclose(ours.cdf(COUNTS), theirs.cdf(COUNTS), atol=1e-12)


@given(MEANS, DISPERSIONS, st.floats(0, 0.999999))
@settings(max_examples=60)
def test_quantile_is_the_lowest_count_that_reaches_q(mean: float, dispersion: float, q: float) -> None:
    ours = NegativeBinomial.of([mean], dispersion, start=[3])
    found = ours.quantile(q)
    assert (ours.cdf(found) >= q).all()
    assert (found == 3) | (ours.cdf(found - 1) < q)


@given(
    st.lists(
        st.tuples(MEANS, MEANS, DISPERSIONS, st.floats(0, 1), st.integers(0, 20)), min_size=1, max_size=6
    ),
    st.floats(0, 80),
)
@settings(max_examples=60)
def test_over_push_and_under_make_one(
    rows: list[tuple[float, float, float, float, int]], line: float
) -> None:
    first, second, dispersion, weight, start = map(np.array, zip(*rows, strict=True))
    mixture = NegativeBinomial.of(
        np.column_stack((first, second)),
        dispersion[:, None],
        np.column_stack((weight, 1 - weight)),
        start.astype(np.int64),
    )
    for said in (mixture, mixture.tabulated()):
        for asked in (line, np.floor(line)):
            whole = said.over(asked) + said.push(asked) + said.under(asked)
            np.testing.assert_allclose(whole, 1, atol=1e-8)
    assert (mixture.push(np.floor(line) + 0.5) == 0).all()
    np.testing.assert_allclose(mixture.tabulated().mean, mixture.mean, rtol=1e-5)
    np.testing.assert_allclose(mixture.tabulated().cdf(line), mixture.cdf(line), atol=1e-8)
    assert (mixture.cdf(start - 1) == 0).all() and (mixture.sf(start - 1) == 1).all()


def test_rows_are_answered_as_they_are_alone() -> None:
    mean, dispersion = np.array([2.0, 7.5, 0.3]), np.array([0.2, 0.5, 1.0])
    together = NegativeBinomial.of(mean, dispersion)
    lines = np.array([1.5, 9.0, 0.0])
    for place in range(3):
        alone = NegativeBinomial.of(mean[place : place + 1], dispersion[place : place + 1])
        assert together.over(lines)[place] == alone.over(lines[place])
        np.testing.assert_array_equal(alone.over(lines), [alone.over(line)[0] for line in lines])


@given(st.lists(MEANS, min_size=2, max_size=3))
@settings(max_examples=30)
def test_sum_of_poisson_counts_is_a_poisson_count(means: list[float]) -> None:
    found = total([NegativeBinomial.of([mean], 0.0) for mean in means])
    theirs = stats.poisson(sum(means))
    np.testing.assert_allclose(found.pmf(COUNTS), theirs.pmf(COUNTS), atol=1e-8)


def test_multiples_sums_and_mixtures_of_tables() -> None:
    die = Tabulated.of(np.ones((1, 6)), 1)
    assert die.mean == pytest.approx(3.5)
    assert die.times(3).quantile(0.5).tolist() == [9]
    assert die.times(-1).quantile(0.01).tolist() == [-6]
    assert die.times(-2).push(-12) == pytest.approx(1 / 6)
    two = total([die, die])
    assert two.push(7) == pytest.approx(6 / 36)
    assert (two.over(12)[0], two.under(2)[0], two.lowest[0]) == (0, 0, 2)
    either = mixed([die, two], [0.25, 0.75])
    assert either.push(1) == pytest.approx(0.25 / 6)
    assert either.push(7) == pytest.approx(0.75 / 6)


@pytest.mark.parametrize(
    "wrong",
    [
        {"mean": [-1.0], "dispersion": 0.1},
        {"mean": [np.nan], "dispersion": 0.1},
        {"mean": [1.0], "dispersion": -0.1},
        {"mean": [[1.0, 2.0]], "dispersion": 0.1, "weight": [0.5, 0.6]},
    ],
)
def test_what_is_no_distribution_is_refused(wrong: dict[str, list[float]]) -> None:
    with pytest.raises(ValueError, match=r"at least 0|add up to 1"):
        NegativeBinomial.of(**wrong)
    with pytest.raises(ValueError, match=r"in \[0, 1\)"):
        NegativeBinomial.of([1.0], 0.1).quantile(1.0)
