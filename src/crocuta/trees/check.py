"""What a tree file holds, and what in it is odd, before anything is computed from it."""

from collections import Counter
from os import PathLike
from typing import NamedTuple

import numpy as np

from crocuta.data.phylogeny.newick import read_trees
from crocuta.data.phylogeny.tree import Tree

ULTRAMETRIC = 1e-3  # leaves are level if their depths differ by at most this share of the deepest
SHOWN = 3  # names of an odd thing, at most


class Finding(NamedTuple):
    """One property of a tree; `odd` where it may be a mistake, or where a method may not bear it."""

    what: str
    found: str
    odd: bool = False


def examine(path: str | PathLike) -> list[Finding]:
    """Size, rooting, polytomies, names and branch lengths of the first tree of a file.

    Args:
        path: Newick or Nexus, plain or gzip.

    Raises:
        InputError: no tree, or one that is not well formed.
    """
    trees = read_trees(path)
    several = len(trees) > 1
    first = Finding("trees", f"{len(trees):,}" + "; the first is examined" * several, several)
    tree = trees[0]
    return [first, *_shape(tree), *_names(tree), *_lengths(tree)]


def _shape(tree: Tree) -> list[Finding]:
    children = np.bincount(tree.parent[1:], minlength=len(tree))
    inner, below_root = children > 0, children[1:]
    root = {1: "1 child: the root is no branching point", 2: "rooted (2 children)"}.get(
        int(children[0]), f"unrooted, by convention ({children[0]:,} children)"
    )
    edges = np.zeros(len(tree), np.int64)
    for node in range(1, len(tree)):
        edges[node] = edges[tree.parent[node]] + 1
    polytomies, single = (below_root > 2).sum(), (below_root == 1).sum()
    return [
        Finding("leaves", f"{len(tree.tips):,}"),
        Finding("inner nodes", f"{inner.sum():,}"),
        Finding("deepest leaf", f"{edges.max():,} branches below the root"),
        Finding("root", root, children[0] == 1),
        Finding("polytomies", f"{polytomies:,}"),
        Finding("nodes with one child", f"{single:,}", single > 0),
    ]


def _names(tree: Tree) -> list[Finding]:
    counted = Counter(tree.tip_names)
    unnamed = counted.pop("", 0)
    twice = [name for name, count in counted.items() if count > 1]
    few = f": {', '.join(twice[:SHOWN])}{', ...' * (len(twice) > SHOWN)}" if twice else ""
    return [
        Finding("leaves without a name", f"{unnamed:,}", unnamed > 0),
        Finding("names of several leaves", f"{len(twice):,}{few}", bool(twice)),
    ]


def _lengths(tree: Tree) -> list[Finding]:
    length = tree.length[1:]
    known = length[~np.isnan(length)]
    if not len(known):
        return [Finding("branch lengths", "none: every branch counts as 1")]
    missing, negative = len(length) - len(known), int((known < 0).sum())
    infinite = int(np.isinf(known).sum())
    found = [
        Finding("branch lengths", f"{known.min():g} to {known.max():g}, median {np.median(known):g}"),
        Finding("missing lengths", f"{missing:,}" + ", which count as 1" * (missing > 0), missing > 0),
        Finding("negative lengths", f"{negative:,}", negative > 0),
        Finding("infinite lengths", f"{infinite:,}", infinite > 0),
        Finding("lengths of zero", f"{(known == 0).sum():,}"),
    ]
    depth = tree.depth[tree.tips]
    if np.isfinite(depth).all():
        level = depth.max() - depth.min() <= ULTRAMETRIC * abs(depth.max())
        spread = f"{depth.min():g} to {depth.max():g} from the root"
        found.append(Finding("depth of leaves", f"{spread}, {'ultrametric' if level else 'not ultrametric'}"))
    return found
