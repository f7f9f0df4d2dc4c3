"""The 919 chromatin profiles of DeepSEA (Zhou and Troyanskaya 2015, doi:10.1038/nmeth.3547), in the published order."""

import re
from collections.abc import Sequence

import numpy as np

# DNase-hypersensitive sites, transcription factors, histone marks.
PROFILES = {"DHS": 125, "TF": 690, "HM": 104}
TARGETS = sum(PROFILES.values())

_HISTONE = re.compile(r"H\d[A-Z]*K\d|H2AK?\.?Z", re.IGNORECASE)


def profile_names(targets: int) -> list[str] | None:
    """Names of the columns of a table without header: `DHS_1` ... `HM_104`; None unless it has 919 targets."""
    if targets != TARGETS:
        return None
    return [f"{group}_{i}" for group, size in PROFILES.items() for i in range(1, size + 1)]


def label_groups(classes: Sequence[str]) -> dict[str, np.ndarray]:
    """Indices of the classes of each group of chromatin profiles; empty where the classes are something else.

    DeepSEA's names, `cell|mark|treatment`, tell the group; other names do by their place among 919.

    >>> {group: len(found) for group, found in label_groups(["K562|DNase|None", "K562|CTCF|None"]).items()}
    {'DHS': 1, 'TF': 1}
    """
    marks = [name.split("|")[1] if name.count("|") >= 2 else None for name in classes]
    if all(marks):
        groups = np.array([_group(mark or "") for mark in marks])
    elif len(classes) == TARGETS:
        groups = np.repeat(list(PROFILES), list(PROFILES.values()))
    else:
        return {}
    return {group: found for group in PROFILES if len(found := np.flatnonzero(groups == group))}


def _group(mark: str) -> str:
    if mark.lower().startswith("dnase"):
        return "DHS"
    return "HM" if _HISTONE.match(mark) else "TF"
