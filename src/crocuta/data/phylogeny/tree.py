"""A rooted tree as three arrays, and the distances in it."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Tree:
    """A rooted tree, its nodes numbered in preorder: the root is 0, and every parent comes before its children.

    parent: int64 (n,), the root's is -1.
    length: float64 (n,), of the branch above each node, in the file's unit (substitutions per site, years ...);
    0 for the root, NaN where the file gives none.
    names: n names, "" for a node without one.

    >>> Tree.from_parents([-1, 0, 0], [0, 2, 3], ["", "a", "b"]).distances().tolist()
    [[0.0, 5.0], [5.0, 0.0]]
    """

    parent: np.ndarray
    length: np.ndarray
    names: list[str]

    @classmethod
    def from_parents(cls, parent: Sequence[int], length: Sequence[float], names: list[str]) -> "Tree":
        """A tree from lists; `ValueError` when a parent does not come before its child."""
        above = np.asarray(parent, np.int64)
        if not len(above) == len(length) == len(names) or not len(above):
            raise ValueError(
                f"{len(above)} parents, {len(length)} lengths and {len(names)} names; give as many of each"
            )
        if above[0] != -1 or (above[1:] < 0).any() or (above >= np.arange(len(above))).any():
            raise ValueError("parent[0] must be -1, and every other parent must come before its child")
        return cls(above, np.asarray(length, np.float64), list(names))

    def __len__(self) -> int:
        return len(self.parent)

    @cached_property
    def tips(self) -> np.ndarray:
        """Nodes without children, int64 (tips,)."""
        return np.setdiff1d(np.arange(len(self)), self.parent[1:])

    @property
    def tip_names(self) -> list[str]:
        return [self.names[tip] for tip in self.tips]

    @cached_property
    def depth(self) -> np.ndarray:
        """Path length from the root to each node, float64 (n,); a missing branch length counts as 1."""
        depth, length = np.zeros(len(self)), self._lengths(True)
        for node in range(1, len(self)):
            depth[node] = depth[self.parent[node]] + length[node]
        return depth

    def distances(self, nodes: Iterable[int] | None = None, weighted: bool = True) -> np.ndarray:
        """Path lengths between nodes (default: the tips), float64 (m, m).

        `weighted=False` counts branches, and so does a tree without branch lengths. Nodes that lie under none
        of `nodes` are left out first, so that a few tips of a large tree cost little.
        """
        wanted = self.tips if nodes is None else np.asarray(list(nodes), np.int64)
        used = np.zeros(len(self), bool)
        used[wanted] = True
        for node in range(len(self) - 1, 0, -1):
            used[self.parent[node]] |= used[node]
        place, length = np.cumsum(used) - 1, self._lengths(weighted)
        distance = np.zeros((used.sum(), used.sum()))
        for node in np.flatnonzero(used)[1:]:
            i, above = place[node], place[self.parent[node]]
            distance[i, :i] = distance[:i, i] = distance[above, :i] + length[node]
        return distance[np.ix_(place[wanted], place[wanted])]

    def scaled(self, factor: float) -> "Tree":
        """All branches `factor` times as long."""
        return replace(self, length=self.length * factor)

    def collapsed(self, shortest: float) -> "Tree":
        """The tree without branches shorter than `shortest`: their children hang on the node above.

        Tips on such branches vanish into their ancestor; branches without a length stay.
        """
        number, kept = np.zeros(len(self), np.int64), [0]
        for node in range(1, len(self)):
            number[node] = number[self.parent[node]]
            if not self.length[node] < shortest:
                number[node] = len(kept)
                kept.append(node)
        parent = np.where(np.arange(len(kept)) == 0, -1, number[self.parent[kept]])
        return Tree(parent, self.length[kept], [self.names[node] for node in kept])

    def clades(self, count: int) -> list[np.ndarray]:
        """Tips in disjoint clades, at least `count` of them where the tree has as many: cut from the root downward.

        The clade whose root lies nearest the tree's root is opened first.
        """
        children: dict[int, list[int]] = {}
        for node in range(1, len(self)):
            children.setdefault(int(self.parent[node]), []).append(node)
        roots = [0]
        while len(roots) < count and any(root in children for root in roots):
            opened = min((root for root in roots if root in children), key=lambda root: self.depth[root])
            roots.remove(opened)
            roots += children[opened]
        owner = np.full(len(self), -1)
        owner[roots] = roots
        for node in range(1, len(self)):
            if owner[node] < 0:
                owner[node] = owner[self.parent[node]]
        return [self.tips[owner[self.tips] == root] for root in sorted(roots)]

    def _lengths(self, weighted: bool) -> np.ndarray:
        counted = np.ones(len(self)) if not weighted else np.where(np.isnan(self.length), 1.0, self.length)
        counted[0] = 0
        return counted


def join(trees: Sequence[Tree], stems: Sequence[float]) -> Tree:
    """One tree whose root has the roots of `trees` as children, on branches of the lengths `stems`."""
    parent, length, names = [np.array([-1])], [np.zeros(1)], [""]
    start = 1
    for tree, stem in zip(trees, stems, strict=True):
        parent.append(np.where(tree.parent < 0, 0, tree.parent + start))
        length.append(np.concatenate([[stem], tree.length[1:]]))
        names += tree.names
        start += len(tree)
    return Tree(np.concatenate(parent), np.concatenate(length), names)
