"""Scenarios A, B and C: what their labels mean, and what their splits keep apart."""

from collections import Counter, defaultdict

import numpy as np
import pytest

from crocuta.data.labelled import read_labelled
from crocuta.data.phylogeny import Scenario, read_trees, simulate_scenario, write_scenario
from crocuta.data.phylogeny.scenarios import sweep
from crocuta.errors import InputError

SMALL = {"sequences": 240, "length": 60}


def bases(examples):
    return np.array([list(example.sequence.encode()) for example in examples])


@pytest.mark.parametrize("kind", "ABC")
def test_the_same_seed_gives_the_same_sequences(kind):
    one, two = (simulate_scenario(Scenario(kind, **SMALL)).examples for _ in range(2))
    assert one == two
    assert one != simulate_scenario(Scenario(kind, seed=1, **SMALL)).examples
    assert Counter(example.label for example in one) == {"0": 120, "1": 120}
    assert {len(example.sequence) for example in one} == {60}


@pytest.mark.parametrize("kind", "ABC")
def test_held_out_clades_are_not_in_training(kind):
    simulation = simulate_scenario(Scenario(kind, split="clade", sequences=600, length=20))
    parts = defaultdict(set)
    for example in simulation.examples:
        if example.clade:
            parts[example.clade].add(example.split)
    assert all(len(splits) == 1 for splits in parts.values())
    counts = Counter(example.split for example in simulation.examples)
    assert all(60 <= counts[part] <= 92 for part in ("dev", "test"))
    mixed = simulate_scenario(Scenario(kind, split="leaf", sequences=600, length=20)).examples
    assert any(len(splits) > 1 for splits in _by_clade(mixed).values())


def _by_clade(examples):
    found = defaultdict(set)
    for example in examples:
        found[example.clade].add(example.split)
    return found


def test_labels_mean_what_they_say():
    """A: classes are the clades below the root; B: one tree each; C: names tell."""
    a = simulate_scenario(Scenario("A", classes=3, **SMALL))
    (tree,) = a.trees
    label = {example.name: example.label for example in a.examples}
    assert [{label[tree.names[tip]] for tip in clade} for clade in tree.clades(3)] == [{"0"}, {"1"}, {"2"}]
    b = simulate_scenario(Scenario("B", **SMALL))
    assert [{example.label for example in b.examples if example.name in tree.names} for tree in b.trees] == [
        {"0"},
        {"1"},
    ]
    c = simulate_scenario(Scenario("C", **SMALL))
    assert {(example.label, example.name.startswith("random")) for example in c.examples} == {
        ("0", True),
        ("1", False),
    }


def test_height_is_that_of_the_tree():
    for kind in "ABC":
        for tree in simulate_scenario(Scenario(kind, height=0.7, **SMALL)).trees:
            np.testing.assert_allclose(tree.depth[tree.tips], 0.7, rtol=1e-9)


def test_noise_hides_and_depth_separates():
    """Within one class, sequences agree less with noise and with height, down to chance at noise 1."""

    def agreement(scenario):
        rows = bases([e for e in simulate_scenario(scenario).examples if e.label == "1"])
        return float(np.mean(rows[:60] == rows[60:]))

    base = Scenario("C", gamma=None, height=0.2, **SMALL)
    falling = [agreement(scenario) for scenario in sweep(base, "noise", [0, 0.4, 1.0])]
    assert falling[0] > falling[1] + 0.1 > falling[2] + 0.2
    assert falling[2] == pytest.approx(0.25, abs=0.03)
    shallow, deep = (agreement(scenario) for scenario in sweep(base, "height", [0.05, 1.0]))
    assert shallow > deep + 0.2


def test_random_sequences_have_the_composition_and_lengths_of_the_evolved():
    fields = {"frequencies": (0.6, 0.2, 0.1, 0.1), "indel_rate": 0.1, "sequences": 1000, "length": 100}
    examples = simulate_scenario(Scenario("C", **fields)).examples
    nucleotides, lengths = [], []
    for label in "01":
        text = [example.sequence for example in examples if example.label == label]
        lengths.append(np.mean([len(one) for one in text]))
        nucleotides.append(
            np.array([sum(one.count(base) for one in text) for base in "ACGT"]) / sum(map(len, text))
        )
    np.testing.assert_allclose(nucleotides[0], nucleotides[1], atol=0.01)
    assert lengths[0] == pytest.approx(lengths[1], rel=0.01)


def test_files_are_what_train_reads(tmp_path):
    counts = write_scenario(tmp_path, Scenario("A", **SMALL))
    assert sum(counts.values()) == 240
    train = read_labelled(tmp_path / "train.csv")
    assert train.classes == ("0", "1")
    assert len(train) == counts["train"]
    whole = read_labelled(tmp_path / "sequences.fasta")
    assert len(whole) == 240
    assert len(read_trees(tmp_path / "tree.nwk")[0].tips) == 240


@pytest.mark.parametrize(
    "field",
    [
        {"kind": "D"},
        {"noise": 1.5},
        {"height": 0},
        {"classes": 3},
        {"sequences": 10},
        {"death": 1.0},
        {"split": "x"},
    ],
)
def test_fields_out_of_range_are_named(field):
    with pytest.raises(InputError, match=f"scenario: {next(iter(field))} = .*expected"):
        simulate_scenario(Scenario(**{"kind": "C", **SMALL, **field}))
