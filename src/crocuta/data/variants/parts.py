"""Folders of finished parts, from which an interrupted work goes on."""

import json
import shutil
from pathlib import Path

from crocuta.files import write_json


def prepare_parts(folder: Path, plan: dict, resume: bool) -> None:
    """An empty folder, or with `resume` the one that an earlier call with the same plan (of JSON's types) left."""
    path = folder / "plan.json"
    if resume and path.exists() and json.loads(path.read_text()) == json.loads(json.dumps(plan)):
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    write_json(path, plan)
