"""Models x tasks x seeds from one call: resumable, parallel, with baselines, published numbers and pictures."""

from crocuta.bench.cells import BASELINES, Cell, TaskSource, find_source
from crocuta.bench.run import Bench, Failure, bench, estimate

__all__ = ["BASELINES", "Bench", "Cell", "Failure", "TaskSource", "bench", "estimate", "find_source"]
