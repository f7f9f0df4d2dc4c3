"""Numbers that others have published for the named tasks, each with where it was read.

They are no part of a comparison of ours: other recipes, other budgets, in part other splits.
"""

from typing import NamedTuple

HGE = "Khan et al. 2025, Hyperbolic genome embeddings, arXiv:2507.21648"
DNABERT2 = "Zhou et al. 2023, DNABERT-2, arXiv:2306.15006"
ILNN = "arXiv:2602.23981"
HBNN = "arXiv:2602.18858"
LATER = "later work on hyperbolic networks"
SECONDARY = "; quoted from a secondary source"


class Published(NamedTuple):
    """A score on a named task, between 0 and 1."""

    task: str
    model: str
    metric: str
    value: float
    source: str


PUBLISHED = (
    Published("gue/H3", "DNABERT-2", "mcc", 0.7827, DNABERT2),
    Published("gue/H3", "NT-2500M-multi", "mcc", 0.7877, DNABERT2),
    Published("gue/H3K14ac", "DNABERT-2", "mcc", 0.5257, DNABERT2),
    Published("gue/H3K14ac", "NT-2500M-multi", "mcc", 0.5620, DNABERT2),
    Published("gue/prom_300_all", "DNABERT-2", "mcc", 0.8677, DNABERT2),
    Published("gue/prom_300_all", "NT-2500M-multi", "mcc", 0.9101, DNABERT2),
    Published("gue/prom_core_tata", "DNABERT-2", "mcc", 0.7417, DNABERT2),
    Published("gue/prom_core_tata", "NT-2500M-multi", "mcc", 0.7297, DNABERT2),
    Published("gue/prom_core_tata", "HGE's best", "mcc", 0.799, HGE + SECONDARY),
    Published("gue/prom_core_tata", "HBNN", "mcc", 0.8283, HBNN + SECONDARY),
    Published("gue/prom_core_tata", "ILNN", "mcc", 0.8390, ILNN + SECONDARY),
    Published("gue/tf/0", "DNABERT-2", "mcc", 0.7199, DNABERT2),
    Published("gue/tf/0", "NT-2500M-multi", "mcc", 0.6664, DNABERT2),
    Published("gue/splice", "DNABERT-2", "mcc", 0.8499, DNABERT2),
    Published("gue/splice", "NT-2500M-multi", "mcc", 0.8935, DNABERT2),
    Published("gue/covid", "HCNN-S", "mcc", 0.3671, HGE + SECONDARY),
    Published("gue/covid", "ILNN", "mcc", 0.6476, ILNN + SECONDARY),
    Published("teb/lines", "HCNN-S", "mcc", 0.7612, HGE + SECONDARY),
    Published("teb/lines", "PVNN", "mcc", 0.8183, LATER + SECONDARY),
    Published("teb/sines", "HCNN-S", "mcc", 0.8545, HGE + SECONDARY),
    Published("teb/sines", "PVNN", "mcc", 0.9378, LATER + SECONDARY),
    Published("teb/processed_pseudogenes", "CNN", "mcc", 0.6066, HGE + SECONDARY),
    Published("teb/processed_pseudogenes", "ILNN", "mcc", 0.7026, ILNN + SECONDARY),
    Published("teb/unprocessed_pseudogenes", "CNN", "mcc", 0.5194, HGE + SECONDARY),
    Published("teb/unprocessed_pseudogenes", "ILNN", "mcc", 0.6490, ILNN + SECONDARY),
)


def published(task: str, metric: str) -> list[Published]:
    """What is known of a task in that metric, the best first."""
    found = [record for record in PUBLISHED if (record.task, record.metric) == (task, metric)]
    return sorted(found, key=lambda record: -record.value)
