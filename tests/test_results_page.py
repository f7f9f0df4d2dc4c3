"""docs/results.md and README's tables are what their scripts make of the result files: no figure is typed by hand."""

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
    for name in ("page", "overview"):
        del sys.modules[name]


def test_page_is_what_its_script_writes(script):
    assert script.PAGE.read_text() == script.page(), "run python benchmarks/page.py"


def test_readme_is_what_its_script_writes(script):
    overview = sys.modules["overview"]
    assert overview.README.read_text() == overview.readme(), "run python benchmarks/overview.py"


def test_a_row_names_its_strongest_rival_and_says_who_wins(script):
    row = sys.modules["overview"].Row("task", "ours", 0.80, {"weak": 0.70, "strong": 0.85}, margin=0.02)
    assert row.cells() == ["task", "ours", "0.800", "strong", "0.850", "**behind**"]
    assert row._replace(margin=0.06).outcome == "level"
    assert row._replace(lower_is_better=True).cells()[3:] == ["weak", "0.700", "**behind**"]
    assert row._replace(rivals={"weak": 0.70}).outcome == "ahead"


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
