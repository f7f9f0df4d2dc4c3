"""The three synthetic classification problems of "Hyperbolic Genome Embeddings" (arXiv 2507.21648), with their knobs.

A: which clade of one tree a sequence belongs to. B: which of two trees it evolved on. C: whether it evolved on a
tree at all, or is random with the same composition and lengths. The paper's text names A and C only; B, and all
numbers, are our reading. Noise and depth are parameters because the paper's second open question is about them.
"""

import csv
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.data.phylogeny.alignment import write_fasta
from crocuta.data.phylogeny.newick import write_trees
from crocuta.data.phylogeny.simulate import birth_death_tree, evolve, nucleotides
from crocuta.data.phylogeny.substitution import GTR, HKY, SubstitutionModel
from crocuta.data.phylogeny.tree import Tree, join
from crocuta.errors import InputError
from crocuta.files import replacing, write_json

PARTS = ("train", "dev", "test")


@dataclass(frozen=True)
class Scenario:
    """What to simulate; everything follows from these fields.

    kind: "A", "B" or "C", see the module.
    sequences: of all classes together, half of them (in A: a `classes`-th) in each class.
    length: nucleotides at the root. height: substitutions per site from root to tips ("depth").
    noise: share of nucleotides that are replaced by random ones of equal composition, 0 to 1.
    classes: clades to tell apart (A) or trees (B); C has two classes.
    separation: in A, share of `height` that lies above the clades: 1 would make them separate points.
    split: "clade" holds whole subclades out of training, "leaf" draws sequences at random, relatives included.
    groups: subclades per tree to draw from under "clade"; test_share: aimed at for dev and for test.
    model: "hky" (with `kappa`) or "gtr" (with `rates`); `frequencies` of A, C, G, T; `gamma` None: equal rates.
    birth, death, indel_rate, indel_length: see `birth_death_tree` and `evolve`.
    """

    kind: str = "C"
    sequences: int = 2000
    length: int = 200
    height: float = 1.0
    noise: float = 0.0
    classes: int = 2
    separation: float = 0.5
    split: str = "clade"
    groups: int = 30
    test_share: float = 0.15
    model: str = "hky"
    kappa: float = 2.0
    rates: tuple[float, ...] = (1.0, 2.0, 1.0, 1.0, 2.0, 1.0)
    frequencies: tuple[float, ...] = (0.25, 0.25, 0.25, 0.25)
    gamma: float | None = 0.5
    birth: float = 1.0
    death: float = 0.5
    indel_rate: float = 0.0
    indel_length: float = 3.0
    seed: int = 0

    def check(self) -> None:
        """Raises InputError for a field outside its range, naming it."""
        for name, (expected, good) in _RANGES.items():
            if not good(self):
                raise InputError(f"scenario: {name} = {getattr(self, name)!r}, expected {expected}")

    def substitution_model(self) -> SubstitutionModel:
        if self.model == "hky":
            return HKY(self.kappa, self.frequencies, self.gamma)
        return GTR(self.rates, self.frequencies, self.gamma)


_RANGES: dict[str, tuple[str, Callable[[Scenario], bool]]] = {
    "kind": ("A, B or C", lambda s: s.kind in ("A", "B", "C")),
    "split": ("clade or leaf", lambda s: s.split in ("clade", "leaf")),
    "model": ("hky or gtr", lambda s: s.model in ("hky", "gtr")),
    "classes": ("at least 2, and 2 in C", lambda s: s.classes >= 2 and (s.kind != "C" or s.classes == 2)),
    "sequences": ("at least 20 per class", lambda s: s.sequences >= 20 * s.classes),
    "length": ("at least 1", lambda s: s.length >= 1),
    "height": ("more than 0", lambda s: s.height > 0),
    "noise": ("0 to 1", lambda s: 0 <= s.noise <= 1),
    "separation": ("between 0 and 1", lambda s: 0 < s.separation < 1),
    "groups": ("at least 3", lambda s: s.groups >= 3),
    "test_share": ("more than 0, at most 0.4", lambda s: 0 < s.test_share <= 0.4),
    "kappa": ("more than 0", lambda s: s.kappa > 0),
    "rates": ("six positive numbers", lambda s: len(s.rates) == 6 and min(s.rates) > 0),
    "frequencies": ("four positive numbers", lambda s: len(s.frequencies) == 4 and min(s.frequencies) > 0),
    "gamma": ("more than 0, or None", lambda s: s.gamma is None or s.gamma > 0),
    "death": ("0 or more, and less than birth", lambda s: 0 <= s.death < s.birth),
    "indel_rate": ("0 or more", lambda s: s.indel_rate >= 0),
    "indel_length": ("at least 1", lambda s: s.indel_length >= 1),
}


class Example(NamedTuple):
    """One row of a table: `clade` is what the split keeps together, "" for random sequences."""

    name: str
    sequence: str
    label: str
    split: str
    clade: str


class Simulation(NamedTuple):
    """The rows of all parts, and the trees behind them (one in A and C)."""

    examples: list[Example]
    trees: list[Tree]


