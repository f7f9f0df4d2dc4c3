"""docs/results.md is what its script makes of the result files: no figure on it is typed by hand."""

import importlib
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def script():
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("page")
    sys.path.remove(str(ROOT / "benchmarks"))
    del sys.modules["page"]


def test_page_is_what_its_script_writes(script):
    assert script.PAGE.read_text() == script.page(), "run python benchmarks/page.py"


def test_verdict_follows_the_interval(script):
    rows = [
        {
            "task": task,
            "model": "hcnn-s",
            "to_cnn": {"difference": (low + high) / 2, "low": low, "high": high},
        }
        for task, low, high in (("up", 0.01, 0.03), ("even", -0.01, 0.02), ("down", -0.04, -0.01))
    ]
    said = script.verdicts(rows).splitlines()[0]
    assert said == "- HCNN-S: ahead on up (+0.020); level on even (+0.005); behind on down (-0.025)."
