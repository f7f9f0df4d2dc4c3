"""Pictures and pages of maps: every point, every class, and text that cannot break out of the page."""

import json
import re

import numpy as np
import pytest

from crocuta.analysis.embeddings import Embeddings
from crocuta.analysis.maps import make_map
from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global pandas, MOST_CLASSES, colouring, disk_reach, rings, write_map
    import pandas

    from crocuta.report.maps import MOST_CLASSES, colouring, disk_reach, rings, write_map


@pytest.fixture
def embeddings():
    generator = np.random.default_rng(0)
    obs = pandas.DataFrame(
        {"kind": generator.choice(["</script><b>", "two", "three"], 40), "gc": generator.random(40)},
        index=[f"s{i}" for i in range(40)],
    )
    return Embeddings(generator.standard_normal((40, 4)), obs, name="e.h5ad")


def data_of(page):
    return json.loads(re.search(r"const data = (.*);\n", page)[1])


def test_pictures_are_written_whole(embeddings, tmp_path):
    maps = [make_map(embeddings, "pca")]
    for name, magic in (("m.png", b"\x89PNG"), ("m.svg", b"<?xml"), ("m.html", b"<!DOCTYPE")):
        for column in ("kind", "gc", None):
            write_map(tmp_path / name, maps, embeddings, column)
            assert (tmp_path / name).read_bytes().startswith(magic)
    write_map(tmp_path / "m.svg", maps * 2, embeddings, "kind")
    assert "three" in (tmp_path / "m.svg").read_text()
    with pytest.raises(InputError, match=r"suffix '.pdf', expected .png"):
        write_map(tmp_path / "m.pdf", maps, embeddings)
    with pytest.raises(InputError, match="no column 'label'"):
        write_map(tmp_path / "m.png", maps, embeddings, "label")


def test_the_page_holds_all_points_and_hides_no_script(embeddings, tmp_path):
    write_map(tmp_path / "m.html", [make_map(embeddings, "pca")], embeddings, "kind")
    page = (tmp_path / "m.html").read_text()
    assert page.count("</script>") == 1
    data = data_of(page)
    assert len(data["maps"][0]["points"]) == len(data["texts"]) == 40
    assert all(0 <= value <= 1000 for point in data["maps"][0]["points"] for value in point)
    assert sum(entry["count"] for entry in data["classes"]) == 40
    assert data["texts"][0].startswith("s0\nkind: ")
    write_map(tmp_path / "m.html", [make_map(embeddings, "pca")], embeddings, "gc")
    data = data_of((tmp_path / "m.html").read_text())
    assert len(data["fills"]) == 40
    assert data["classes"] == []


def test_colours_by_what_the_column_holds():
    texts = np.array([f"chr{i}" for i in range(1, 21) for _ in range(21 - i)])
    found = colouring(texts, "contig")
    assert found.names == [f"chr{i}" for i in range(1, MOST_CLASSES + 1)]
    assert (found.index < 0).sum() == sum(range(1, 9))
    assert colouring(np.arange(20), "n").values is not None
    assert colouring(np.arange(20) % 3, "n").names == ["0", "1", "2"]
    assert colouring(np.array([True, False]), "n").names == ["False", "True"]
    assert colouring(np.array([0.5, 0.25]), "n").values is not None


def test_the_disk_zooms_where_all_points_are_near_the_middle():
    assert disk_reach(np.array([[0.9, 0.0]])) > 1
    near = disk_reach(np.array([[0.01, 0.0]]))
    assert 0.01 < near < 0.02
    assert all(0 < radius < near for _, radius in rings(near))
    assert [distance for distance, _ in rings(1.02)] == [0.5, 1, 2, 3, 4]
