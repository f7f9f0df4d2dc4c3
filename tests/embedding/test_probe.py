"""Logistic regression on embeddings, judged on groups that it has not seen."""

import numpy as np
import pytest

from crocuta.analysis.embeddings import Embeddings
from crocuta.errors import InputError


@pytest.fixture(autouse=True, scope="session")
def late_imports():
    """What takes long to import, once a test of this file runs: the suite is collected without it."""
    global pandas, as_json, class_f1, probe
    import pandas

    from crocuta.embedding.probe import as_json, class_f1, probe


def clouds(n=150, separation=6.0, seed=0, groups=6):
    """Three Gaussian classes in 4 dimensions, the third rare; groups shift the points."""
    generator = np.random.default_rng(seed)
    labels = generator.choice(3, n, p=[0.5, 0.35, 0.15])
    group = generator.integers(groups, size=n)
    shift = generator.standard_normal((groups, 4))
    x = separation * np.eye(3, 4)[labels] + generator.standard_normal((n, 4)) + shift[group]
    obs = pandas.DataFrame({"kind": np.array(["a", "b", "c"])[labels], "contig": [f"chr{g}" for g in group]})
    return Embeddings(x, obs)


def test_what_is_there_is_found_and_what_is_not_is_not():
    easy = probe(clouds(), "kind", "contig", folds=3)
    assert easy.scores["macro_f1"] > 0.95
    assert min(easy.by_class) > 0.9
    empty = probe(clouds(separation=0.0), "kind", "contig", folds=3)
    assert empty.scores["mcc"] < 0.25
    assert as_json(easy)["classes"]["a"] == {"rows": easy.counts[0], "f1": easy.by_class[0]}


def test_groups_stay_together():
    data = clouds()
    found = probe(data, "kind", "contig", folds=3)
    for name in data.obs["contig"].unique():
        assert len(set(found.fold[(data.obs["contig"] == name).to_numpy()])) == 1
    assert len(set(found.fold)) == 3


def test_a_label_that_is_the_group_cannot_be_learnt():
    """Rows of one group are told apart by their group's shift: honest only if the group is held out."""
    generator = np.random.default_rng(1)
    group = np.repeat(np.arange(12), 20)
    x = generator.standard_normal((12, 8))[group] + 0.01 * generator.standard_normal((240, 8))
    obs = pandas.DataFrame({"kind": np.where(group % 2, "odd", "even"), "contig": group.astype(str)})
    data = Embeddings(x, obs)
    assert probe(data, "kind").scores["macro_f1"] > 0.95
    assert probe(data, "kind", "contig").scores["macro_f1"] < 0.8


def test_rare_and_blank_labels_are_left_out():
    data = clouds()
    data.obs.loc[:3, "kind"] = "rare"
    data.obs.loc[4:20, "kind"] = ""
    found = probe(data, "kind", folds=3)
    assert found.classes == ("a", "b", "c")
    assert found.left_out == {"rare": 4}
    assert len(found.labels) == len(data) - 21


def test_f1_by_hand():
    probabilities = np.eye(3)[[0, 0, 1, 1]]
    assert class_f1(np.array([0, 1, 1, 1]), probabilities)[:2] == pytest.approx([2 / 3, 0.8])
    assert np.isnan(class_f1(np.array([0, 1, 1, 1]), probabilities)[2])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"label": "colour"}, "no column 'colour'; it has kind, contig"),
        ({"label": "kind", "folds": 2}, "2 folds, expected at least 3"),
        ({"label": "kind", "least": 1000}, "column 'kind' has 0 label"),
        (
            {"label": "kind", "group": "contig", "folds": 9},
            "column 'contig' has 6 values, expected at least 9",
        ),
    ],
)
def test_mistakes_are_named(options, message):
    with pytest.raises(InputError, match=message):
        probe(clouds(), **options)
