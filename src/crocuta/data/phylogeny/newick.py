"""Newick and Nexus trees, read without recursion: ladders of ten thousand tips are common."""

import re
from collections.abc import Sequence
from os import PathLike
from pathlib import Path

import numpy as np

from crocuta.data.phylogeny.tree import Tree
from crocuta.data.text import open_lines
from crocuta.errors import InputError
from crocuta.files import replacing

_TOKEN = re.compile(
    r"\s+|(?P<comment>\[[^]]*\])|(?P<quoted>'(?:[^']|'')*')|(?P<mark>[(),:;])|(?P<plain>[^\s()\[\],:;']+)"
)
_TREE = re.compile(
    r"\s*u?tree\s+\*?\s*(?P<name>'[^']*'|[^\s=]+)\s*=\s*(?P<newick>.*)", re.IGNORECASE | re.DOTALL
)


def read_trees(path: str | PathLike) -> list[Tree]:
    """All trees of a Newick or Nexus file, plain or gzip; a Nexus file's `translate` table is applied.

    Comments in brackets are skipped. Names without quotes are kept as written, underscores included.

    Raises:
        InputError: no tree, or one that is not well formed; the message names tree and character.
    """
    path = Path(path)
    with open_lines(path) as lines:
        text = "\n".join(line.text for line in lines)
    if not text.strip():
        raise InputError(f"{path}: the file is empty; expected a Newick or Nexus tree")
    if not text.lstrip().lower().startswith("#nexus"):
        statements = [part for part in _statements(text) if part.strip()]
        return [_parse(part, f"{path}, tree {i}") for i, part in enumerate(statements, 1)]
    translated: dict[str, str] = {}
    trees = []
    for statement in _statements(text):
        words = _strip_comments(statement).split(None, 1)
        if words and words[0].lower() == "translate":
            translated = _translation(words[1])
        elif match := _TREE.fullmatch(statement):
            tree = _parse(match["newick"], f"{path}, tree {match['name']}")
            trees.append(Tree(tree.parent, tree.length, [translated.get(name, name) for name in tree.names]))
    if not trees:
        raise InputError(f"{path}: a Nexus file without a TREE statement; expected a block `begin trees`")
    return trees


def read_tree(path: str | PathLike) -> Tree:
    """The first tree of a file; see `read_trees`."""
    return read_trees(path)[0]


def to_newick(tree: Tree, digits: int = 9) -> str:
    """One line of Newick, branch lengths with `digits` significant digits."""
    below: list[list[str]] = [[] for _ in tree.names]
    text = ""
    for node in range(len(tree) - 1, -1, -1):
        length = "" if node == 0 or np.isnan(tree.length[node]) else f":{tree.length[node]:.{digits}g}"
        text = (
            (f"({','.join(reversed(below[node]))})" if below[node] else "")
            + _quoted(tree.names[node])
            + length
        )
        below[node] = []
        if node:
            below[tree.parent[node]].append(text)
    return text + ";"


def write_trees(path: str | PathLike, trees: Sequence[Tree]) -> None:
    """A Newick file, one tree per line."""
    with replacing(path) as file:
        file.writelines(to_newick(tree) + "\n" for tree in trees)


def _quoted(name: str) -> str:
    return name if re.fullmatch(r"[^\s()\[\],:;']*", name) else "'" + name.replace("'", "''") + "'"


def _unquoted(name: str) -> str:
    return name[1:-1].replace("''", "'") if name[:1] == "'" else name


def _statements(text: str) -> list[str]:
    """What stands between semicolons outside quotes and comments, the `#NEXUS` line left out."""
    text = re.sub(r"\A\s*#nexus", "", text, flags=re.IGNORECASE)
    parts = re.findall(r"(?:\[[^]]*\]|'(?:[^']|'')*'|[^;])+?(?=;|\Z)", text)
    return [part for part in parts if _strip_comments(part).strip()]


def _strip_comments(text: str) -> str:
    return re.sub(r"('(?:[^']|'')*')|\[[^]]*\]", lambda match: match[1] or " ", text)


def _translation(text: str) -> dict[str, str]:
    pairs = re.findall(r"('(?:[^']|'')*'|[^\s,']+)\s+('(?:[^']|'')*'|[^\s,']+)\s*(?:,|\Z)", text)
    return {_unquoted(key): _unquoted(name) for key, name in pairs}


class _Builder:
    """Nodes in the order in which the text opens them: preorder."""

    def __init__(self) -> None:
        self.parent, self.length, self.names = [-1], [0.0], [""]
        self.above: list[int] = []
        self.node = 0

    def open(self) -> None:
        self.above.append(self.node)
        self.add()

    def add(self) -> None:
        self.node = len(self.parent)
        self.parent.append(self.above[-1])
        self.length.append(float("nan"))
        self.names.append("")


def _parse(text: str, place: str) -> Tree:
    builder, position, last = _Builder(), 0, ""
    while position < len(text):
        match = _TOKEN.match(text, position)
        if not match:
            raise InputError(
                f"{place}, character {position + 1}: {text[position]!r} opens what is never closed"
            )
        position, token = match.end(), match["mark"] or match["quoted"] or match["plain"]
        if token is None:
            continue
        where = f"{place}, character {match.start() + 1}"
        if token == "(":
            if last not in ("", "(", ","):
                raise InputError(f"{where}: '(' after {last!r}; expected ',' or ')'")
            builder.open()
        elif token in "),":
            if not builder.above:
                raise InputError(f"{where}: {token!r} outside all brackets; expected one tree, (a,b);")
            if token == ")":
                builder.node = builder.above.pop()
            else:
                builder.add()
        elif last == ":":
            builder.length[builder.node] = _number(token, where)
        elif token != ":":
            if builder.names[builder.node]:
                raise InputError(f"{where}: a second name, {token!r}; expected ':', ',' or ')'")
            builder.names[builder.node] = _unquoted(token)
        last = token
    if builder.above:
        raise InputError(f"{place}: {len(builder.above)} brackets are never closed; is the file truncated?")
    if len(builder.parent) == 1:
        raise InputError(f"{place}: found {text.strip()[:40]!r}; expected a Newick tree such as (a:1,b:2);")
    builder.length[0] = 0.0
    return Tree.from_parents(builder.parent, builder.length, builder.names)


def _number(token: str, where: str) -> float:
    try:
        return float(token)
    except ValueError:
        raise InputError(f"{where}: branch length {token!r}; expected a number") from None
