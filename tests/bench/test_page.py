"""The benchmark's table against numbers known beforehand, and its pictures."""

import pytest

from crocuta.data.tasks import TASKS


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global figures, make_grid, markdown, PUBLISHED, published, styled
    from crocuta.bench.grid import make_grid, markdown
    from crocuta.bench.page import figures
    from crocuta.bench.published import PUBLISHED, published
    from crocuta.report.style import styled


SCORES = {
    ("gue/prom_core_tata", "cnn"): [0.7, 0.8],
    ("gue/prom_core_tata", "kmer-lr"): [0.4],
    ("mine", "cnn"): [0.5, 0.5],
    ("mine", "kmer-lr"): [0.5],
    ("gap", "cnn"): [0.1, None],
}


def rows(keep=lambda task: True):
    return [
        {
            "task": task, "model": model, "title": model.upper(), "metric": "mcc", "seed": seed,
            "test": {"mcc": value}, "interval": [0.1, 0.9], "leakage": f"None in {task}.",
        }
        for (task, model), values in SCORES.items() if keep(task)
        for seed, value in enumerate(values)
    ]  # fmt: skip


def test_the_table_says_what_the_lines_say():
    lines = markdown(make_grid(rows())).splitlines()
    assert lines[0] == "| task | metric | CNN | KMER-LR | published |"
    assert lines[2] == "| gue/prom_core_tata | MCC | **0.750 ± 0.071** | 0.400 | 0.839 (ILNN) |"
    assert lines[3] == "| mine | MCC | **0.500 ± 0.000** | **0.500** | – |"
    assert lines[4] == "| gap | MCC | – | – | – |"
    assert "- mine: None in mine." in lines
    known = next(line for line in lines if line.startswith("- gue/prom_core_tata: ILNN 0.839"))
    assert "arXiv:2602.23981; quoted from a secondary source" in known
    assert "DNABERT-2 0.742 (Zhou et al. 2023" in known


def test_published_numbers_belong_to_tasks_and_have_sources():
    for record in PUBLISHED:
        assert record.task in TASKS
        assert 0 < record.value < 1
        assert "arXiv" in record.source or "secondary" in record.source
    assert [record.model for record in published("gue/covid", "mcc")] == ["ILNN", "HCNN-S"]
    assert published("gue/covid", "f1") == []
    assert published("mine", "mcc") == []


@pytest.mark.parametrize(
    ("tasks", "names"),
    [
        (("gue/prom_core_tata", "mine"), ["scores", "tasks", "ranks"]),
        (("mine",), ["scores", "tasks"]),
        (("gap",), ["scores"]),
    ],
)
def test_pictures_are_drawn_where_they_say_something(tasks, names, tmp_path):
    with styled():
        drawn = figures(make_grid(rows(lambda task: task in tasks)))
        assert list(drawn) == names
        for name, figure in drawn.items():
            figure.savefig(tmp_path / f"{name}.png")
