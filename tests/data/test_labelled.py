from itertools import chain

import numpy as np
import pytest

from crocuta.data.encoding import decode, encode, reverse_complement
from crocuta.data.labelled import Sequences, make_splits, read_labelled, sort_classes
from crocuta.errors import InputError


@pytest.fixture
def table(tmp_path):
    def write(rows, columns="sequence,label", name="data.csv"):
        path = tmp_path / name
        path.write_text("\n".join([columns, *rows]) + "\n")
        return path

    return write


def random_rows(n, seed=0, length=30):
    nucleotides = np.random.default_rng(seed).choice(list("ACGT"), (n, length))
    return ["".join(row) + f",{i % 2}" for i, row in enumerate(nucleotides)]


def texts(part):
    return [decode(ids) for ids in part.sequences]


def test_sequences_keep_what_was_given():
    sequences = Sequences.from_strings(["ACGT", "", "rrA"], names=["a", "b", "c"])
    assert len(sequences) == 3
    assert [decode(ids) for ids in sequences] == ["ACGT", "", "NNA"]
    assert sequences.lengths.tolist() == [4, 0, 3]
    assert sequences.other_nucleotides == 2
    assert sequences[-1].base is not None  # a view
    with pytest.raises(IndexError):
        sequences[3]


@pytest.mark.parametrize("chosen", [[2, 0], np.array([2, 0]), [-1, 0]])
def test_selection_takes_everything_along(chosen):
    part = Sequences.from_strings(["ACGT", "RN", "rrA"], names=["a", "b", "c"]).select(chosen)
    assert part.names == ["c", "a"]
    assert [decode(ids) for ids in part] == ["NNA", "ACGT"]
    assert part.other_nucleotides == 2


def test_selection_by_mask_and_of_nothing():
    sequences = Sequences.from_strings(["A", "C", "G"])
    assert sequences.select(np.array([True, False, True])).names == ["row_1", "row_3"]
    assert len(sequences.select([])) == 0
    assert len(Sequences.from_strings([])) == 0


def test_names_must_match():
    with pytest.raises(ValueError, match="1 names for 2 sequences"):
        Sequences.from_strings(["A", "C"], ["a"])


def test_classes_do_not_depend_on_order():
    assert sort_classes(["10", "9", "-1"]) == ("-1", "9", "10")
    assert sort_classes(["b", "10", "9"]) == ("10", "9", "b")


def test_labels_are_numbered_by_class(table):
    data = read_labelled(table(["A,10", "C,9", "G,10"]))
    assert data.classes == ("9", "10")
    assert data.labels.tolist() == [1, 0, 1]
    assert data.labels.dtype == np.int64
    part = data.select([1])
    assert (part.classes, part.labels.tolist(), texts(part)) == (("9", "10"), [0], ["C"])


@pytest.mark.parametrize(
    ("rows", "classes", "message"),
    [
        (["A,x", "C,x"], None, "1 class (x), expected at least two different labels"),
        (["A,x", "C,"], None, "record 2 (row_2): no label; expected a column 'label', or label="),
        (["A,x", "C,z"], ("x", "y"), "record 2 (row_2): label 'z' is not among the known classes (x, y)"),
    ],
)
def test_bad_labels(table, rows, classes, message):
    path = table(rows)
    with pytest.raises(InputError) as caught:
        read_labelled(path, classes)
    assert message in str(caught.value)
    assert str(path) in str(caught.value)


def test_no_label_column(table):
    with pytest.raises(InputError, match="no label"):
        read_labelled(table(["A", "C"], columns="sequence"))


