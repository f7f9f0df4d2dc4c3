"""Sequences with several labels each: joined names, columns of 0 and 1, DeepSEA's published layouts."""

import gzip

import numpy as np
import pytest

from crocuta.data.chromatin import TARGETS, label_groups, profile_names
from crocuta.data.encoding import decode
from crocuta.data.genome import Genome
from crocuta.data.labelled import make_splits, read_labelled
from crocuta.data.records import read_records
from crocuta.data.windows import Windows
from crocuta.errors import InputError


def write(path, text):
    path.write_text(text)
    return path


def test_names_joined_in_a_column(tmp_path):
    path = write(tmp_path / "a.csv", "sequence,labels\nACGT,b;a\nAAAA,\nCCCC,a\nGGGG,10; 9\n")
    found = read_labelled(path)
    assert found.classes == ("10", "9", "a", "b")
    assert found.labels.dtype == np.uint8
    assert found.labels.tolist() == [[0, 0, 1, 1], [0, 0, 0, 0], [0, 0, 1, 0], [1, 1, 0, 0]]
    assert read_labelled(path, ["a", "9", "10", "b"]).labels[0].tolist() == [1, 0, 0, 1]
    with pytest.raises(
        InputError, match=r"a.csv, record 4 \(row_4\): label '10' is not among the known classes"
    ):
        read_labelled(path, ["a", "b"])


@pytest.mark.parametrize("kind", ["01", ["0.0", "1.0"], ["False", "True"]])
def test_a_column_for_each_label(tmp_path, kind):
    no, yes = kind
    text = f"name,TF b,sequence,DHS,Ha\nx,{yes},ACGT,{no},{yes}\ny,{no},AAAA,{no},{no}\n"
    found = read_labelled(write(tmp_path / "a.csv", text))
    assert found.classes == ("TF b", "DHS", "Ha")
    assert found.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    assert found.sequences.names == ["x", "y"]
    assert decode(found.sequences[0]) == "ACGT"
    turned = read_labelled(tmp_path / "a.csv", ["Ha", "DHS", "TF b"])
    assert turned.labels.tolist() == [[1, 0, 1], [0, 0, 0]]
    with pytest.raises(InputError, match="no column for class 'other', which training had"):
        read_labelled(tmp_path / "a.csv", ["Ha", "DHS", "TF b", "other"])
    with pytest.raises(InputError, match="label 'TF b' is not among"):
        read_labelled(tmp_path / "a.csv", ["Ha", "DHS"])


def test_one_label_still_wins_and_other_columns_are_ignored(tmp_path):
    path = write(tmp_path / "a.csv", "sequence,label,x,y\nACGT,p,0,1\nAAAA,q,1,0\n")
    assert read_labelled(path).labels.tolist() == [0, 1]
    path = write(tmp_path / "b.csv", "sequence,x,y\nACGT,0,7\nAAAA,1,0\n")
    with pytest.raises(InputError, match=r"record 1 .* no label; .* a column 'labels' or columns of 0 and 1"):
        read_labelled(path)
    path = write(tmp_path / "c.csv", "sequence,x,y\nACGT,0,1\nAAAA,1,7\n")
    with pytest.raises(InputError, match=r"record 2 \(row_2\): no label"):
        read_labelled(path)
    assert [record.sequence for record in read_records(path)] == ["ACGT", "AAAA"]


def table(n, columns="a,b,c", split=False):
    draw = np.random.default_rng(0)
    rows = [f"sequence,{columns}{',split' if split else ''}"]
    for i in range(n):
        nucleotides = "".join(draw.choice(list("ACGT"), 20))
        marks = ",".join(map(str, draw.integers(0, 2, columns.count(",") + 1)))
        rows.append(f"{nucleotides},{marks}" + (f",{('train', 'dev', 'test')[i % 3]}" if split else ""))
    return "\n".join(rows) + "\n"


