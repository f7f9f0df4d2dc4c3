"""Named tasks: the table, and every published layout built in a temporary folder."""

import gzip
from collections import Counter

import numpy as np
import pytest

from crocuta.data.demo import load_demo
from crocuta.data.encoding import decode
from crocuta.data.tasks import TASKS, find_tasks, load_task, task_files
from crocuta.errors import InputError


def records(classes, n, seed):
    nucleotides = np.random.default_rng(seed).choice(list("ACGT"), (n, 20))
    return [("".join(row), classes[i % len(classes)]) for i, row in enumerate(nucleotides)]


def write_table(path, rows, header="sequence,label"):
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "\n".join([header, *(",".join(row) for row in rows)]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())


def write_fasta(path, rows):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f">chr{i} some text|{label}\n{text}\n" for i, (text, label) in enumerate(rows)))


def write_folders(path, rows):
    for i, (text, label) in enumerate(rows):
        file = path / label / f"{i}.txt"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)


def sizes(splits):
    return len(splits.train), len(splits.valid), len(splits.test)


def test_all_62_tasks_are_named():
    suites = Counter(task.suite for task in TASKS.values())
    assert suites == {"gue": 28, "genomic_benchmarks": 9, "nucleotide_transformer": 18, "teb": 7}
    assert all(name == task.name and name.startswith(task.suite + "/") for name, task in TASKS.items())
    classes = {name: len(task.classes) for name, task in TASKS.items() if len(task.classes) != 2}
    assert classes == {
        "gue/splice": 3,
        "gue/covid": 9,
        "genomic_benchmarks/human_ensembl_regulatory": 3,
        "nucleotide_transformer/enhancers_types": 3,
        "nucleotide_transformer/splice_sites_all": 3,
    }


@pytest.mark.parametrize(
    ("name", "length", "metric"),
    [
        ("gue/prom_core_tata", 70, "mcc"),
        ("gue/covid", 1000, "f1"),
        ("genomic_benchmarks/human_enhancers_cohn", 500, "accuracy"),
        ("nucleotide_transformer/promoter_tata", 300, "f1"),
        ("nucleotide_transformer/H3", 500, "mcc"),
        ("teb/cmc_enspm", 200, "mcc"),
    ],
)
def test_lengths_and_metrics(name, length, metric):
    assert (TASKS[name].length, TASKS[name].metric) == (length, metric)


def test_unknown_tasks_name_the_nearest(tmp_path):
    with pytest.raises(InputError, match="no task 'gue/prom_core_tat'; did you mean gue/prom_core_tata"):
        load_task("gue/prom_core_tat", tmp_path)


@pytest.mark.parametrize(
    "place", ["GUE/prom/prom_core_tata", "gue/prom/prom_core_tata", "prom/prom_core_tata", "prom_core_tata"]
)
@pytest.mark.parametrize("ending", ["csv", "csv.gz"])
def test_gue_layouts(tmp_path, place, ending):
    for i, part in enumerate(("train", "dev", "test")):
        write_table(tmp_path / place / f"{part}.{ending}", records("01", 4 + i, seed=i))
    splits = load_task("gue/prom_core_tata", tmp_path)
    assert sizes(splits) == (4, 5, 6)
    assert splits.policy == (
        "The published training, validation and test files of gue/prom_core_tata."
        " This copy has 15 records, the published one 6,130."
    )
    assert [path.name for path in task_files("gue/prom_core_tata", tmp_path)] == [
        f"{part}.{ending}" for part in ("train", "dev", "test")
    ]
    assert find_tasks(tmp_path) == {"gue/prom_core_tata": "complete"}


@pytest.mark.parametrize(
    ("name", "folder"),
    [
        ("gue/H3", "EMP/H3"),
        ("gue/splice", "splice/reconstructed"),
        ("gue/mouse/3", "mouse/3"),
        ("gue/covid", "virus/covid"),
    ],
)
def test_gue_folders(tmp_path, name, folder):
    rows = records(TASKS[name].classes, 30, seed=0)
    for part in ("train", "dev", "test"):
        write_table(tmp_path / folder / f"{part}.csv", rows)
    assert load_task(name, tmp_path).train.classes == TASKS[name].classes


