"""What Gromov's delta of points would cost, from one subset of them."""

import time

import numpy as np
import torch

from crocuta.analysis.distances import Distances
from crocuta.runs.cost import Cost, PeakMemory
from crocuta.runs.device import available_mb, used_mb
from crocuta.trees.delta import measure, steps
from crocuta.trees.nulls import NULLS

QUADRUPLES = 200  # points whose quadruples are timed, for those of all points
MATRICES = 4  # of all distances, that the exact delta holds at once


def estimate_hyperbolicity(points: Distances, subset: int, exact_up_to: int, nulls: int) -> Cost:
    """Time and memory of `crocuta.trees.delta.measure` with these settings."""
    cpu, size = torch.device("cpu"), min(subset, points.n)
    chosen = np.random.default_rng(0).choice(points.n, size, replace=False)
    with PeakMemory(cpu) as held:
        points.matrix(np.sort(chosen))
        start = time.perf_counter()
        measure(points, subset=size, subsets=1, exact_up_to=0, nulls=1)
        each = (time.perf_counter() - start) / (1 + len(NULLS))  # about alike
    seconds = each * steps(points.n, subset, nulls)
    memory = held.added / 2**20
    if points.n <= exact_up_to:
        timed = min(points.n, QUADRUPLES)
        start = time.perf_counter()
        measure(points, subset=timed, subsets=1, exact_up_to=0, nulls=0)
        seconds += (time.perf_counter() - start) * (points.n / timed) ** 4
        memory = max(memory, MATRICES * 8 * points.n**2 / 2**20)
    return Cost(seconds, used_mb(cpu) + memory, available_mb(cpu))
