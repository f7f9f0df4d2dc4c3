"""The pictures of delta, and the manifolds that stand beside the data."""

import numpy as np
import pytest

from crocuta.analysis.distances import Points
from crocuta.trees.delta import four_point, measure, random_quadruples


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global NullLine, delta_json, distributions, overview, references, summary_rows, styled
    from crocuta.report.style import styled
    from crocuta.trees.page import NullLine, delta_json, distributions, overview, references, summary_rows


def test_reference_manifolds_are_ordered():
    """Negative, zero, positive curvature: delta grows."""
    quadruples = random_quadruples(200, 20_000, np.random.default_rng(0))
    matrices = references(200, 3.2, np.random.default_rng(0))
    assert list(matrices) == ["hyperbolic, d = 3", "Euclidean, d = 3", "sphere, d = 3"]
    means = [four_point(D, quadruples).mean() / D.max() for D in matrices.values()]
    assert means[0] < 0.6 * means[1]
    assert means[1] < means[2]


def test_figures_and_tables_say_what_was_found():
    points = Points(np.random.default_rng(0).standard_normal((40, 3)), "my points")
    found = measure(points, nulls=3, quadruples=500)
    with styled():
        text = " ".join(t.get_text() for t in distributions("my points", points, found).axes[0].texts)
        page = overview([NullLine("my points", 0.1, 0.2, 0.3, 0.25)])
    assert "my points" in text
    assert "sphere, d = 3" in text
    assert {t.get_text() for t in page.axes[0].texts} == {"my points", "p = 0.250"}
    rows = summary_rows(found)
    assert [row[0] for row in rows[:2]] == ["all points, exact", "all points"]
    assert rows[0][1] == f"{found.relative:.4f}"
    tests = delta_json("my points", found)["tests"]
    assert set(tests) == {"gaussian", "spherical", "permuted"}
    assert tests["gaussian"]["draws"] == 3
