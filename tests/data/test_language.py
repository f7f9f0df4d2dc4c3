"""Windows for a language model: every nucleotide in its turn, the same for all processes, nothing that is held out."""

import numpy as np
import pytest

from crocuta.data.encoding import encode, reverse_complement
from crocuta.data.genome import Genome
from crocuta.data.intervals import Intervals, read_bed
from crocuta.data.language import (
    UNLABELLED,
    TrainingWindows,
    make_batch,
    partition,
    step_indices,
    thinned,
    tiles,
    without_n_runs,
)
from crocuta.errors import InputError


@pytest.fixture
def genome(tmp_path):
    nucleotides = np.random.default_rng(0).choice(list("ACGT"), 1000)
    nucleotides[200:260] = "N"
    nucleotides[500] = "N"
    path = tmp_path / "genome.fa"
    path.write_text(">a\n" + "".join(nucleotides) + "\n>b\n" + "ACGTT" * 40 + "\n>c\nGATTACA\n")
    return Genome(path)


def whole(genome, *names):
    return Intervals.build(list(names), [0] * len(names), [genome.lengths[name] for name in names])


def test_whole_contigs_are_held_out(genome):
    parts = partition(genome, valid=["b"], test=["c"])
    assert {part: list(found.contig) for part, found in parts.items()} == {
        "train": ["a"], "valid": ["b"], "test": ["c"],
    }  # fmt: skip


def test_the_split_of_a_bed_file_decides(genome, tmp_path):
    bed = tmp_path / "x.bed"
    bed.write_text("a 0 100 train\na 100 200 valid\nb 0 50 train\n")
    parts = partition(genome, read_bed(bed))
    assert [len(parts[part]) for part in ("train", "valid", "test")] == [2, 1, 0]
    with pytest.raises(InputError, match="has a split of its own"):
        partition(genome, read_bed(bed), valid=["c"])
    bed.write_text("a 0 100\nb 0 50\n")
    assert list(partition(genome, read_bed(bed), valid=["b"])["valid"].contig) == ["b"]


@pytest.mark.parametrize(
    ("text", "held", "message"),
    [
        ("a 0 100 train\na 60 200 valid\n", {}, "line 2: a:60-200 .valid. overlaps an interval for training"),
        (
            "a 0 500 train\na 20 30 train\na 400 600 test\nb 0 9 valid\n",
            {},
            r"line 3: a:400-600 .test. overlaps",
        ),
        ("a 0 100 train\n", {}, "nothing left for validation"),
        ("a 0 100 valid\n", {}, "nothing left for training"),
        ("a 0 1001 train\n", {}, "ends 1 past the end"),
        (None, {"valid": ["x"]}, "no contig 'x'"),
        (None, {"valid": ["a"], "test": ["a"]}, "held out for validation and for test"),
        (None, {"valid": ["a", "b", "c"]}, "nothing left for training"),
    ],
)
def test_impossible_partitions(genome, tmp_path, text, held, message):
    bed = tmp_path / "x.bed"
    bed.write_text(text or "\n")
    with pytest.raises(InputError, match=message):
        partition(genome, read_bed(bed) if text else None, **held)


def test_long_runs_of_n_are_cut_out(genome):
    found = without_n_runs(genome, whole(genome, "a", "c"), 10)
    assert [interval[:3] for interval in found] == [("a", 0, 200), ("a", 260, 1000), ("c", 0, 7)]
    assert [interval[:3] for interval in without_n_runs(genome, whole(genome, "a", "c"), 10, 201)] == [
        ("a", 260, 1000)
    ]
    assert len(without_n_runs(genome, whole(genome, "a"), 1)) == 3


def test_an_epoch_reads_each_place_once(genome):
    regions = without_n_runs(genome, whole(genome, "a", "b", "c"), 10)
    windows = TrainingWindows(genome, regions, 50, seed=0, both_strands=False)
    assert len(windows) == 4 + 14 + 4 + 1
    nucleotides = {interval: genome.sequence(interval).tobytes() for interval in regions}
    for epoch in range(2):
        rows = windows.batch(np.arange(len(windows)) + epoch * len(windows)).input_ids
        joined = b"|".join(sorted(row[row > 6].astype(np.uint8).tobytes() for row in rows))
        assert encode("GATTACA").tobytes() in joined.split(b"|")
        full = [row.astype(np.uint8).tobytes() for row in rows if (row > 6).all()]
        assert len(full) == len(windows) - 1
        assert all(any(row in text for text in nucleotides.values()) for row in full)
        last = nucleotides[regions[1]]
        places = sorted(last.index(row) for row in full if row in last)
        assert np.unique(np.diff(places)).tolist() == [50]


def test_windows_follow_from_the_seed_alone(genome):
    def batch(seed, index, **options):
        return TrainingWindows(genome, whole(genome, "a"), 64, seed, **options).batch(index).input_ids

    index = np.array([3, 40, 7])
    np.testing.assert_array_equal(batch(0, index), batch(0, index))
    assert not np.array_equal(batch(0, index), batch(1, index))
    np.testing.assert_array_equal(batch(0, index)[1], batch(0, index[1:2])[0])
    turned = [
        np.array_equal(a, reverse_complement(b))
        for a, b in zip(batch(0, np.arange(60)), batch(0, np.arange(60), both_strands=False), strict=True)
    ]
    assert 10 < sum(turned) < 50


def test_processes_share_a_step(genome):
    shares = np.concatenate([step_indices(5, 7, process, 3) for process in range(3)])
    assert sorted(shares.tolist()) == list(range(35, 42))


def test_nothing_unknown_is_learnt():
    batch = make_batch([encode("ACNGT"), encode("AC")])
    assert batch.labels.tolist() == [[-100, 8, -100, 9, 10], [-100, 8, -100, -100, -100]]
    assert batch.predicted == 4
    assert make_batch([encode("ACGTA")], skip=3).labels[0].tolist() == [UNLABELLED] * 3 + [10, 7]


@pytest.mark.parametrize("context", [1, 30])
def test_tiles_predict_each_letter_once(genome, context):
    regions = whole(genome, "a", "b", "c")
    times = {name: np.zeros(genome.lengths[name], int) for name in genome.names}
    for contig, start, end, *_ in tiles(regions, 64, context):
        assert end - start <= 64
        times[contig][start + context : end] += 1
    for name, count in times.items():
        assert (count[:context] == 0).all()
        assert (count[context:] == 1).all(), name
    with pytest.raises(ValueError, match="context"):
        tiles(regions, 64, 64)


def test_thinned_windows_are_spread(genome):
    found = tiles(whole(genome, "a"), 11)
    some = thinned(found, 200)
    assert 15 <= len(some) <= 22
    assert some.start[0] == 0
    assert some.end[-1] == 1000
    assert len(thinned(found, None)) == len(found)
