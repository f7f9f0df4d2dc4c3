"""Knowledge graphs from tables of triples, and questions about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.data.text import open_lines
from crocuta.errors import InputError

QUESTION_COLUMNS = ("question", "answer", "split")
SPLITS = ("train", "valid", "test")


@dataclass(frozen=True)
class KnowledgeGraph:
    """Entities and the relations between them.

    `triples` (T, 3) holds indices: head in `entities`, relation in `relations`, tail in `entities`. `texts` is what
    an encoder reads of each entity, by default its name.
    """

    entities: tuple[str, ...]
    relations: tuple[str, ...]
    triples: np.ndarray
    texts: tuple[str, ...]

    @classmethod
    def of(
        cls, triples: Iterable[tuple[str, str, str]], texts: dict[str, str] | None = None
    ) -> KnowledgeGraph:
        """A graph of named triples; those that repeat count once.

        >>> KnowledgeGraph.of([("AluY", "is a", "SINE"), ("SINE", "is a", "retrotransposon")]).entities
        ('AluY', 'SINE', 'retrotransposon')
        """
        named = list(dict.fromkeys(triples))
        entities = tuple(dict.fromkeys(name for head, _, tail in named for name in (head, tail)))
        relations = tuple(dict.fromkeys(relation for _, relation, _ in named))
        place = {name: i for i, name in enumerate(entities)}
        kind = {name: i for i, name in enumerate(relations)}
        rows = [(place[head], kind[relation], place[tail]) for head, relation, tail in named]
        texts = texts or {}
        return cls(
            entities,
            relations,
            np.array(rows, np.int64).reshape(-1, 3),
            tuple(texts.get(name, name) for name in entities),
        )

    @cached_property
    def place(self) -> dict[str, int]:
        """Index of each entity."""
        return {name: i for i, name in enumerate(self.entities)}

    @cached_property
    def incident(self) -> tuple[list[list[int]], list[list[int]]]:
        """Triples that leave each entity, and those that arrive at it."""
        leaving: list[list[int]] = [[] for _ in self.entities]
        arriving: list[list[int]] = [[] for _ in self.entities]
        for i, (head, _, tail) in enumerate(self.triples.tolist()):
            leaving[head].append(i)
            arriving[tail].append(i)
        return leaving, arriving

    def sentence(self, triple: int) -> str:
        """`head relation tail`."""
        head, relation, tail = self.triples[triple].tolist()
        return f"{self.entities[head]} {self.relations[relation]} {self.entities[tail]}"


class Question(NamedTuple):
    """A question with its answer; `split` is train, valid or test."""

    text: str
    answer: str
    split: str = "train"


def read_triples(path: str | PathLike, texts: str | PathLike | None = None) -> KnowledgeGraph:
    """A knowledge graph from a table of `head<tab>relation<tab>tail` without a header; `#` begins a remark.

    Args:
        texts: a table of `entity<tab>text`, what is to be read of entities in place of their names.

    Raises:
        InputError: a file is missing, a line has not its columns, or an entity of `texts` is in no triple.
    """
    rows = [(row[0], row[1], row[2]) for _, row in _rows(Path(path), "head, relation and tail", 3)]
    if not rows:
        raise InputError(f"{path}: no triple; expected lines of head, relation and tail, separated by tabs")
    described: dict[str, str] = {}
    if texts is not None:
        known = {name for head, _, tail in rows for name in (head, tail)}
        for number, (name, text) in _rows(Path(texts), "an entity and its text", 2):
            if name not in known:
                raise InputError(
                    f"{texts}, line {number}: {name!r} is in no triple of {path}; remove the line or add triples"
                )
            described[name] = text
    return KnowledgeGraph.of(rows, described)


def _rows(path: Path, columns: str, count: int) -> list[tuple[int, list[str]]]:
    found = []
    with open_lines(path) as lines:
        for line in lines:
            if not line.text.strip() or line.text.startswith("#"):
                continue
            row = [cell.strip() for cell in line.text.split("\t")]
            if len(row) != count or not all(row):
                raise InputError(
                    f"{path}, line {line.number}: found {line.text!r}; expected {columns}, separated by tabs"
                )
            found.append((line.number, row))
    return found


def read_questions(path: str | PathLike) -> list[Question]:
    """Questions from a tab-separated table with the columns `question`, `answer` and, if it likes, `split`.

    Raises:
        InputError: the file is missing, a column is, a cell is empty, or a split has another name.
    """
    path = Path(path)
    with open_lines(path) as lines:
        rows = [(line.number, line.text.split("\t")) for line in lines if line.text.strip()]
    header = [name.strip().lower() for name in rows[0][1]] if rows else []
    if not {"question", "answer"} <= set(header):
        raise InputError(
            f"{path}: columns are {', '.join(header) or 'none'}; expected question, answer[, split]"
        )
    columns = [header.index(name) for name in QUESTION_COLUMNS if name in header]
    found = []
    for number, row in rows[1:]:
        if len(row) != len(header) or not all(row[column].strip() for column in columns):
            raise InputError(
                f"{path}, line {number}: found {len(row)} cells or an empty one; expected {', '.join(header)}"
            )
        question = Question(*(row[column].strip() for column in columns))
        if question.split not in SPLITS:
            raise InputError(
                f"{path}, line {number}: split is {question.split!r}, expected {', '.join(SPLITS)}"
            )
        found.append(question)
    if not found:
        raise InputError(f"{path}: no question below the header")
    return found


def part(questions: Sequence[Question], split: str) -> list[Question]:
    """The questions of a split."""
    return [question for question in questions if question.split == split]
