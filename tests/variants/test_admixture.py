"""A simulated cohort: files that agree with each other, and ancestry that is exact."""

import gzip
import zlib
from itertools import pairwise

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import read_panel
from crocuta.variants.admixture import join_chromosomes, write_chromosome
from crocuta.variants.out_of_africa import (
    POPULATIONS,
    RECOMBINATION_RATE,
    SHARES,
    Admixture,
    AncestralSegments,
    local_ancestry,
    merged,
    random_map,
    simulate_chromosome,
)
from crocuta.variants.truth import COLUMNS, read_truth

SMALL = Admixture(length=300_000, chromosomes=("1", "2"), individuals=(4, 5, 3), admixed=2, seed=3)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, parts = tmp_path_factory.mktemp("admixture"), tmp_path_factory.mktemp("parts")
    join_chromosomes(folder, SMALL, parts, [write_chromosome(SMALL, parts, index) for index in (0, 1)])
    return folder


def rows(path):
    with (gzip.open if path.suffix == ".gz" else open)(path, "rt") as file:
        return [line.rstrip("\n").split("\t") for line in file if not line.startswith("##")]


def test_vcf_names_the_people_of_the_table_and_holds_both_chromosomes(folder):
    header, *lines = rows(folder / "cohort.vcf.gz")
    table = rows(folder / "samples.tsv")
    assert header[9:] == [row[0] for row in table[1:]]
    assert len(table) == 1 + 4 + 5 + 3 + 2 + 2
    assert {line[0] for line in lines} == {"1", "2"}
    assert all(len(line) == len(header) for line in lines)
    places = [(line[0], int(line[1])) for line in lines]
    assert places == sorted(set(places))
    assert all({"0", "1"} == set("".join(line[9:]).replace("|", "")) for line in lines)


def test_packed_as_bgzf_with_its_end(folder):
    data = (folder / "cohort.vcf.gz").read_bytes()
    blocks, start = 0, 0
    while start < len(data):
        size = int.from_bytes(data[start + 16 : start + 18], "little") + 1
        block = data[start : start + size]
        text = zlib.decompress(block[18:-8], -15)
        assert int.from_bytes(block[-8:-4], "little") == zlib.crc32(text)
        assert int.from_bytes(block[-4:], "little") == len(text)
        start += size
        blocks += 1
    assert start == len(data)
    assert text == b""
    assert blocks >= 4


def test_truth_covers_every_admixed_haplotype_without_gaps(folder):
    header, *lines = rows(folder / "truth.tsv.gz")
    segments = {}
    for line in lines:
        row = dict(zip(header, line, strict=True))
        assert row["sample"].startswith(f"ADMIX{row['generations']}_")
        key = row["sample"], row["haplotype"], row["chromosome"]
        segments.setdefault(key, []).append((int(row["start"]), int(row["end"]), row["population"]))
    assert len(segments) == 4 * 2 * 2
    for found in segments.values():
        assert found[0][0] == 1
        assert found[-1][1] == SMALL.length + 1
        for before, after in pairwise(found):
            assert before[1] == after[0]
            assert before[2] != after[2]


def test_map_rises_at_its_own_rates(folder):
    header, *lines = rows(folder / "map.tsv")
    assert header == ["Chromosome", "Position(bp)", "Rate(cM/Mb)", "Map(cM)"]
    position, rate, cm = np.array([line[1:] for line in lines if line[0] == "2"], float).T
    assert np.diff(cm) == pytest.approx(np.diff(position) * rate[:-1] / 1e6, rel=1e-3, abs=1e-8)
    assert cm[-1] == pytest.approx(SMALL.length * RECOMBINATION_RATE * 100)


def test_ancestry_is_the_census_population_at_every_site():
    settings = Admixture(length=200_000, individuals=(2, 2, 2), admixed=6, seed=5)
    trees = simulate_chromosome(settings, 0)
    segments = local_ancestry(trees)
    for time in (8.01, 20.01):
        rows = np.flatnonzero(segments.generations == int(time))
        for row in rows:
            node = trees.samples()[segments.haplotype[row]]
            tree = trees.at((segments.start[row] + segments.end[row]) // 2)
            while trees.nodes_time[node] < time:
                node = tree.parent(node)
            assert trees.nodes_time[node] == time
            assert trees.nodes_population[node] == segments.population[row]


def test_shares_of_the_pulse():
    trees = simulate_chromosome(Admixture(length=400_000, individuals=(1, 1, 1), admixed=150, seed=2), 0)
    found = local_ancestry(trees)
    shares = np.bincount(found.population, weights=found.end - found.start)
    assert shares / shares.sum() == pytest.approx(SHARES, abs=0.05)


def test_merged_joins_neighbours_of_one_population_only():
    before = AncestralSegments(
        *np.array([[0, 0, 0, 1, 1], [0, 5, 9, 0, 4], [5, 9, 12, 4, 12], [2, 2, 0, 0, 0], [8] * 5])
    )
    after = merged(before)
    assert after.haplotype.tolist() == [0, 0, 1]
    assert after.start.tolist() == [0, 9, 0]
    assert after.end.tolist() == [9, 12, 12]
    assert after.population.tolist() == [2, 0, 0]


def test_map_is_of_mean_rate_with_hot_spots():
    edges, rate = random_map(Admixture(length=10_002_000), 0)
    assert np.average(rate, weights=np.diff(edges)) == pytest.approx(RECOMBINATION_RATE)
    assert rate.max() > 10 * RECOMBINATION_RATE
    assert rate.min() > 0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"length": 100}, "`length` 100"),
        ({"chromosomes": ("1", "1")}, "each once"),
        ({"individuals": (0, 1, 1)}, "at least one individual"),
    ],
)
def test_settings_that_cannot_be_simulated(settings, message):
    with pytest.raises(InputError, match=message):
        Admixture(**settings)


def test_truth_at_sites(folder):
    truth = read_truth(folder / "truth.tsv.gz")
    panel = read_panel(folder / "cohort.vcf.gz", folder / "samples.tsv", region="chr2")
    found = truth.at(panel.samples, panel.sites, POPULATIONS)
    admixed = np.char.startswith(panel.samples.population, "ADMIX")
    assert (found[~admixed] == -1).all()
    assert (found[admixed] >= 0).all()
    changes = 0
    for line in rows(folder / "truth.tsv.gz")[1:]:
        if line[2] == "2":
            person = panel.samples.name.tolist().index(line[0])
            inside = (panel.sites.position >= int(line[3])) & (panel.sites.position < int(line[4]))
            assert (found[person, int(line[1]), inside] == POPULATIONS.index(line[5])).all()
            changes += 1
    assert changes >= 8
    with pytest.raises(InputError, match=r"of the known ancestry; expected one of YRI$"):
        truth.at(panel.samples, panel.sites, ["YRI"])


def test_wrong_truth(tmp_path):
    path = tmp_path / "truth.tsv"
    for lines, message in [
        (["sample\thaplotype"], "line 1: no column 'chromosome'"),
        (["\t".join(COLUMNS), "a\t0\t1\tx\t5\tYRI"], "expected numbers as haplotype"),
        (["\t".join(COLUMNS), "a\t0"], "line 2: 2 fields, expected 6"),
    ]:
        path.write_text("\n".join(lines))
        with pytest.raises(InputError, match=message):
            read_truth(path)
