"""What trainings over several seeds share: the folder they go on in, and scores of all seeds."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from crocuta.analysis.bootstrap import mean_sd
from crocuta.errors import InputError


def mean_over_seeds(fits: list[dict[str, Any]]) -> dict[str, Any]:
    """Mean and standard deviation (None of one seed) of every score of "valid" and of "test"."""
    found: dict[str, Any] = {}
    for part in ("valid", "test"):
        found[part] = {}
        for name in fits[0][part]:
            mean, sd = mean_sd([fit[part][name] for fit in fits])
            found[part][name] = {"mean": mean, "sd": sd if math.isfinite(sd) else None}
    return found


def check_folder(output: Path, asked: dict[str, Any], resume: bool) -> None:
    """Makes sure that `output` is empty, or holds the same run, to be resumed; the number of seeds may differ.

    Raises:
        InputError: a run is there and `resume` is false, or it was started with other settings.
    """
    path = output / "config.json"
    if not path.exists():
        return
    if not resume:
        raise InputError(f"{output}: holds a run already; --resume goes on with it, or take another --output")
    before = json.loads(path.read_text())
    for key in asked:
        if key != "seeds" and json.loads(json.dumps(asked[key])) != before.get(key):
            raise InputError(
                f"{output}: was started with {key} = {before.get(key)}, now it is {asked[key]}; "
                "take another --output"
            )
