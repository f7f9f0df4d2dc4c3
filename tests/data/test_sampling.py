"""Random windows of genomes: parts never overlap, both strands, any part may grow without changing another."""

import gzip

import numpy as np
import pytest

from crocuta.data.encoding import decode, encode, reverse_complement
from crocuta.data.labelled import make_splits
from crocuta.data.sampling import Sampler, by_region, counts_of, write_windows
from crocuta.errors import InputError


def write_genome(path, contigs, seed, n_from=None):
    generator = np.random.default_rng(seed)
    with open(path, "w") as file:
        for name, length in contigs.items():
            nucleotides = generator.choice(list("ACGT"), length)
            if n_from is not None:
                nucleotides[n_from:] = "N"
            file.write(f">{name}\n{''.join(nucleotides)}\n")
    return path


@pytest.fixture(scope="module")
def genomes(tmp_path_factory):
    folder = tmp_path_factory.mktemp("genomes")
    return {
        "ant": write_genome(folder / "ant.fa", {"I": 2000, "II": 1000}, 0),
        "bee": write_genome(folder / "bee.fa", {"I": 1500, "III": 1000}, 1),
    }


@pytest.mark.parametrize("fold", range(5))
def test_regions_cover_each_contig_once(genomes, fold):
    sampler = Sampler(genomes, fold=fold)
    for genome in sampler.genomes.values():
        regions = by_region(genome, fold)
        for contig in genome.names:
            seen = np.zeros(genome.length(contig), int)
            sizes = {}
            for part, found in regions.items():
                mine = [r for r in found if r.contig == contig]
                sizes[part] = sum(r.end - r.start for r in mine)
                for region in mine:
                    seen[region.start : region.end] += 1
            assert (seen == 1).all()
            length = genome.length(contig)
            assert sizes == {"train": 0.7 * length, "valid": 0.1 * length, "test": 0.2 * length}


def test_default_test_is_the_last_fifth_and_validation_lies_before_it(genomes):
    regions = Sampler(genomes).regions["ant"]
    assert [r[:] for r in regions["test"]] == [("I", 1600, 2000), ("II", 800, 1000)]
    assert [r[:] for r in regions["valid"]] == [("I", 1400, 1600), ("II", 700, 800)]


def test_windows_lie_in_their_region_on_both_strands(genomes):
    sampler = Sampler(genomes)
    drawn = list(sampler.draw(60, {"train": 200, "valid": 20, "test": 40}, seed=3))
    assert len(drawn) == 520
    for window in drawn:
        assert any(
            r.contig == window.contig and r.start <= window.start and window.end <= r.end
            for r in sampler.regions[window.label][window.part]
        )
        forward = sampler.genomes[window.label].fetch(window.contig, window.start, window.end)
        expected = reverse_complement(forward) if window.strand == "-" else forward
        np.testing.assert_array_equal(sampler.ids(window), expected)
    share = np.mean([window.strand == "-" for window in drawn])
    assert 0.4 < share < 0.6
    contigs = [w.contig for w in drawn if (w.label, w.part) == ("ant", "train")]
    assert 100 < contigs.count("I") < 160  # two thirds of the places are there
    one_strand = Sampler(genomes, both_strands=False)
    assert {window.strand for window in one_strand.draw(60, {"train": 20})} == {"+"}


def test_more_of_one_part_changes_no_other(genomes):
    sampler = Sampler(genomes)
    few = list(sampler.draw(50, {"train": 5, "test": 7}))
    more = list(sampler.draw(50, {"train": 50, "test": 7}))
    assert [w for w in few if w.part == "test"] == [w for w in more if w.part == "test"]
    assert [w for w in few if w.part == "train" and w.label == "ant"] == more[:5]
    assert few != list(sampler.draw(50, {"train": 5, "test": 7}, seed=1))


def test_contigs_held_out(genomes):
    sampler = Sampler(genomes, {"test": ["II", "III"], "valid": ["I"]})
    assert {w.contig for w in sampler.draw(50, {"test": 20})} == {"II", "III"}
    with pytest.raises(InputError, match="longest region for train has 0 nucleotides"):
        list(sampler.draw(50, {"train": 1}))
    with pytest.raises(InputError, match=r"ant.fa \(ant\): no contig for test \(III\); it holds I, II"):
        Sampler(genomes, {"test": ["III"], "valid": ["I"]})


def test_windows_of_n_are_drawn_again_or_refused(tmp_path):
    half = write_genome(tmp_path / "half.fa", {"a": 1000}, 0, n_from=400)
    whole = write_genome(tmp_path / "whole.fa", {"a": 1000}, 1)
    sampler = Sampler({"half": half, "whole": whole})
    drawn = list(sampler.draw(20, {"train": 50}))
    assert all((sampler.ids(window) == encode("N")[0]).sum() <= 2 for window in drawn)
    with pytest.raises(InputError, match=r"half\.fa: the regions for test are mostly N: only 0 of 5"):
        list(sampler.draw(20, {"test": 5}))


def test_mistakes_are_named(genomes):
    with pytest.raises(InputError, match="1 genome, expected at least two"):
        Sampler({"ant": genomes["ant"]})
    with pytest.raises(InputError, match="fold 5"):
        Sampler(genomes, fold=5)
    with pytest.raises(
        InputError, match="longest region for valid has 200 nucleotides, too short for windows of 300"
    ):
        list(Sampler(genomes).draw(300, {"valid": 1}))


def test_the_table_trains(genomes, tmp_path):
    sampler = Sampler(genomes)
    path = tmp_path / "w.csv.gz"
    assert counts_of(30) == {"train": 21, "valid": 3, "test": 6}
    assert write_windows(sampler, path, 40, counts_of(30)) == 60
    splits = make_splits(path)
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [42, 6, 12]
    assert splits.train.classes == ("ant", "bee")
    first = next(sampler.draw(40, counts_of(30)))
    assert splits.train.sequences.names[0] == first.name
    assert decode(splits.train.sequences[0]) == decode(sampler.ids(first))
    text = gzip.decompress(path.read_bytes())
    assert text.startswith(b"name,sequence,label,split\n")
    write_windows(sampler, tmp_path / "w.csv", 40, counts_of(30))
    assert (tmp_path / "w.csv").read_bytes() == text
    again = sampler.labelled(40, "train", 21)
    assert decode(again.sequences[0]) == decode(sampler.ids(first))
    assert again.labels.tolist() == [0] * 21 + [1] * 21
