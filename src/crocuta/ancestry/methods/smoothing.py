"""Chains that smooth evidence of ancestry along a chromosome: one haplotype, or both of a person with phase errors.

Between two places d centimorgans apart an ancestry is drawn anew with probability 1 - exp(-generations d / 100), and
phase is switched with probability (1 - exp(-2 phase_switches d)) / 2 (Haldane's map: an odd number of switches).
Shapes: H haplotypes (two neighbours a person), P individuals, T places, K populations.
"""

from dataclasses import dataclass, replace

import numpy as np

LEAST_CM = 1e-5
GENERATIONS = (2.0, 4.0, 8.0, 16.0, 32.0, 64.0)
INDIVIDUALS, PLACES = 40, 3000  # of a cohort: enough to find its rates
SWITCHES = (0.001, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class ChainSettings:
    """`generations` since admixture; `phase_switches` per cM; `temperature` that the log-likelihoods are divided by.

    `floor` is added to likelihoods relative to the best: a single place may make an ancestry at most so improbable,
    since a haplotype's nearest relative is at times of another population.
    """

    generations: float = 10.0
    phase_switches: float = 0.1
    temperature: float = 1.0
    floor: float = 0.1


def smooth_haplotypes(
    evidence: np.ndarray, cm: np.ndarray, settings: ChainSettings, prior: np.ndarray | None = None
) -> np.ndarray:
    """Posterior (H, T, K) of each haplotype alone, by forward-backward on log-likelihoods `evidence` (H, T, K).

    `cm` (T,) places; `prior` (H, K), default uniform.
    """
    emission, stay = _scaled(evidence, settings), _stay(cm, settings)
    count, places, populations = evidence.shape
    prior = np.full((count, populations), 1 / populations) if prior is None else prior
    found, state = np.empty((places, count, populations)), prior
    for t in range(places):
        state = (stay[t] * state + (1 - stay[t]) * prior) * emission[:, t]
        state /= state.sum(1, keepdims=True)
        found[t] = state
    back = np.ones_like(state)
    for t in range(places - 1, -1, -1):
        found[t] *= back
        back *= emission[:, t]
        back = stay[t] * back + (1 - stay[t]) * (back * prior).sum(1, keepdims=True)
        back /= back.max(1, keepdims=True)
    return (found / found.sum(2, keepdims=True)).transpose(1, 0, 2)


class _Pairs:
    """Ordered pairs of ancestries of a person: states (P, K, K), first and second haplotype."""

    def __init__(self, evidence: np.ndarray, cm: np.ndarray, settings: ChainSettings):
        count, places, populations = evidence.shape
        single = _scaled(evidence, settings).reshape(count // 2, 2, places, populations).transpose(2, 0, 1, 3)
        self.first, self.second = single[:, :, 0, :, None], single[:, :, 1, None, :]
        self.stay = _stay(cm, settings)
        # An odd number of phase errors swaps the haplotypes, an even number undoes itself (Haldane 1919).
        self.swap = (1 - np.exp(-2 * settings.phase_switches * _distance(cm))) / 2
        self.places, self.populations = places, populations
        self.start = np.full((count // 2, populations, populations), populations**-2.0)

    def emit(self, state: np.ndarray, t: int) -> np.ndarray:
        return state * self.first[t] * self.second[t]

    def step(self, state: np.ndarray, t: int) -> np.ndarray:
        """Over the gap before place t. Its matrix is symmetric (the prior is uniform), so it serves backward too."""
        stay, swap, share = self.stay[t], self.swap[t], (1 - self.stay[t]) / self.populations
        # (K^2 x K^2) transitions without a matrix: the haplotypes recombine independently, so the step factorises over
        # the two axes, and to draw anew from a uniform prior is to add a share of the sum. O(K^2) instead of O(K^4).
        for axis in (1, 2):
            state = stay * state + share * state.sum(axis, keepdims=True)
        return (1 - swap) * state + swap * state.transpose(0, 2, 1)


def smooth_individuals(evidence: np.ndarray, cm: np.ndarray, settings: ChainSettings) -> np.ndarray:
    """Posterior (H, T, K) of both haplotypes of each person at once, whose phase may be wrong in places.

    `evidence` (H, T, K) log-likelihoods of the haplotypes as they are written; `cm` (T,).
    """
    pairs = _Pairs(evidence, cm, settings)
    found = np.empty((pairs.places, *pairs.start.shape))
    state = pairs.start
    for t in range(pairs.places):
        state = pairs.emit(pairs.step(state, t), t)
        state /= state.sum((1, 2), keepdims=True)
        found[t] = state
    back = np.ones_like(state)
    for t in range(pairs.places - 1, -1, -1):
        found[t] *= back
        back = pairs.step(pairs.emit(back, t), t)
        back /= back.max((1, 2), keepdims=True)
    found /= found.sum((2, 3), keepdims=True)
    both = np.stack(
        [found.sum(3), found.sum(2)], 1
    )  # places, haplotypes of a person, individuals, populations
    return both.transpose(2, 1, 0, 3).reshape(evidence.shape)


def log_likelihood(evidence: np.ndarray, cm: np.ndarray, settings: ChainSettings) -> float:
    """Of evidence (H, T, K) under the chain of `smooth_individuals`, but for a constant of the evidence."""
    pairs = _Pairs(evidence, cm, settings)
    state, total = pairs.start, 0.0
    for t in range(pairs.places):
        state = pairs.emit(pairs.step(state, t), t)
        mass = state.sum((1, 2), keepdims=True)
        total += float(np.log(mass).sum())
        state = state / mass
    return total


def estimate_chain(evidence: np.ndarray, cm: np.ndarray, settings: ChainSettings) -> ChainSettings:
    """The generations and the rate of phase switches under which evidence (H, T, K) is most probable; no truth needed.

    Two rounds over `GENERATIONS` and `SWITCHES`, one after the other, on the first `PLACES` places of `INDIVIDUALS`
    individuals.
    """
    evidence, cm = evidence[: 2 * INDIVIDUALS, :PLACES], cm[:PLACES]
    known: dict[ChainSettings, float] = {}

    def likelihood(trial: ChainSettings) -> float:
        if trial not in known:
            known[trial] = log_likelihood(evidence, cm, trial)
        return known[trial]

    for _ in range(2):
        for name, values in (("phase_switches", SWITCHES), ("generations", GENERATIONS)):
            settings = max((replace(settings, **{name: value}) for value in values), key=likelihood)
    return settings


def _scaled(evidence: np.ndarray, settings: ChainSettings) -> np.ndarray:
    """Likelihoods relative to the best population of a place; never 0, which would leave no path."""
    relative = np.exp(evidence - evidence.max(2, keepdims=True), dtype=np.float64)
    return (relative + max(settings.floor, 1e-30)) ** (1 / settings.temperature)


def _distance(cm: np.ndarray) -> np.ndarray:
    """To the place before; 0 for the first."""
    return np.append(0.0, np.maximum(np.diff(cm), LEAST_CM))


def _stay(cm: np.ndarray, settings: ChainSettings) -> np.ndarray:
    return np.exp(-settings.generations * _distance(cm) / 100)