def test_dev_is_trained_on_where_training_is_missing(tmp_path):
    write_table(tmp_path / "EMP/H3/dev.csv", records("01", 50, seed=0))
    write_table(tmp_path / "EMP/H3/test.csv", records("01", 10, seed=1))
    splits = load_task("gue/H3", tmp_path)
    assert sizes(splits) == (45, 5, 10)
    assert splits.policy.startswith(
        "No training file of gue/H3 was found: the published dev file is used for training. "
    )
    assert "10% for validation were set aside" in splits.policy
    assert find_tasks(tmp_path) == {"gue/H3": "usable, no train file"}


def test_published_order_of_classes_is_kept_when_a_file_lacks_some(tmp_path):
    write_table(tmp_path / "virus/covid/train.csv", records("28", 40, seed=0))
    for part in ("dev", "test"):
        write_table(tmp_path / f"virus/covid/{part}.csv", records("8", 4, seed=1))
    splits = load_task("gue/covid", tmp_path)
    assert set(splits.train.labels) == {2, 8}
    assert set(splits.test.labels) == {8}


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("nucleotide_transformer_downstream_tasks/splice_sites_all/train.fna", "test.fna"),
        (
            "nucleotide_transformer/splice_sites_all/splice_sites_all_train.fasta",
            "splice_sites_all_test.fasta",
        ),
        ("splice_sites_all/all_train_splice_sites_all.fasta", "all_test_splice_sites_all.fasta"),
    ],
)
def test_nucleotide_transformer_layouts(tmp_path, train, test):
    rows = records("012", 60, seed=0)
    write_fasta(tmp_path / train, rows)
    write_fasta((tmp_path / train).with_name(test), records("012", 9, seed=1))
    splits = load_task("nucleotide_transformer/splice_sites_all", tmp_path)
    assert sizes(splits) == (54, 6, 9)
    labels = dict(rows)
    read = {
        decode(ids): str(label)
        for ids, label in zip(splits.train.sequences, splits.train.labels, strict=True)
    }
    assert read.items() <= labels.items()
    assert splits.test.sequences.names[0] == "chr0 some text"


def test_hyenadnas_names_of_nucleotide_transformer_folders(tmp_path):
    for part in ("train", "test"):
        write_fasta(tmp_path / f"enhancer/all_{part}_enhancer.fasta", records("01", 30, seed=0))
    assert sizes(load_task("nucleotide_transformer/enhancers", tmp_path)) == (27, 3, 30)


def test_validation_is_never_test(tmp_path):
    name = "genomic_benchmarks/human_enhancers_cohn"
    write_folders(tmp_path / "human_enhancers_cohn/train", records(("positive", "negative"), 100, seed=0))
    write_folders(tmp_path / "human_enhancers_cohn/test", records(("positive", "negative"), 20, seed=1))
    (tmp_path / "human_enhancers_cohn/test/.DS_Store").touch()
    splits = load_task(name, tmp_path)
    assert sizes(splits) == (90, 10, 20)
    assert splits.train.classes == ("negative", "positive")
    parts = [{decode(ids) for ids in part.sequences} for part in (splits.train, splits.valid, splits.test)]
    assert not parts[1] & (parts[0] | parts[2])
    assert splits.test.sequences.names == sorted(splits.test.sequences.names)


@pytest.mark.parametrize("content", ["", " \n", "AC-T"])
def test_broken_text_files(tmp_path, content):
    root = tmp_path / "human_enhancers_cohn"
    for part in ("train", "test"):
        write_folders(root / part, records(("negative", "positive"), 40, seed=0))
    (root / "train/negative/0.txt").write_text(content)
    with pytest.raises(InputError, match=r"0\.txt.*(blank|'-' at position 3)"):
        load_task("genomic_benchmarks/human_enhancers_cohn", tmp_path)