def test_split_column_decides(table):
    rows = ["A,x,train", "C,y,Training", "G,x,dev", "T,y,test", "GG,x,VAL"]
    splits = make_splits(table(rows, "sequence,label,split"))
    assert [texts(part) for part in (splits.train, splits.valid, splits.test)] == [
        ["A", "C"],
        ["G", "GG"],
        ["T"],
    ]
    assert splits.policy == "The file's split column gave training, validation and test."


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (["A,x,train", "C,y,holdout"], "record 2: split 'holdout', expected train, valid or test"),
        (["A,x,train", "C,y,"], "record 2: split '', expected train, valid or test"),
        (["A,x,test", "C,y,dev"], "no record has split 'train', found test and valid"),
        (["A,x,train", "C,y,train", "G,z,test"], "label 'z' is not among the known classes (x, y)"),
        (["A,x,train", "C,x,train", "G,y,test"], "1 class (x), expected at least two"),
    ],
)
def test_bad_split_columns(table, rows, message):
    with pytest.raises(InputError) as caught:
        make_splits(table(rows, "sequence,label,split"))
    assert message in str(caught.value)


def test_split_column_and_files_exclude_each_other(table):
    path = table(["A,x,train", "C,y,test"], "sequence,label,split")
    with pytest.raises(InputError, match="has a split column, and"):
        make_splits(path, test_path=path)


def test_files_decide(table):
    train, other = table(["A,x", "C,y"], name="train.csv"), table(["G,y"], name="other.csv")
    splits = make_splits(train, other, other)
    assert texts(splits.valid) == texts(splits.test) == ["G"]
    assert splits.valid.labels.tolist() == [1]
    assert splits.policy == "Separate files for training, validation and test."


def test_labels_in_test_that_training_never_saw(table):
    train, other = table(["A,x", "C,y"], name="train.csv"), table(["G,y", "G,new"], name="other.csv")
    with pytest.raises(
        InputError, match=r"other.csv, record 2 \(row_2\): label 'new' is not among the known"
    ):
        make_splits(train, other, other)


@pytest.mark.parametrize("missing", [("valid", "test"), ("valid",), ("test",)])
def test_missing_parts_are_tenths_of_training(table, missing):
    path, other = table(random_rows(200)), table(random_rows(20, seed=9), name="other.csv")
    files = {f"{part}_path": other for part in ("valid", "test") if part not in missing}
    splits = make_splits(path, **files)
    sizes = {"train": len(splits.train), "valid": len(splits.valid), "test": len(splits.test)}
    assert sizes == {"train": 200 - 20 * len(missing), "valid": 20, "test": 20}
    assert "by hash of the sequence (seed 0)" in splits.policy
    whole = {row.split(",")[0] for row in random_rows(200)}
    taken = [texts(getattr(splits, part)) for part in ("train", *missing)]
    assert sorted(chain.from_iterable(taken)) == sorted(whole)


def test_hash_split_ignores_order_and_follows_the_seed(table):
    rows = random_rows(100)
    first, again, other = (
        set(texts(make_splits(table(order), seed=seed).test))
        for order, seed in ((rows, 0), (rows[::-1], 0), (rows, 1))
    )
    assert first == again
    assert first != other


def test_duplicates_and_other_strands_stay_together(table):
    rows = random_rows(100)
    twins = [decode(reverse_complement(encode(row.split(",")[0]))) + row[row.index(",") :] for row in rows]
    splits = make_splits(table([*rows, *twins, *rows]))
    parts = [set(texts(part)) for part in (splits.train, splits.valid, splits.test)]
    for i, part in enumerate(parts):
        strands = part | {decode(reverse_complement(encode(text))) for text in part}
        assert all(strands.isdisjoint(other) for other in parts[:i] + parts[i + 1 :])
    assert [len(part) for part in (splits.train, splits.valid, splits.test)] == [240, 30, 30]


def test_too_few_to_set_aside(table):
    with pytest.raises(
        InputError, match="2 different sequences are too few to set test and validation aside"
    ):
        make_splits(table(["AC,x", "AG,y", "GT,x"]))


def test_a_class_must_keep_training_records(table):
    rows = [f"{row.split(',')[0]},{i}" for i, row in enumerate(random_rows(30))]
    with pytest.raises(InputError, match="is in validation and not in training after the split"):
        make_splits(table(rows))
