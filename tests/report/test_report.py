"""The report: complete, self-contained, true to the run folder, and clear about folders that are not one."""

import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global compare, words, write_report, read_reported_run, PALETTE
    from crocuta.report import compare, write_report
    from crocuta.report import wording as words
    from crocuta.report.run import read_reported_run
    from crocuta.report.style import PALETTE


@pytest.fixture(scope="module")
def run(write_run, tmp_path_factory):
    return write_run(tmp_path_factory.mktemp("runs") / "first", n=200)


@pytest.fixture(scope="module")
def page(run, tmp_path_factory):
    return write_report([run], tmp_path_factory.mktemp("page"))


@pytest.fixture(scope="module")
def second(write_run, tmp_path_factory):
    """Another run on the same test sequences, in another order."""
    folder = write_run(tmp_path_factory.mktemp("others") / "first", n=200, noise=1)
    header, *lines = (folder / "predictions.tsv").read_text().splitlines()
    order = np.random.default_rng(0).permutation(200)
    shuffled = [lines[start + i] for start in range(0, len(lines), 200) for i in order]
    (folder / "predictions.tsv").write_text("\n".join([header, *shuffled]) + "\n")
    return folder


@pytest.fixture(scope="module")
def pair(run, second, tmp_path_factory):
    return write_report([run, second], tmp_path_factory.mktemp("pair"))


class Tags(HTMLParser):
    """Collects ids and attributes, and checks that what opens also closes."""

    VOID = frozenset({"meta", "br", "link", "img"})

    def __init__(self, text):
        super().__init__()
        self.open, self.ids, self.attributes = [], [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.attributes += [(tag, *attribute) for attribute in attrs]
        self.ids += [value for name, value in attrs if name == "id"]
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_page_needs_nothing_from_elsewhere(page):
    html = page.read_text(encoding="utf-8")
    tags = Tags(html)
    links = [value for _, name, value in tags.attributes if name in ("src", "href", "srcset", "action")]
    assert links
    assert all(link.startswith("#") for link in links)
    assert "<script" not in html
    assert "@import" not in html
    assert not re.search(r"url\((?!#)", html)


def test_ids_are_unique_and_every_reference_has_its_target(page, pair):
    for html in (page.read_text(), pair.read_text()):
        tags = Tags(html)
        assert len(set(tags.ids)) == len(tags.ids)
        wanted = re.findall(r"url\(#([^)]*)\)", html)
        wanted += [value[1:] for _, name, value in tags.attributes if name == "href"]
        assert set(wanted) <= set(tags.ids)


def test_every_part_is_there(page):
    html = page.read_text(encoding="utf-8")
    for part in (
        "MCC with 95% intervals",
        "Differences between models",
        "Confusion matrix",
        "ROC curve",
        "Precision and recall",
        "Are the probabilities honest?",
        "How HyenaDNA-tiny learned",
        "How CNN learned",
        "Length by class",
        "Leakage:",
        "436,224",
        "1 min 24 s",
        "914 MB",
        "as published: train, dev and test files",
        "learning rate 0.0006",
        "torch 2.13.0",
        "crocuta train --task gue/prom_core_tata",
        "HyenaDNA: long-range genomic sequence modeling",
        "arXiv:2306.15006",
    ):
        assert part in html, part
    assert "How k-mer logistic regression learned" not in html


def test_figures_and_scores_lie_beside_the_page(page, run):
    names = {path.stem for path in (page.parent / "figures").glob("*.png")}
    assert names == {path.stem for path in (page.parent / "figures").glob("*.svg")}
    assert {
        "scores",
        "confusion",
        "roc",
        "precision-recall",
        "reliability",
        "lengths",
        "learning-cnn",
    } <= names
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in (page.parent / "figures").glob("*.png"))
    header, *lines = [line.split("\t") for line in (page.parent / "scores.tsv").read_text().splitlines()]
    rows = [dict(zip(header, line, strict=True)) for line in lines]
    metrics = json.loads((run / "metrics.json").read_text())
    assert len(rows) == 5 * 4
    for row in rows:
        expected = metrics["models"][row["model"]]["test"][row["metric"]]
        assert float(row["mean"]) == pytest.approx(expected["mean"], rel=1e-4)
        assert row["sd"] == "" if expected["sd"] is None else float(row["sd"]) > 0