def test_foreign_classes_are_refused(tmp_path):
    root = tmp_path / "demo_human_or_worm"
    for part in ("train", "test"):
        write_folders(root / part, records(("human", "mouse"), 40, seed=0))
    with pytest.raises(InputError, match="label 'mouse' is not among the known classes"):
        load_task("genomic_benchmarks/demo_human_or_worm", tmp_path)
    (root / "train/mouse").rename(root / "train/worm")
    (root / "test").rename(root / "empty")
    (root / "test").mkdir()
    with pytest.raises(InputError, match=r"test: is empty; expected a folder of \.txt files for each class"):
        load_task("genomic_benchmarks/demo_human_or_worm", tmp_path)


@pytest.mark.parametrize(
    "names",
    [
        ("train_dna_cmc", "valid_dna_cmc", "test_dna_cmc"),
        ("cmc_enspm/train", "cmc_enspm/dev", "cmc_enspm/test"),
    ],
)
def test_teb_layouts(tmp_path, names):
    for i, name in enumerate(names):
        rows = [(*row, "TE") for row in records("01", 4 + i, seed=i)]
        write_table(tmp_path / "TEB" / f"{name}.csv", rows, "sequence,label,biotype")
    assert sizes(load_task("teb/cmc_enspm", tmp_path)) == (4, 5, 6)


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("gue/splice", [f"splice/reconstructed/{part}.csv" for part in ("train", "dev", "test")]),
        ("nucleotide_transformer/H4", ["H4/train.fna", "H4/test.fna"]),
        ("teb/lines", ["train_lines.csv", "valid_lines.csv", "test_lines.csv"]),
        (
            "genomic_benchmarks/human_ocr_ensembl",
            [f"human_ocr_ensembl/{part}/{{negative,positive}}/*.txt" for part in ("train", "test")],
        ),
    ],
)
def test_missing_files_are_each_named(tmp_path, name, places):
    with pytest.raises(InputError) as caught:
        load_task(name, tmp_path)
    message = str(caught.value)
    assert all(str(tmp_path / place) in message for place in places)
    assert TASKS[name].source in message
    assert "\n" not in message


def test_only_what_is_missing_is_asked_for(tmp_path):
    write_table(tmp_path / "gue/prom/prom_core_all/train.csv", records("01", 9, seed=0))
    write_table(tmp_path / "gue/prom/prom_core_all/dev.csv", records("01", 9, seed=0))
    with pytest.raises(InputError) as caught:
        load_task("gue/prom_core_all", tmp_path)
    assert f"missing {tmp_path / 'gue/prom/prom_core_all/test.csv'} (or .gz); get" in str(caught.value)
    assert find_tasks(tmp_path) == {"gue/prom_core_all": "incomplete, no test file"}


def test_missing_root(tmp_path):
    with pytest.raises(InputError, match="absent: no such folder; expected one that holds GUE/EMP/H3"):
        load_task("gue/H3", tmp_path / "absent")
    with pytest.raises(
        InputError, match="absent: no such folder; expected one that holds GUE or genomic_benchmarks"
    ):
        find_tasks(tmp_path / "absent")


@pytest.mark.parametrize("inside", [False, True])
def test_real_gue(shared_data, inside):
    root = shared_data("gue") if inside else shared_data()
    splits = load_task("gue/mouse/2", root)
    assert sizes(splits) == TASKS["gue/mouse/2"].sizes
    assert splits.policy == "The published training, validation and test files of gue/mouse/2."
    assert splits.train.classes == ("0", "1")


def test_real_gue_with_dev_and_test_only(shared_data):
    splits = load_task("gue/H3", shared_data())
    assert len(splits.test) == 1497
    assert len(splits.train) + len(splits.valid) == 1497


def test_real_genomic_benchmarks_tables(shared_data):
    splits = load_task(
        "genomic_benchmarks/human_ensembl_regulatory", shared_data("genomic_benchmarks_derived")
    )
    assert splits.train.classes == ("enhancer", "ocr", "promoter")
    assert len(splits.test) == 76


def test_demo_is_the_published_task():
    splits = load_demo()
    assert sizes(splits) == TASKS["gue/prom_core_tata"].sizes
    assert (splits.train.sequences.lengths == 70).all()
    assert splits.policy == "The published training, dev and test files of GUE prom_core_tata."
