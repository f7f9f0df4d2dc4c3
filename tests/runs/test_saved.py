"""Run folders that are there: their inputs are found again, or refused."""

import json

import pytest

from crocuta.errors import InputError
from crocuta.files import write_json
from crocuta.runs.manifest import describe
from crocuta.runs.saved import SavedRun


@pytest.mark.parametrize("old", [False, True], ids=["now", "0.1.0"])
def test_an_input_is_the_same_still_or_refused(tmp_path, old):
    data, run = tmp_path / "edges.tsv", tmp_path / "run"
    data.write_text("a\tb\n")
    record = describe(data)
    config = {"config": {}} if old else {"kind": "lab graph train", "inputs": {"data": [record]}}
    write_json(run / "config.json", config)
    write_json(run / "metrics.json", {})
    write_json(run / "manifest.json", {"data": [record]})
    saved = SavedRun(run, "lab graph train")
    assert saved.input("data") == data
    moved = data.rename(tmp_path / "moved.tsv")
    with pytest.raises(InputError, match=r"edges\.tsv: no such file or folder; .*`data`"):
        saved.input("data")
    assert saved.input("data", moved) == moved
    moved.write_text("a\tc\n")
    with pytest.raises(InputError, match=rf"not what the run .* then it was {record['sha256'][:12]}"):
        saved.input("data", moved)
    assert json.loads((run / "metrics.json").read_text()) == {}
