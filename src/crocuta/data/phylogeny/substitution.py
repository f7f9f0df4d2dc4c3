"""Time-reversible models of DNA substitution, scaled to one substitution per site and unit of branch length."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np


class SubstitutionModel:
    """A reversible model: `Q_ij = exchangeability_ij pi_j`, order A, C, G, T, mean rate 1.

    Rates vary over sites as Gamma(shape=gamma, mean=1); `gamma=None`: all sites evolve at rate 1. (Yang 1994,
    J Mol Evol 39:306, without its discretisation: every site draws its own rate.)

    Args:
        exchangeabilities: symmetric, (4, 4), the diagonal is not read.
        frequencies: stationary shares of A, C, G, T.
        gamma: shape, > 0; small values mean that few sites change often.
    """

    def __init__(
        self, exchangeabilities: np.ndarray, frequencies: Sequence[float], gamma: float | None = None
    ):
        pi = np.asarray(frequencies, np.float64)
        if pi.shape != (4,) or (pi <= 0).any():
            raise ValueError(
                f"frequencies must be four positive numbers for A, C, G, T, got {list(frequencies)}"
            )
        if gamma is not None and not gamma > 0:
            raise ValueError(f"gamma must be positive, or None for equal rates, got {gamma}")
        self.frequencies, self.gamma = pi / pi.sum(), gamma
        Q = exchangeabilities * self.frequencies
        np.fill_diagonal(Q, 0)
        np.fill_diagonal(Q, -Q.sum(1))
        self.Q = Q / -(self.frequencies * Q.diagonal()).sum()

    @cached_property
    def _spectrum(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Q = left diag(values) right, from the symmetric matrix that reversibility gives."""
        root = np.sqrt(self.frequencies)
        values, vectors = np.linalg.eigh(root[:, None] * self.Q / root)
        return values, vectors / root[:, None], vectors.T * root

    def transition(self, time: float | np.ndarray) -> np.ndarray:
        """`expm(Q time)` for times of any shape, (..., 4, 4); without rate variation."""
        values, left, right = self._spectrum
        grown = np.exp(np.asarray(time, np.float64)[..., None] * values)
        return np.clip(np.einsum("ik,...k,kj->...ij", left, grown, right), 0, 1)

    def expected_difference(self, time: float) -> float:
        """Expected share of differing sites between two sequences `time` apart, rate variation included.

        With rates ~ Gamma(a, mean 1), the mean of exp(v r t) is (1 - v t / a)^-a.
        """
        values, left, right = self._spectrum
        mean = (
            np.exp(values * time) if self.gamma is None else (1 - values * time / self.gamma) ** -self.gamma
        )
        return float(1 - self.frequencies @ np.einsum("ik,k,ki->i", left, mean, right))

    def site_rates(self, sites: int, generator: np.random.Generator) -> np.ndarray:
        """A rate for each site, mean 1, float64 (sites,)."""
        if self.gamma is None:
            return np.ones(sites)
        return generator.gamma(self.gamma, 1 / self.gamma, sites)


class HKY(SubstitutionModel):
    """Transitions `kappa` times as fast as transversions (Hasegawa, Kishino, Yano 1985, J Mol Evol 22:160).

    `kappa=1` with equal frequencies is the Jukes-Cantor model.

    >>> HKY(kappa=1).expected_difference(1e9)
    0.75
    """

    def __init__(
        self,
        kappa: float = 2.0,
        frequencies: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        gamma: float | None = None,
    ):
        if not kappa > 0:
            raise ValueError(f"kappa must be positive, got {kappa}")
        exchange = np.ones((4, 4))
        exchange[[0, 2, 1, 3], [2, 0, 3, 1]] = kappa
        super().__init__(exchange, frequencies, gamma)


class GTR(SubstitutionModel):
    """The general time-reversible model (Tavare 1986); six `rates` in the order AC, AG, AT, CG, CT, GT."""

    def __init__(
        self,
        rates: Sequence[float] = (1.0, 2.0, 1.0, 1.0, 2.0, 1.0),
        frequencies: Sequence[float] = (0.25, 0.25, 0.25, 0.25),
        gamma: float | None = None,
    ):
        if len(rates) != 6 or not min(rates) > 0:
            raise ValueError(
                f"rates must be six positive numbers (AC, AG, AT, CG, CT, GT), got {list(rates)}"
            )
        exchange = np.zeros((4, 4))
        exchange[np.triu_indices(4, 1)] = rates
        super().__init__(exchange + exchange.T, frequencies, gamma)
