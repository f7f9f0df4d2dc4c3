"""Intervals: BED in all its dialects, held against a genome, or cut from it."""

import gzip

import numpy as np
import pytest

from crocuta.data.encoding import VOCABULARY
from crocuta.data.genome import Genome
from crocuta.data.intervals import Interval, check_intervals, read_bed, windows
from crocuta.errors import InputError


@pytest.fixture
def genome(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_text(">1\n" + "ACGT" * 25 + "\n>2\n" + "N" * 30 + "A" * 25 + "\n>3\nACG\n")
    return Genome(path)


@pytest.fixture
def bed(tmp_path):
    def write(text, name="x.bed"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return write


def test_plain_bed_of_six_columns(bed):
    found = read_bed(bed("track name=x\n#comment\n1\t0\t5\tgene\t0\t-\n2\t3\t9\tother\t7\t+\n"))
    assert list(found) == [Interval("1", 0, 5, "gene", "-"), Interval("2", 3, 9, "other", "+")]
    assert found.lines is not None
    assert found.lines.tolist() == [3, 4]
    np.testing.assert_array_equal(found.lengths, [5, 6])


def test_splits_as_published_for_hyenadna(bed):
    found = read_bed(bed("1 0 5 train\n1 5 9 valid\n2 0 4 test\n2 4 8 train\n"))
    assert found.split("train").start.tolist() == [0, 4]
    assert list(found.split("test")) == [Interval("2", 0, 4)]
    with pytest.raises(InputError, match="no split"):
        read_bed(bed("1 0 5\n")).split("train")


def test_named_columns_in_any_order(bed):
    found = read_bed(bed("#chrom\tstart\tend\tsplit\tkind\tstrand\n1\t2\t4\tval\tloop\t-\n"))
    assert found[0] == Interval("1", 2, 4, "", "-")
    assert {key: column.tolist() for key, column in found.columns.items()} == {
        "split": ["valid"],
        "kind": ["loop"],
    }


def test_gzip(tmp_path):
    path = tmp_path / "x.bed.gz"
    path.write_bytes(gzip.compress(b"1\t0\t5\n"))
    assert read_bed(path)[0] == Interval("1", 0, 5)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no intervals"),
        ("1\t2\n", "line 1: 2 fields"),
        ("1\t2\t3\n1\t2\t3\t4\n", "line 2: 4 fields, expected 3"),
        ("1\t2\tx\n", "line 1: end must be a whole number, found 'x'"),
        ("1\t2\t5\n1\t5\t5\n", "line 2: start 5 and end 5"),
        ("1\t-2\t5\n", "line 1: start -2"),
        ("chrom start end split\n1 2 5 training\n1 2 5 held\n", "line 3: split 'held'"),
    ],
)
def test_broken_lines_are_named(bed, text, message):
    with pytest.raises(InputError, match=message):
        read_bed(bed(text))


def test_intervals_are_held_against_the_genome(genome, bed):
    check_intervals(read_bed(bed("1\t0\t100\n3\t0\t3\n")), genome)
    with pytest.raises(
        InputError, match=r"x.bed, line 2 \(and 1 more\): 3:1-9 ends 6 past the end of 3, which has 3"
    ):
        check_intervals(read_bed(bed("1\t0\t100\n3\t1\t9\n1\t0\t101\n")), genome)
    with pytest.raises(InputError, match=r"line 2: genome.fa has no contig 'chr1'; this genome calls it '1'"):
        check_intervals(read_bed(bed("1\t0\t10\nchr1\t0\t10\n")), genome)


def test_windows_cover_and_leave_out_n(genome):
    found = windows(genome, 10)
    assert [interval[:3] for interval in found if interval.contig == "1"] == [
        ("1", i, i + 10) for i in range(0, 100, 10)
    ]
    assert [interval.start for interval in found if interval.contig == "2"] == [30, 40]
    assert windows(genome, 10, step=5, contigs=["2"]).start.tolist() == [25, 30, 35, 40, 45]
    assert len(windows(genome, 10, contigs=["2"], largest_n_share=1.0)) == 5


def test_windows_count_n_one_by_one(genome):
    rng = np.random.default_rng(0)
    ids = rng.choice([VOCABULARY["A"], VOCABULARY["N"]], 200).astype(np.uint8)
    genome.fetch = lambda name: ids
    genome.lengths["1"] = 200
    kept = windows(genome, 16, step=3, contigs=["1"], largest_n_share=0.5).start
    naive = [at for at in range(0, 185, 3) if (ids[at : at + 16] == VOCABULARY["N"]).sum() <= 8]
    assert kept.tolist() == naive


def test_windows_that_cannot_be(genome):
    with pytest.raises(InputError, match="no window of 1,000 nucleotides; the longest of 3 contigs has 100"):
        windows(genome, 1000)
    with pytest.raises(InputError, match="no contig 'chr1'"):
        windows(genome, 10, contigs=["chr1"])
    with pytest.raises(ValueError, match="at least 1"):
        windows(genome, 10, step=0)
