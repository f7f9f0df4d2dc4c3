"""docs/modules.md says what is true: classes, tests and costs exist, and the page is what its script writes."""

import ast
import importlib
import sys
from pathlib import Path

import pytest

import crocuta.manifolds
import crocuta.nn
import crocuta.optim


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global crocuta
    import crocuta.retrieval


ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="module")
def page():
    """The script that writes the page, and through it the records."""
    sys.path.insert(0, str(ROOT / "benchmarks"))
    yield importlib.import_module("modules")
    sys.path.remove(str(ROOT / "benchmarks"))
    for name in ("modules", "module_costs", "module_records", "module_notes"):
        del sys.modules[name]


def test_page_is_what_its_script_writes(page):
    assert page.PAGE.read_text() == page.render(), "run python benchmarks/modules.py"


def test_every_class_exists(page):
    homes = page.HOMES
    named = [name for modules in page.GROUPS.values() for module in modules for name in module.classes]
    missing = [name for name in named if not any(name in home.__all__ for home in homes)]
    assert not missing


def test_every_layer_has_a_row(page):
    named = {name for modules in page.GROUPS.values() for module in modules for name in module.classes}
    assert not set(crocuta.nn.__all__) - named
    assert not set(page.FLOOR) - named


def test_every_test_exists(page):
    rows = [row for modules in page.GROUPS.values() for row in modules] + list(page.FAILURES)
    for test in {test for row in rows for test in row.tests}:
        path, name = test.split("::")
        functions = [node.name for node in ast.parse((ROOT / path).read_text()).body if hasattr(node, "name")]
        assert name in functions, test
    assert all(row.tests for row in rows if getattr(row, "original", "") != "Stiefel")


def test_every_material_cost_is_explained(page):
    assert page.layer_costs()
    for name, cost in page.layer_costs().items():
        assert cost.time <= page.MATERIAL or page.FLOOR.get(name), name


def test_every_row_has_a_cost(page):
    found, words = page.layer_costs(), page.other_costs()
    rows = [row for modules in page.GROUPS.values() for row in modules]
    assert [row.original for row in rows if not page.cost_cells(row, found, words)[0]] == []
    assert set(words) <= {row.original for row in rows}