def test_splits_of_several_labels(tmp_path):
    splits = make_splits(write(tmp_path / "a.csv", table(60)))
    assert splits.train.classes == ("a", "b", "c")
    assert {part.labels.shape[1] for part in (splits.train, splits.valid, splits.test)} == {3}
    assert len(splits.train) + len(splits.valid) + len(splits.test) == 60
    splits = make_splits(write(tmp_path / "b.csv", table(60, split=True)))
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [20, 20, 20]
    separate = make_splits(tmp_path / "a.csv", test_path=write(tmp_path / "c.csv", table(9, "c,a,b")))
    assert np.array_equal(separate.test.labels, read_labelled(tmp_path / "c.csv").labels[:, [1, 2, 0]])


def test_a_table_without_header(tmp_path):
    path = write(tmp_path / "a.csv", "ACGTACGTACGT,0,1\nAAAAAAAAAAAA,0,0\n")
    found = read_labelled(path)
    assert found.classes == ("label_1", "label_2")
    assert found.labels.tolist() == [[0, 1], [0, 0]]


def test_the_published_deepsea_layout(shared_data):
    """GENA-LM's sample: 8,000 nucleotides and 919 targets, no header."""
    path = shared_data("deepsea_sample") / "test.dataset.csv.gz"
    found = read_labelled(path)
    assert len(found) == 100
    assert found.labels.shape == (100, TARGETS)
    assert set(found.sequences.lengths) == {8000}
    with gzip.open(path, "rt") as lines:
        expected = [[int(value) for value in line.strip().split(",")[1:]] for line in lines]
    assert found.labels.tolist() == expected
    groups = label_groups(found.classes)
    assert {name: (members[0], members[-1]) for name, members in groups.items()} == {
        "DHS": (0, 124), "TF": (125, 814), "HM": (815, 918),
    }  # fmt: skip
    assert [found.classes[members[0]] for members in groups.values()] == ["DHS_1", "TF_1", "HM_1"]


def test_groups_by_name():
    names = ("H1|H3K27me3|None", "K562|DNase|None", "K562|CTCF|None", "K562|H2AZ|None", "K562|HNF4A|None")
    found = {name: members.tolist() for name, members in label_groups(names).items()}
    assert found == {"DHS": [1], "TF": [2, 4], "HM": [0, 3]}
    assert label_groups(("promoter", "enhancer")) == {}
    assert profile_names(5) is None


GENOME = ">chr1 first\nACGTACGTAC\nGGGGGTTTTT\n>chrX\nCCCCCAAAAA\n"


def test_the_published_layout_of_coordinates(tmp_path):
    """HyenaDNA's: chromosomes counted from 0, windows of any width around the interval."""
    genome = write(tmp_path / "genome.fa", GENOME)
    path = write(tmp_path / "a.csv", ",Chr_No,Start,End,y_a,y_b\n0,0,8,12,1,0\n1,22,0,4,0,0\n2,0,16,20,1,1\n")
    found = read_labelled(path, windows=Windows(Genome(genome)))
    assert [decode(row) for row in found.sequences] == ["ACGG", "CCCC", "TTTT"]
    assert found.classes == ("y_a", "y_b")
    assert found.labels.tolist() == [[1, 0], [0, 0], [1, 1]]
    wide = read_labelled(path, windows=Windows(Genome(genome), width=8))
    assert [decode(row) for row in wide.sequences] == ["GTACGGGG", "NNCCCCCA", "GTTTTTNN"]


def test_coordinates_that_do_not_fit(tmp_path):
    genome = Windows(Genome(write(tmp_path / "genome.fa", GENOME)))
    path = tmp_path / "a.bed.csv"
    for row, reason in {
        "chr1,15,30": r"line 2: chr1:15-30 is no interval inside the chromosome's 20 nucleotides",
        "chr9,1,3": r"genome.fa: no contig 'chr9'; it holds chr1, chrX",
        "chr1,a,3": r"start is 'a', expected a whole number",
    }.items():
        write(path, f"chrom,start,end,a,b\n{row},0,1\n")
        with pytest.raises(InputError, match=reason):
            read_labelled(path, windows=genome)
    with pytest.raises(InputError, match="give their genome as `genome`"):
        read_labelled(path)
    write(path, "chrom,start,end,labels\n1,1,3,a;b\n")
    assert decode(read_labelled(path, windows=genome).sequences[0]) == "CG"
