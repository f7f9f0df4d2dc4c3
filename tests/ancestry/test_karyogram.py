import json
import re

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants.tracts import Segments, Tract, Tracts, write_bed


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global PolyCollection, Person, check_suffixes, draw, read_individuals, write_karyogram, styled
    from matplotlib.collections import PolyCollection

    from crocuta.ancestry.karyogram import Person, check_suffixes, draw, read_individuals, write_karyogram
    from crocuta.report.style import styled


TRACTS = (
    Tract("chr1", 0, 60_000_000, "AFR", 0.99, 0),
    Tract("chr1", 60_000_000, 100_000_000, "EUR", 0.7, 0),
    Tract("chr1", 0, 100_000_000, "EUR", 0.98, 1),
    Tract("chr2", 0, 50_000_000, "AFR", 0.95, 0),
    Tract("chr2", 0, 50_000_000, "EAS", 0.95, 1),
)


@pytest.fixture
def person():
    return Person("NA1 & <2>", ("AFR", "EAS", "EUR"), TRACTS)


def test_shares_go_by_length(person):
    np.testing.assert_allclose(person.shares(), [110 / 300, 50 / 300, 140 / 300])
    np.testing.assert_allclose(person.shares("chr2"), [0.5, 0.5, 0])
    assert person.doubtful() == pytest.approx(40 / 300)


def test_every_tract_is_drawn_and_the_doubtful_are_hatched(person):
    with styled():
        figure = draw(person)
    painted = figure.axes[1]
    bars = [c for c in painted.collections if isinstance(c, PolyCollection)]
    hatched = [bar for bar in bars if bar.get_hatch()]
    assert len(hatched) == 1
    (box,) = (path.get_extents() for path in hatched[0].get_paths())
    assert (box.x0, box.x1) == (60, 100)
    outlines = 2 * len(person.chromosomes)
    assert len(bars) == len(TRACTS) + 1 + outlines
    assert [label.get_text() for label in painted.get_yticklabels()] == ["1", "2"]


@pytest.mark.parametrize("suffix", [".png", ".svg", ".html"])
def test_files_are_written(person, tmp_path, suffix):
    output = tmp_path / f"a{suffix}"
    write_karyogram(output, person)
    content = output.read_bytes()
    assert len(content) > 1000
    if suffix == ".html":
        text = content.decode()
        assert "<h1>NA1 &amp; &lt;2&gt;</h1>" in text
        assert "<td>36.7%</td>" in text
        assert not re.search(r"(src|href)=\"https?:", text)


def test_people_are_read_from_what_infer_wrote(tmp_path):
    segments = Segments("1", np.array([1, 10]), np.array([10, 21]), np.zeros(2), np.ones(2), np.array([3, 3]))
    posterior = np.array([[[0.99, 0.01], [0.2, 0.8]], [[0.95, 0.05], [0.96, 0.04]]], np.float32)
    write_bed(tmp_path / "bed" / "s.bed", [Tracts(("s",), ("A", "B"), segments, posterior)], 0)
    (tmp_path / "summary.json").write_text(json.dumps({"samples": ["s"], "populations": ["A", "B"]}))
    (found,) = read_individuals(tmp_path)
    np.testing.assert_allclose(found.shares(), [29 / 40, 11 / 40])
    with pytest.raises(InputError, match="no sample 'x'; it has 1, such as s"):
        read_individuals(tmp_path, ["x"])
    with pytest.raises(InputError, match="expected a folder filled by crocuta ancestry infer"):
        read_individuals(tmp_path / "none")


def test_other_suffixes_and_nobody_are_told(tmp_path):
    with pytest.raises(InputError, match=r"'\.pdf', expected"):
        check_suffixes([tmp_path / "a.pdf"])
    with pytest.raises(InputError, match="no tracts to paint"):
        write_karyogram(tmp_path / "a.png", Person("s", ("A",), ()))
