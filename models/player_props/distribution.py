"""Distributions of counts: what a prop model says of kills, deaths, assists or fantasy points.

An object holds n distributions. What they are asked with, a count or a line, is a number or an array whose
last axis is broadcast against the n distributions, and so is the answer. One distribution along a curve of
lines is an object of n = 1 asked with lines of shape [m].

========= ========================================================================================
NegativeBinomial a mixture of negative binomials, each by mean and dispersion, on top of a count
Tabulated a probability for each count, for sums that have no closed form
========= ========================================================================================
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft, special

Doubles = np.ndarray[Any, np.dtype[np.float64]]
Ints = np.ndarray[Any, np.dtype[np.int64]]

POISSON = 1e-6
"""A dispersion up to this is none: the component is a Poisson distribution."""

TAIL = 1e-9
"""Probability that a table may leave out at its upper end."""

_MOST = 4096


class CountDistribution(ABC):
    """n distributions over whole numbers."""

    @abstractmethod
    def pmf(self, count: ArrayLike) -> Doubles:
        """P(X = count); 0 where count is no whole number."""

    @abstractmethod
    def cdf(self, count: ArrayLike) -> Doubles:
        """P(X ≤ count)."""

    @abstractmethod
    def sf(self, count: ArrayLike) -> Doubles:
        """P(X > count), exact in the tail."""

    @property
    @abstractmethod
    def mean(self) -> Doubles:
        """Mean, shape [n]."""

    @property
    @abstractmethod
    def variance(self) -> Doubles:
        """Variance, shape [n]."""

    @property
    @abstractmethod
    def lowest(self) -> Ints:
        """Lowest count that is possible, shape [n]."""

    @property
    def dispersion(self) -> Doubles:
        """(variance - mean) / mean²: 0 for a Poisson distribution, shape [n]; NaN where the mean is 0."""
        mean = self.mean
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.where(mean == 0, np.nan, (self.variance - mean) / mean**2)

    def over(self, line: ArrayLike) -> Doubles:
        """P(X > line)."""
        return self.sf(line)

    def push(self, line: ArrayLike) -> Doubles:
        """P(X = line), the bet that is void; 0 on a line between two counts."""
        return self.pmf(line)

    def under(self, line: ArrayLike) -> Doubles:
        """P(X < line)."""
        return self.cdf(np.ceil(np.asarray(line, dtype=np.float64)) - 1)

    def quantile(self, q: ArrayLike) -> Ints:
        """The lowest count with P(X ≤ count) ≥ q, for q in [0, 1).

        Raises:
            ValueError: A q lies outside.
        """
        wanted = np.asarray(q, dtype=np.float64)
        if not ((wanted >= 0) & (wanted < 1)).all():
            raise ValueError("A quantile is asked for a q in [0, 1).")
        wanted = np.broadcast_to(wanted, np.broadcast_shapes(wanted.shape, self.lowest.shape))
        low = np.broadcast_to(self.lowest - 1, wanted.shape).astype(np.int64)
        step = np.ones(wanted.shape, np.int64)
        # A q of 1 - 1e-16 may be above every cdf that a double can hold: the search has an end.
        while (short := (self.cdf(low + step) < wanted) & (step < _MOST * _MOST)).any():
            step = np.where(short, step * 2, step)
        high = low + step
        while (high - low > 1).any():
            middle = (low + high) // 2
            reached = self.cdf(middle) >= wanted
            low, high = np.where(reached, low, middle), np.where(reached, middle, high)
        return high

    def tabulated(self) -> Tabulated:
        """The same as a table, without an upper tail of at most ``TAIL``."""
        lowest = self.lowest
        width = int((self.quantile(1 - TAIL) - lowest).max(initial=0)) + 1
        counts = lowest + np.arange(width)[:, None]
        return Tabulated.of(self.pmf(counts).T, lowest)


@dataclass(frozen=True)
class NegativeBinomial(CountDistribution):
    """What is there already plus a mixture of negative binomials of what is to come.

    A component of mean m and dispersion a has the variance m + a·m². All arrays are float64.

    Attributes:
        component_mean: Means of the components, shape [n, k].
        component_dispersion: Their dispersions, shape [n, k]; 0 makes a component a Poisson distribution.
        weight: Probability of each component, shape [n, k]; rows add up to 1.
        start: Count that is there already, shape [n].
    """

    component_mean: Doubles
    component_dispersion: Doubles
    weight: Doubles
    start: Ints

    @classmethod
    def of(
        cls,
        mean: ArrayLike,
        dispersion: ArrayLike,
        weight: ArrayLike | None = None,
        start: ArrayLike = 0,
    ) -> NegativeBinomial:
        """Make n distributions.

        Args:
            mean: Means, shape [n], or [n, k] for mixtures of k components.
            dispersion: Dispersions, broadcast to the means.
            weight: Probability of each component, broadcast to the means; not needed for k = 1.
            start: Count that is there already, shape [n].

        Raises:
            ValueError: A mean or dispersion is negative or unknown, or weights do not add up to 1.
        """
        means = np.asarray(mean, dtype=np.float64)
        means = means[:, None] if means.ndim == 1 else np.atleast_2d(means)
        dispersions = np.asarray(dispersion, dtype=np.float64)
        if dispersions.ndim == 1 and means.shape[1] == 1:
            dispersions = dispersions[:, None]
        dispersions = np.broadcast_to(dispersions, means.shape)
        weights = np.broadcast_to(1.0 if weight is None else np.asarray(weight, np.float64), means.shape)
        if not ((means >= 0).all() and (dispersions >= 0).all()):
            raise ValueError("Means and dispersions are numbers of at least 0.")
        if not ((weights >= 0).all() and np.allclose(weights.sum(axis=1), 1, atol=1e-6)):
            raise ValueError("The weights of a mixture are probabilities that add up to 1.")
        return cls(means, dispersions, weights, np.broadcast_to(np.asarray(start, np.int64), len(means)))

    @property
    def mean(self) -> Doubles:
        """Mean, shape [n]."""
        return np.asarray(self.start + (self.weight * self.component_mean).sum(axis=1))

    @property
    def variance(self) -> Doubles:
        """Variance, shape [n]."""
        mean = self.component_mean
        second = mean + (1 + self.component_dispersion) * mean**2
        return np.asarray((self.weight * second).sum(axis=1) - (self.weight * mean).sum(axis=1) ** 2)

    @property
    def lowest(self) -> Ints:
        """Lowest count that is possible, shape [n]."""
        return self.start

    def component(self, number: int) -> NegativeBinomial:
        """The n distributions given that they are of this component."""
        place = slice(number, number + 1)
        one = np.ones((len(self.start), 1))
        return NegativeBinomial(
            self.component_mean[:, place], self.component_dispersion[:, place], one, self.start
        )

    def pmf(self, count: ArrayLike) -> Doubles:
        """P(X = count); 0 where count is no whole number."""
        more = np.asarray(count, dtype=np.float64) - self.start
        known = (more >= 0) & (more == np.floor(more))
        x = np.where(known, more, 0)[..., None]
        mean, dispersion = self.component_mean, self.component_dispersion
        size = 1 / np.maximum(dispersion, POISSON)
        poisson = special.xlogy(x, mean) - mean - special.gammaln(x + 1)
        share = mean / (size + mean)
        # gammaln(x + size) - gammaln(size) cancels badly where size is large; the beta function does not.
        ways = -special.betaln(size, x + 1) - np.log(size + x)
        binomial = ways + size * np.log1p(-share) + special.xlogy(x, share)
        found = np.exp(np.where(dispersion <= POISSON, poisson, binomial))
        return np.where(known, (self.weight * found).sum(axis=-1), 0.0)

    def cdf(self, count: ArrayLike) -> Doubles:
        """P(X ≤ count)."""
        return self._beside(count, special.betainc, special.pdtr, below=0.0)

    def sf(self, count: ArrayLike) -> Doubles:
        """P(X > count), exact in the tail."""
        return self._beside(count, special.betaincc, special.pdtrc, below=1.0)

    def _beside(self, count: ArrayLike, binomial: Any, poisson: Any, below: float) -> Doubles:
        more = np.floor(np.asarray(count, dtype=np.float64)) - self.start
        x = np.maximum(more, 0)[..., None]
        mean, dispersion = self.component_mean, self.component_dispersion
        size = 1 / np.maximum(dispersion, POISSON)
        found = np.where(dispersion <= POISSON, poisson(x, mean), binomial(size, x + 1, size / (size + mean)))
        return np.where(more < 0, below, (self.weight * found).sum(axis=-1))


@dataclass(frozen=True)
class Tabulated(CountDistribution):
    """A probability for each count.

    Attributes:
        table: Probabilities of start, start + 1, ..., shape [n, m]; rows add up to 1.
        start: Count of the first column, shape [n].
    """

    table: Doubles
    start: Ints

    @classmethod
    def of(cls, table: ArrayLike, start: ArrayLike = 0) -> Tabulated:
        """Make n distributions of weights of at least 0, shape [n, m]; rows are made to add up to 1."""
        weights = np.atleast_2d(np.asarray(table, dtype=np.float64))
        starts = np.broadcast_to(np.asarray(start, np.int64), len(weights))
        return cls(weights / weights.sum(axis=1, keepdims=True), starts)

    @property
    def counts(self) -> Ints:
        """The count of each element of the table, shape [n, m]."""
        return self.start[:, None] + np.arange(self.table.shape[1])

    @property
    def mean(self) -> Doubles:
        """Mean, shape [n]."""
        return np.asarray((self.table * self.counts).sum(axis=1))

    @property
    def variance(self) -> Doubles:
        """Variance, shape [n]."""
        return np.asarray((self.table * (self.counts - self.mean[:, None]) ** 2).sum(axis=1))

    @property
    def lowest(self) -> Ints:
        """Lowest count that is possible, shape [n]."""
        return np.asarray(self.start + (self.table > 0).argmax(axis=1))

    def pmf(self, count: ArrayLike) -> Doubles:
        """P(X = count); 0 where count is no whole number."""
        place = np.asarray(count, dtype=np.float64) - self.start
        known = (place >= 0) & (place < self.table.shape[1]) & (place == np.floor(place))
        return np.where(known, self._look(self.table, place), 0.0)

    def cdf(self, count: ArrayLike) -> Doubles:
        """P(X ≤ count)."""
        place = np.floor(np.asarray(count, dtype=np.float64)) - self.start
        up_to = np.minimum(np.cumsum(self.table, axis=1), 1.0)
        found = np.where(place < self.table.shape[1] - 1, self._look(up_to, place), 1.0)
        return np.where(place < 0, 0.0, found)

    def sf(self, count: ArrayLike) -> Doubles:
        """P(X > count), exact in the tail."""
        place = np.floor(np.asarray(count, dtype=np.float64)) - self.start
        beyond = np.zeros_like(self.table)
        beyond[:, :-1] = np.cumsum(self.table[:, :0:-1], axis=1)[:, ::-1]
        found = np.where(place < self.table.shape[1] - 1, self._look(np.minimum(beyond, 1.0), place), 0.0)
        return np.where(place < 0, 1.0, found)

    def tabulated(self) -> Tabulated:
        """Itself."""
        return self

    def times(self, factor: int) -> Tabulated:
        """The distribution of factor × X, for a whole factor that is not 0."""
        rows, width = self.table.shape
        stretched = np.zeros((rows, (width - 1) * abs(factor) + 1))
        stretched[:, :: abs(factor)] = self.table
        if factor > 0:
            return Tabulated(stretched, self.start * factor)
        return Tabulated(stretched[:, ::-1], (self.start + width - 1) * factor)

    def _look(self, table: Doubles, place: np.ndarray[Any, Any]) -> Doubles:
        column = np.clip(place, 0, table.shape[1] - 1).astype(np.int64)
        return np.asarray(table[np.broadcast_to(np.arange(len(table)), column.shape), column])


def total(parts: Sequence[CountDistribution]) -> Tabulated:
    """The distribution of the sum of independent counts, n of each: their convolution."""
    tables = [part.tabulated() for part in parts]
    width = sum(one.table.shape[1] - 1 for one in tables) + 1
    size = fft.next_fast_len(width, real=True)
    product = fft.rfft(tables[0].table, size)
    for one in tables[1:]:
        product = product * fft.rfft(one.table, size)
    # The transform leaves noise of 1e-17 where a sum is impossible.
    table = np.maximum(fft.irfft(product, size)[:, :width], 0.0)
    return Tabulated.of(table, sum(one.start for one in tables))


def mixed(parts: Sequence[CountDistribution], weights: ArrayLike) -> Tabulated:
    """The mixture of distributions of different kinds.

    Args:
        parts: k objects of n distributions each.
        weights: Probability of each part, shape [n, k] or [k].
    """
    tables = [part.tabulated() for part in parts]
    chosen = np.broadcast_to(np.asarray(weights, np.float64), (len(tables[0].start), len(tables)))
    start = np.min([one.start for one in tables], axis=0)
    width = int(max((one.start - start + one.table.shape[1]).max() for one in tables))
    counts = start + np.arange(width)[:, None]
    found = sum(chosen[:, place] * one.pmf(counts) for place, one in enumerate(tables))
    return Tabulated.of(np.asarray(found).T, start)
