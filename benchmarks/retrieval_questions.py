"""Knowledge graphs and questions made from real hierarchies, for `retrieval.py`.

Entities are split before questions are written: those of test questions are in no question of training. Their facts
are in the graph only, so a language model without retrieval can guess but not know.
"""

from __future__ import annotations

import csv
import gzip
import re
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.data.knowledge import KnowledgeGraph, Question

SHARES = {"train": 0.6, "valid": 0.1, "test": 0.3}
Facts = dict[str, str]  # of one entity: relation -> tail, and what follows from it


class Asked(NamedTuple):
    """A question with what kind it is and how many steps its answer is away."""

    question: Question
    kind: str
    hops: int


class Data(NamedTuple):
    """A graph with its questions."""

    graph: KnowledgeGraph
    asked: list[Asked]


class Kind(NamedTuple):
    """A question about one entity (`fact` is the answer) or about two (whether they share it)."""

    text: str
    fact: str
    hops: int
    pair: bool = False


def dengue(folder: Path, seed: int = 0) -> Data:
    """Genomes of dengue virus by accession: genotype, serotype of the genotype, country, region of the country."""
    with open(folder / "phylogeny" / "dengue_all" / "metadata.tsv", encoding="utf-8") as file:
        rows = [
            row
            for row in csv.DictReader(file, delimiter="\t")
            if "/" in row["genotype_nextclade"] and row["country"] and row["region"]
        ]
    facts, triples = {}, []
    for row in rows:
        genotype, serotype = row["genotype_nextclade"], row["genotype_nextclade"].split("/")[0]
        name = row["genbank_accession"]
        facts[name] = {
            "genotype": genotype, "serotype": serotype, "country": row["country"], "region": row["region"]
        }  # fmt: skip
        triples += [(name, "genotype", genotype), (name, "country", row["country"])]
        triples += [(genotype, "serotype", serotype), (serotype, "species", "dengue virus")]
        triples += [(row["country"], "region", row["region"])]
    kinds = [
        Kind("Which genotype is {}?", "genotype", 1),
        Kind("In which country was {} collected?", "country", 1),
        Kind("Which serotype is {}?", "serotype", 2),
        Kind("In which region was {} collected?", "region", 2),
        Kind("Do {} and {} share a genotype?", "genotype", 1, pair=True),
        Kind("Were {} and {} collected in the same region?", "region", 2, pair=True),
    ]
    return Data(KnowledgeGraph.of(triples), ask(facts, kinds, seed))


def elements(folder: Path, seed: int = 0) -> Data:
    """Transposable elements of man: superfamily, and class of the superfamily. Names say nothing of either."""
    with gzip.open(folder / "transposable_elements" / "Homo_sapiens.fasta.gz", "rt") as file:
        headers = [line[1:].split()[0] for line in file if line.startswith(">")]
    facts, triples = {}, []
    for header in headers:
        name, label = header.split("#")
        kind, _, superfamily = label.partition("/")
        if not superfamily:
            continue
        number = re.search(r"Basic_(\d+)", name)
        assert number, name
        # numbers follow length, and length follows class: shuffled, they say nothing
        name = f"TE{(int(number[1]) * 7919 + 1009) % 10007:05d}"
        facts[name] = {"superfamily": superfamily, "class": kind}
        triples += [(name, "superfamily", superfamily), (superfamily, "class", kind)]
    kinds = [
        Kind("Which superfamily does {} belong to?", "superfamily", 1),
        Kind("Which class does {} belong to?", "class", 2),
        Kind("Do {} and {} share a superfamily?", "superfamily", 1, pair=True),
        Kind("Do {} and {} share a class?", "class", 2, pair=True),
    ]
    return Data(KnowledgeGraph.of(triples), ask(facts, kinds, seed))


def ask(facts: dict[str, Facts], kinds: list[Kind], seed: int) -> list[Asked]:
    """One question of each kind about every entity; pairs are within a split, half of them with the answer yes."""
    rng = np.random.default_rng(seed)
    names = rng.permutation(sorted(facts)).tolist()
    ends = np.cumsum([round(share * len(names)) for share in SHARES.values()])[:-1]
    asked = []
    for split, members in zip(SHARES, np.split(np.array(names), ends), strict=True):
        for kind in kinds:
            make: Callable = _pairs if kind.pair else _singles
            for text, answer in make(kind, members.tolist(), facts, rng):
                asked.append(Asked(Question(text, answer, split), kind.text, kind.hops))
    return asked


def _singles(kind: Kind, names: list[str], facts: dict[str, Facts], rng: np.random.Generator):
    for name in names:
        yield kind.text.format(name), facts[name][kind.fact]


def _pairs(kind: Kind, names: list[str], facts: dict[str, Facts], rng: np.random.Generator):
    for i, name in enumerate(names):
        wanted = i % 2 == 0
        others = [
            other
            for other in names
            if other != name and (facts[other][kind.fact] == facts[name][kind.fact]) == wanted
        ]
        if others:
            yield kind.text.format(name, rng.choice(others)), "yes" if wanted else "no"
