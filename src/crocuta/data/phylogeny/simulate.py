"""Birth-death trees, and sequences that evolve along them."""

from itertools import pairwise

import numpy as np

from crocuta.data.phylogeny.substitution import SubstitutionModel
from crocuta.data.phylogeny.tree import Tree

NUCLEOTIDES = np.frombuffer(b"ACGT", np.uint8)


def birth_death_tree(
    tips: int | None,
    generator: np.random.Generator,
    birth: float = 1.0,
    death: float = 0.0,
    age: float | None = None,
    prefix: str = "t",
) -> Tree:
    """The tree of the survivors of a birth-death process, ultrametric; tips are called `t1`, `t2`, ...

    Exact, by the coalescent point process: with `W(t) = 1 + birth (e^((birth - death) t) - 1) / (birth - death)`,
    the depths of the splits between neighbouring tips are independent with `P(H > t) = 1 / W(t)`, conditioned on
    `H < age`; given survival, the number of tips is geometric with mean W(age). (Lambert and Stadler 2013, Theor
    Popul Biol 90:113.) The root is the oldest split; the branch above it is dropped.

    Args:
        tips: how many, at least 2; None draws the number, conditioned on at least 2.
        birth, death: rates per lineage and unit of time, 0 <= death < birth.
        age: time since the process began; default: where W(age) = tips.
    """
    if not 0 <= death < birth:
        raise ValueError(f"need 0 <= death < birth, got birth {birth} and death {death}")
    if tips is None and age is None:
        raise ValueError("give the number of tips, or the age of the tree, or both")
    rate = birth - death
    if age is None:
        age = float(np.log1p((tips - 1) * rate / birth) / rate)  # type: ignore[operator]
    size = 1 + birth * np.expm1(rate * age) / rate
    if tips is None:
        tips = 1 + int(generator.geometric(1 / size))
    if tips < 2:
        raise ValueError(f"a tree needs at least 2 tips, got {tips}")
    survival = 1 - generator.random(tips - 1) * (1 - 1 / size)  # 1 / W(H), in (1 / W(age), 1]
    splits = np.log1p((1 / survival - 1) * rate / birth) / rate
    return _from_splits(splits, [f"{prefix}{i}" for i in range(1, tips + 1)])


def _from_splits(splits: np.ndarray, names: list[str]) -> Tree:
    """The ultrametric tree whose tips i and i + 1 part at the depth `splits[i]`: its root is the deepest split."""
    left, right, spine = {}, {}, []
    for i, depth in enumerate(splits):
        below = None
        while spine and splits[spine[-1]] < depth:
            below = spine.pop()
        left[i] = below
        if spine:
            right[spine[-1]] = i
        spine.append(i)
    parent, length, labels = [], [], []
    stack: list[tuple[int | None, int, int, float]] = [(spine[0], -1, 0, float(splits[spine[0]]))]
    while stack:  # a split, or for None the tip to whose side it stands
        split, above, tip, ceiling = stack.pop()
        parent.append(above)
        length.append(ceiling - (splits[split] if split is not None else 0.0))
        labels.append("" if split is not None else names[tip])
        if split is not None:
            node, depth = len(parent) - 1, float(splits[split])
            stack.append((right.get(split), node, split + 1, depth))
            stack.append((left[split], node, split, depth))
    return Tree.from_parents(parent, length, labels)


def evolve(
    tree: Tree,
    model: SubstitutionModel,
    sites: int,
    generator: np.random.Generator,
    indel_rate: float = 0.0,
    indel_length: float = 3.0,
) -> list[np.ndarray]:
    """Bases 0 to 3 of each tip, uint8 (length,), from a stationary sequence at the root.

    Without indels all have `sites` nucleotides and are aligned. With them, insertions and deletions come at
    `indel_rate` events per site and substitution (half of each kind), with geometric lengths of mean
    `indel_length`; a branch's indels happen at its end, inserted nucleotides are stationary with fresh rates, and
    the tips are not aligned.

    Args:
        sites: nucleotides at the root.
    """
    if sites < 1 or indel_rate < 0 or indel_length < 1:
        raise ValueError(
            f"need sites >= 1, indel_rate >= 0 and indel_length >= 1, got {sites}, {indel_rate}, {indel_length}"
        )
    rates = model.site_rates(sites, generator)
    root = generator.choice(4, sites, p=model.frequencies).astype(np.uint8)
    if indel_rate:
        return _evolve_with_indels(tree, model, (root, rates), generator, indel_rate, indel_length)
    level = np.zeros(len(tree), np.int64)
    for node in range(1, len(tree)):
        level[node] = level[tree.parent[node]] + 1
    bases = np.empty((len(tree), sites), np.uint8)
    bases[0] = root
    order = np.argsort(level, kind="stable")
    bounds = np.searchsorted(level[order], np.arange(1, level.max() + 2))
    rows = max(1, 500_000 // sites)  # nodes at a time: transition probabilities of that size stay small
    for first, last in pairwise(bounds):
        for start in range(first, last, rows):
            nodes = order[start : min(start + rows, last)]
            bases[nodes] = _substitute(
                bases[tree.parent[nodes]], tree.length[nodes, None] * rates, model, generator
            )
    return list(bases[tree.tips])


def _substitute(
    bases: np.ndarray, time: np.ndarray, model: SubstitutionModel, generator: np.random.Generator
) -> np.ndarray:
    """New bases after `time` (in expected substitutions) at each place; both of one shape."""
    values, left, right = model._spectrum
    shares = (left[bases] * np.exp(time[..., None] * values)) @ right
    steps = np.cumsum(shares[..., :3], axis=-1)
    return (generator.random(bases.shape)[..., None] > steps).sum(-1).astype(np.uint8)


def _evolve_with_indels(
    tree: Tree,
    model: SubstitutionModel,
    root: tuple[np.ndarray, np.ndarray],
    generator: np.random.Generator,
    rate: float,
    mean: float,
) -> list[np.ndarray]:
    alive, waiting = {0: root}, np.bincount(tree.parent[1:], minlength=len(tree))
    tips = {}
    for node in range(1, len(tree)):
        above = int(tree.parent[node])
        bases, rates = alive[above]
        bases = _substitute(bases, tree.length[node] * rates, model, generator)
        for _ in range(generator.poisson(rate * tree.length[node] * len(bases))):
            bases, rates = _indel(bases, rates, model, generator, mean)
        waiting[above] -= 1
        if not waiting[above]:
            del alive[above]
        if waiting[node]:
            alive[node] = (bases, rates)
        else:
            tips[node] = bases
    return [tips[node] for node in tree.tips]


def _indel(
    bases: np.ndarray,
    rates: np.ndarray,
    model: SubstitutionModel,
    generator: np.random.Generator,
    mean: float,
) -> tuple[np.ndarray, np.ndarray]:
    size, place = int(generator.geometric(1 / mean)), int(generator.integers(len(bases) + 1))
    if generator.random() < 0.5:
        fresh = generator.choice(4, size, p=model.frequencies).astype(np.uint8)
        return np.insert(bases, place, fresh), np.insert(rates, place, model.site_rates(size, generator))
    cut = slice(place, place + min(size, len(bases) - 1))  # a sequence keeps at least one nucleotide
    return np.delete(bases, cut), np.delete(rates, cut)


def nucleotides(bases: np.ndarray) -> str:
    """`ACGT` of bases 0 to 3."""
    return NUCLEOTIDES[bases].tobytes().decode()