def test_answer_states_the_numbers_of_the_run(run):
    found = read_reported_run(run)
    test, rival = found.models["hyenadna-tiny"]["test"]["mcc"], found.models["kmer"]["test"]["mcc"]
    answer = words.answer(found)
    assert answer.startswith(
        f"HyenaDNA-tiny reaches MCC {test['mean']:.2f} ± {test['sd']:.2f} (over 3 seeds)"
    )
    assert f"200 test sequences; k-mer logistic regression reaches {rival['mean']:.2f}." in answer
    assert "lead would hold" in answer


@pytest.mark.parametrize(
    ("low", "high", "says"),
    [
        (0.1, 0.3, "lead would hold"),
        (-0.3, -0.1, "comparison would win"),
        (-0.1, 0.2, "too small to distinguish"),
    ],
)
def test_verdict_follows_the_interval(low, high, says):
    assert says in words.verdict({"difference": (low + high) / 2, "low": low, "high": high})


@pytest.mark.parametrize(
    ("task", "source"),
    [
        ("gue/mouse/0", "DNABERT-2"),
        ("genomic_benchmarks/human_nontata_promoters", "Genomic benchmarks"),
        ("nucleotide_transformer/enhancers", "Nucleotide Transformer"),
        ("teb/LINEs", "Transposable Elements Benchmark"),
    ],
)
def test_tasks_are_cited(run, task, source):
    found = read_reported_run(run)
    cited = " ".join(words.citations([replace(found, config=found.config | {"task": task})]))
    assert source in cited
    assert "HyenaDNA" in cited


def test_best_of_each_column_is_bold(page):
    table = page.read_text().split("<tbody>")[1].split("</tbody>")[0]
    first, *others = table.split("</tr>")
    assert first.count('class="best"') == 5
    assert not any('class="best"' in other for other in others)


def test_themes_reach_into_the_figures(page):
    svgs = re.findall(r"<svg.*?</svg>", page.read_text(), flags=re.DOTALL)
    assert len(svgs) == 9
    assert all("var(--ink)" in svg for svg in svgs)
    assert not any(colour in svg for svg in svgs for colour in PALETTE.values())
    assert "prefers-color-scheme: dark" in page.read_text()


def test_names_from_users_cannot_become_markup(write_run, tmp_path):
    classes = ("<script>alert(1)</script>", "$\\alpha$ & 遺伝子")
    run = write_run(tmp_path / "run", classes=classes, n=60, seeds=1, models=["cnn"], task="<b>mine</b>")
    html = write_report([run], tmp_path / "out").read_text(encoding="utf-8")
    assert "<script" not in html
    assert "<b>mine" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    assert "$\\alpha$ &amp; 遺伝子" in html


TWO = ["cnn", "kmer"]


@pytest.mark.parametrize(
    "options",
    [
        {"classes": tuple(f"family {i}" for i in range(7)), "metric": "accuracy", "seeds": 2, "models": TWO},
        {"classes": tuple(f"mark {i}" for i in range(5)), "metric": "auroc", "multi_label": True}
        | {"seeds": 2, "models": TWO},
        {"seeds": 1, "models": ["cnn"], "task": None, "one_length": True},
        {"seeds": 1, "models": ["kmer", "length"]},
    ],
    ids=["many classes", "multi-label", "one model, one seed", "baselines only"],
)
def test_every_kind_of_run_has_a_report(write_run, tmp_path, options):
    html = write_report([write_run(tmp_path / "run", n=120, **options)], tmp_path / "run").read_text()
    Tags(html)
    assert "nan" not in re.sub(r"<svg.*?</svg>", "", html, flags=re.DOTALL).lower().replace("nanotype", "")
    assert ("length cannot distinguish the classes" in html) == bool(options.get("one_length"))


