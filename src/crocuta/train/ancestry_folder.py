"""The folder of a run of ancestry training: whether one may begin, go on, or has ended."""

import json
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from crocuta.errors import InputError
from crocuta.files import write_json

CONFIG, METRICS = "config.json", "metrics.json"


def kept_settings(recipe: Any) -> dict[str, Any]:
    """Settings of a recipe (a dataclass) that a resumed run must share: all but fields marked "free"."""
    free = {field.name for field in fields(recipe) if field.metadata.get("free")}
    return {name: value for name, value in asdict(recipe).items() if name not in free}


def check_folder(output: Path, resume: bool) -> None:
    """Raises InputError if the folder holds a run and `resume` is not set."""
    if (output / CONFIG).exists() and not resume:
        raise InputError(
            f"{output}: holds a run already; use --resume to go on with it, or choose another folder"
        )


def begin(output: Path, settings: dict[str, Any], resume: bool) -> bool:
    """Makes the folder, or checks that it began with these settings; True: its run has ended.

    Raises:
        InputError: the folder holds a run and `resume` is not set, or one with other settings.
    """
    check_folder(output, resume)
    path = output / CONFIG
    if not path.exists():
        output.mkdir(parents=True, exist_ok=True)
        write_json(path, settings)
        return False
    before, wanted = json.loads(path.read_text()), json.loads(json.dumps(settings))
    for part, values in wanted.items():
        if before.get(part) != values:
            raise InputError(
                f"{output}: began with other settings ({part}); resume with the same, or choose another folder"
            )
    return (output / METRICS).exists()