def simulate_scenario(scenario: Scenario) -> Simulation:
    """Trees and labelled, split sequences; the same fields give the same sequences.

    Raises:
        InputError: a field outside its range.
    """
    scenario.check()
    generator = np.random.default_rng(scenario.seed)
    model = scenario.substitution_model()
    per_class = [len(part) for part in np.array_split(np.arange(scenario.sequences), scenario.classes)]
    if scenario.kind == "A":
        parts = [
            _class_tree(scenario, n, 1 - scenario.separation, f"{i}_", generator)
            for i, n in enumerate(per_class)
        ]
        stem = scenario.height * scenario.separation
        trees = [join(parts, [stem] * len(parts))]
    else:
        count = 1 if scenario.kind == "C" else scenario.classes
        parts = trees = [_class_tree(scenario, per_class[i], 1.0, f"{i}_", generator) for i in range(count)]
    evolved = [
        bases
        for tree in trees
        for bases in evolve(
            tree, model, scenario.length, generator, scenario.indel_rate, scenario.indel_length
        )
    ]
    composition = np.bincount(np.concatenate(evolved), minlength=4) / sum(map(len, evolved))
    rows = list(_evolved_rows(scenario, parts, evolved, generator))
    if scenario.kind == "C":
        rows += _random_rows(
            scenario, per_class[1], [len(bases) for bases in evolved], composition, generator
        )
    examples = [
        example._replace(sequence=nucleotides(_with_noise(bases, scenario.noise, composition, generator)))
        for example, bases in rows
    ]
    return Simulation([examples[i] for i in generator.permutation(len(examples))], trees)


def write_scenario(folder: str | PathLike, scenario: Scenario) -> dict[str, int]:
    """Writes `train.csv`, `dev.csv`, `test.csv` (`name,sequence,label,clade`), `tree.nwk`, `sequences.fasta`
    and `scenario.json`, and returns how many rows each table has.

    `crocuta train train.csv --valid dev.csv --test test.csv` reads them.
    """
    simulation, folder = simulate_scenario(scenario), Path(folder)
    counts = {}
    for part in PARTS:
        rows = [example for example in simulation.examples if example.split == part]
        with replacing(folder / f"{part}.csv") as file:
            table = csv.writer(file, lineterminator="\n")
            table.writerow(["name", "sequence", "label", "clade"])
            table.writerows([row.name, row.sequence, row.label, row.clade] for row in rows)
        counts[part] = len(rows)
    write_trees(folder / "tree.nwk", simulation.trees)
    rows = sorted(simulation.examples, key=lambda row: row.name)
    write_fasta(
        folder / "sequences.fasta", (f"{row.name} label={row.label} split={row.split}" for row in rows),
        (row.sequence for row in rows),
    )  # fmt: skip
    write_json(folder / "scenario.json", {**asdict(scenario), "rows": counts})
    return counts


def _class_tree(
    scenario: Scenario, tips: int, share: float, prefix: str, generator: np.random.Generator
) -> Tree:
    """A birth-death tree whose height is a share of the scenario's."""
    tree = birth_death_tree(tips, generator, scenario.birth, scenario.death, prefix=prefix)
    return tree.scaled(scenario.height * share / tree.depth.max())


def _evolved_rows(
    scenario: Scenario, parts: Sequence[Tree], evolved: list[np.ndarray], generator: np.random.Generator
) -> Iterator[tuple[Example, np.ndarray]]:
    sequences = iter(evolved)
    for number, tree in enumerate(parts):
        label = "1" if scenario.kind == "C" else str(number)
        clades = tree.clades(scenario.groups)
        clade_of = {tip: i for i, clade in enumerate(clades) for tip in clade}
        if scenario.split == "clade":
            split = _split_clades([len(clade) for clade in clades], scenario.test_share, generator)
            splits = [split[clade_of[tip]] for tip in tree.tips]
        else:
            splits = _split_rows(len(tree.tips), scenario.test_share, generator)
        for tip, part in zip(tree.tips, splits, strict=True):
            yield Example(tree.names[tip], "", label, part, f"{number}.{clade_of[tip]}"), next(sequences)


def _random_rows(
    scenario: Scenario,
    count: int,
    lengths: list[int],
    composition: np.ndarray,
    generator: np.random.Generator,
) -> list[tuple[Example, np.ndarray]]:
    splits = _split_rows(count, scenario.test_share, generator)
    sizes = generator.choice(lengths, count)
    return [
        (
            Example(f"random_{i}", "", "0", split, ""),
            generator.choice(4, size, p=composition).astype(np.uint8),
        )
        for i, (split, size) in enumerate(zip(splits, sizes, strict=True), 1)
    ]


def _split_rows(count: int, share: float, generator: np.random.Generator) -> list[str]:
    """dev and test get `share` of the rows each, at least one."""
    few = max(1, round(share * count))
    names = ["test"] * few + ["dev"] * few + ["train"] * (count - 2 * few)
    return [names[i] for i in generator.permutation(count)]


def _split_clades(sizes: list[int], share: float, generator: np.random.Generator) -> list[str]:
    """dev and test each get clades, in random order, as long as they stay within `share` of the tips.

    Each gets at least the smallest clade that is left; the rest is training.
    """
    part = ["train"] * len(sizes)
    order = list(generator.permutation(len(sizes)))
    for name in ("test", "dev"):
        room = share * sum(sizes)
        free = [i for i in order if part[i] == "train"]
        chosen = []
        for i in free:
            if sizes[i] <= room:
                chosen.append(i)
                room -= sizes[i]
        for i in chosen or [min(free, key=lambda i: sizes[i])]:
            part[i] = name
    return part


def _with_noise(
    bases: np.ndarray, noise: float, composition: np.ndarray, generator: np.random.Generator
) -> np.ndarray:
    if not noise:
        return bases
    drawn = generator.choice(4, len(bases), p=composition).astype(np.uint8)
    return np.where(generator.random(len(bases)) < noise, drawn, bases)


def sweep(scenario: Scenario, field: str, values: Sequence[float]) -> list[Scenario]:
    """The scenario at each value of one field, e.g. `sweep(Scenario("C"), "noise", [0, 0.2, 0.4])`."""
    return [replace(scenario, **{field: value}) for value in values]  # type: ignore[arg-type]