def test_undefined_scores_are_dashes(write_run, tmp_path):
    run = write_run(tmp_path / "run", n=50, seeds=2, models=["cnn", "kmer"])
    metrics = json.loads((run / "metrics.json").read_text())
    undefined = {"mean": None, "sd": None, "low": None, "high": None}
    metrics["models"]["cnn"]["test"]["mcc"] = undefined
    metrics["models"]["cnn"]["seeds"][0]["test"]["mcc"] = None
    metrics["paired"][-1] |= {"difference": None, "low": None, "high": None, "p": None}
    (run / "metrics.json").write_text(json.dumps(metrics))
    html = write_report([run], tmp_path / "out").read_text()
    assert "<td>–</td>" in html


def test_runs_are_compared_on_the_same_sequences(run, second):
    first, second = read_reported_run(run), read_reported_run(second)
    found = compare.across([first, second])
    assert len(found) == 4
    assert found[1]["label"] == "CNN (first) − CNN (first)"
    assert found[1]["difference"] == pytest.approx(second.value("cnn") - first.value("cnn"), abs=1e-9)


def test_a_page_of_two_runs_tells_folders_of_one_name_apart(pair):
    html = pair.read_text()
    assert "Comparison of 2 runs" in html
    assert "CNN (first #2) − CNN (first #1)" in html


def test_runs_with_different_test_sets_stand_side_by_side_only(write_run, tmp_path):
    runs = [write_run(tmp_path / str(n), n=n, seeds=1, models=["cnn"]) for n in (50, 60)]
    assert compare.across([read_reported_run(run) for run in runs]) == []
    html = write_report(runs, tmp_path / "page.html").read_text()
    assert "different test sequences" in html


@pytest.mark.parametrize("name", ["config.json", "manifest.json", "metrics.json", "predictions.tsv"])
def test_a_missing_file_is_named(write_run, tmp_path, name):
    run = write_run(tmp_path / "run", n=20)
    (run / name).unlink()
    with pytest.raises(InputError, match=rf"no {name}|{name}: missing"):
        write_report([run], tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "find", "replacement", "message"),
    [
        ("metrics.json", "{", "", "damaged, no JSON"),
        ("metrics.json", '"classes"', '"klasses"', "no 'classes'"),
        ("predictions.tsv", "p(promoter)", "p(other)", "columns are"),
        ("predictions.tsv", "seq1\t", "", "line 3: expected 7 columns"),
        ("predictions.tsv", "seq0\t", "seq9\t", "other sequences"),
        ("predictions.tsv", "\tkmer\t", "\tother\t", "no predictions of 'kmer'"),
    ],
)
def test_a_broken_file_is_named(write_run, tmp_path, name, find, replacement, message):
    run = write_run(tmp_path / "run", n=20)
    text = (run / name).read_text()
    count = -1 if find.startswith("\t") else 1
    (run / name).write_text(text.replace(find, replacement, count))
    with pytest.raises(InputError, match=message) as error:
        write_report([run], tmp_path / "out")
    assert name in str(error.value)


def test_a_label_that_is_no_class_is_named(write_run, tmp_path):
    run = write_run(tmp_path / "run", n=20)
    lines = (run / "predictions.tsv").read_text().splitlines()
    fields = [line.split("\t") for line in lines]
    changed = ["\t".join([f[0], "enhancer", *f[2:]]) if f[0] == "seq3" else "\t".join(f) for f in fields]
    (run / "predictions.tsv").write_text("\n".join(changed))
    with pytest.raises(InputError, match="label 'enhancer' is none of the classes"):
        read_reported_run(run)


def test_no_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="run_folders is empty"):
        write_report([], tmp_path)


def test_reports_do_not_load_models(run):
    import subprocess
    import sys

    code = "import sys, crocuta.report; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_learnt_curvatures_are_drawn(write_run, tmp_path):
    folder = write_run(tmp_path / "bent", n=60, seeds=2)
    metrics = json.loads((folder / "metrics.json").read_text())
    for seed in metrics["models"]["cnn"]["seeds"]:
        for entry in seed["history"]:
            entry |= {"curvature.manifolds.0": 1 + 0.1 * entry["epoch"], "curvature.manifolds.1": 0.5}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    html = write_report([folder], tmp_path / "page").read_text(encoding="utf-8")
    assert "How CNN's space bent" in html.replace("&#39;", "'")
    assert "How HyenaDNA-tiny's space bent" not in html.replace("&#39;", "'")
    assert (tmp_path / "page" / "figures" / "curvature-cnn.png").exists()
