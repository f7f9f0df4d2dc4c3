"""Repeated elements or genes, and words about them, for `lclip.py`: data, baselines, scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from itertools import pairwise, product
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from crocuta.data.annotation import gene_caption
from crocuta.data.elements import element_caption, read_elements, with_enough_groups
from crocuta.data.leakage import leakage, similarity_groups
from crocuta.data.sequences import Sequences
from crocuta.embedding.pieces import Piece, PieceSource
from crocuta.models.clip.sequence_encoder import SequenceEncoder, SequenceEncoderConfig
from crocuta.words.ensemble import (
    WHOLE,
    Library,
    Parts,
    WordEnsemble,
    WordsRecipe,
    chance,
    evaluate,
    make_words,
    mean_score,
    recall_scores,
    split_described,
    views,
)
from crocuta.words.training import fit_words

YEAST = "yeast/Saccharomyces_cerevisiae.R64-1-1"
GENOMES = {
    "yeast": (f"{YEAST}.dna.toplevel.fa.gz", f"{YEAST}.96.gtf.gz"),
    "thale cress": ("invertebrates_1pct/athaliana.fa.gz", "invertebrates_1pct/athaliana.gff3.gz"),
    "nematode": ("invertebrates_1pct/celegans.fa.gz", "invertebrates_1pct/celegans.gff3.gz"),
    "fly": ("invertebrates_1pct/dmelanogaster.fa.gz", "invertebrates_1pct/dmelanogaster.gff3.gz"),
}
MOST_GENES, LONGEST = 300, 20_000
FILES = {"human": "Homo_sapiens.fasta.gz", "fly": "Drosophila_melanogaster.fasta.gz"}
VAGUE = {"", "Unknown", "ARTEFACT", "Simple_repeat", "DNA", "LTR", "LINE", "SINE", "DNA/hAT", "DNA/TcMar"}
LEAST_GROUPS, HYENA_KMERS = 5, 128
HYENA = " with HyenaDNA"


def read_library(folder: Path) -> Library:
    """Repeated elements of human and fly, by class and superfamily."""
    parts = {name: read_elements(folder / file) for name, file in FILES.items()}
    names = [name for part in parts.values() for name in part.sequences.names]
    ids = [row for part in parts.values() for row in part.sequences]
    labels = [label for part in parts.values() for label in part.labels]
    species = [name for name, part in parts.items() for _ in part.labels]
    return well_known(Sequences.from_ids(ids, names), labels, species, element_caption)


def read_genes(folder: Path) -> Library:
    """Genes of four species on their own strand, by biotype; of each biotype of a species at most `MOST_GENES`."""
    generator, seen = np.random.default_rng(0), Counter()
    kept: list[tuple[str, Piece]] = []
    for name, (fasta, genes) in GENOMES.items():
        pieces = list(PieceSource(str(folder / fasta), genes=str(folder / genes)).pieces())
        for piece in (pieces[i] for i in generator.permutation(len(pieces))):
            kind = (name, piece.columns["biotype"])
            if piece.length <= LONGEST and seen[kind] < MOST_GENES:
                seen[kind] += 1
                kept.append((name, piece))
    sequences = Sequences.from_ids([piece.ids() for _, piece in kept], [piece.name for _, piece in kept])
    labels = [str(piece.columns["biotype"]) for _, piece in kept]
    species = [name for name, _ in kept]
    return well_known(sequences, labels, species, gene_caption)


def well_known(sequences: Sequences, labels: list[str], species: list[str], caption: Callable) -> Library:
    """What has a label that says something and that occurs in enough groups of like sequences."""
    groups = similarity_groups(sequences)
    rows = np.flatnonzero(with_enough_groups(labels, groups, LEAST_GROUPS) & ~np.isin(labels, list(VAGUE)))
    return Library(
        sequences.select(rows), np.array(labels)[rows], np.array(species)[rows], groups[rows], caption
    )


def fit_clip(
    kind: str, library: Library, parts: Parts, every: list[csr_matrix], seed: int, hyena: bool = False
) -> dict[str, Any]:
    """Trains an ensemble of L-CLIP or CLIP and evaluates it."""
    recipe = WordsRecipe(flat=kind == "CLIP", hyena_kmers=HYENA_KMERS if hyena else 0, seed=seed)
    start = time.perf_counter()
    ensemble = fit_words(library, parts, recipe, every)
    one = WordEnsemble(ensemble.models[:1], ensemble.words)
    found = {"one of them": evaluate(one, library, parts.test), "parameters": one.models[0].num_parameters()}
    if kind == "L-CLIP":
        found["curvature"] = torch.as_tensor(one.models[0].manifold.c).item()
    found |= {name: evaluate(ensemble, library, getattr(parts, name)) for name in ("valid", "test")}
    return found | {"seconds": time.perf_counter() - start, "members": recipe.members, "seed": seed}


def fit_ridge(
    library: Library, parts: Parts, counts: csr_matrix, blocks: list[int], sets: list[list[int]]
) -> dict[str, Any]:
    """TF-IDF of k-mers to TF-IDF of words by ridge regression, then cosines; its settings chosen by validation."""
    train, valid, test = parts
    words = make_words(library, train)
    vectorizer = TfidfVectorizer(token_pattern=r"\S+", sublinear_tf=True)
    target = vectorizer.fit_transform([library.own_caption(i) for i in train]).toarray()
    centre, captions = target.mean(0), vectorizer.transform(words.captions).toarray()
    edges = np.cumsum([0, *blocks])
    kernels = [block_kernel(counts[:, a:b], train) for a, b in pairwise(edges)]
    best: tuple[float, dict] = (-np.inf, {})
    for chosen in sets:
        kernel = sum(kernels[i] for i in chosen) / len(chosen)
        for strength in (0.03, 0.1, 0.3, 1.0, 3.0):
            weight = np.linalg.solve(kernel[train] + strength * np.eye(len(train)), target - centre)
            for centred, sharpness, share in product((True, False), (0.01, 5.0, 10.0), (0.0, 0.5, 1.0)):
                away = centre * 0 if centred else centre
                goal = captions - centre if centred else captions
                likeness = sharpness * cosine(kernel @ weight + away, goal) + share * words.prior
                validated = recall_scores(likeness[valid], library.labels[valid], words.labels)
                if mean_score(validated) > best[0]:
                    tested = recall_scores(likeness[test], library.labels[test], words.labels)
                    setting = {
                        "kinds": chosen,
                        "strength": strength,
                        "centred": centred,
                        "sharpness": sharpness,
                    }
                    best = mean_score(validated), {"valid": validated, "test": tested} | setting
    return best[1]


def block_kernel(counts: csr_matrix, train: np.ndarray) -> np.ndarray:
    """Inner products with the training rows of one kind's TF-IDF rows of length 1."""
    holding = np.asarray((counts[train] > 0).sum(0), np.float32).ravel()
    found = counts.log1p().multiply(np.log((1 + len(train)) / (1 + holding)) + 1).tocsr()
    length = np.sqrt(np.asarray(found.multiply(found).sum(1)))
    found = found.multiply(1 / np.maximum(length, 1e-9)).tocsr()
    return (found @ found[train].T).toarray()


def cosine(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    x, y = (v / np.maximum(np.linalg.norm(v, axis=1, keepdims=True), 1e-9) for v in (x, y))
    return x @ y.T


def measure(library: Library, seeds: int, kinds: list[str], before: list[dict], save) -> dict[str, Any]:
    """Scores of each seed, a split of its own; `before` holds runs made already, which are not made again."""
    encoder = SequenceEncoder(SequenceEncoderConfig(components=1, hidden_size=1, **WHOLE))
    blocks = encoder.config.blocks
    every = views(library, encoder, WordsRecipe.views)
    known = {run["seed"]: run for run in before}
    found: dict[str, Any] = {
        "elements": len(library.labels),
        "labels": len(set(library.labels)),
        "runs": before,
    }
    for seed in range(seeds):
        parts = split_described(library, seed)
        if seed not in known:
            known[seed] = baselines(library, parts, every[0], blocks) | {"seed": seed}
        for kind in kinds:
            if kind not in known[seed]:
                known[seed][kind] = fit_clip(
                    kind.removesuffix(HYENA), library, parts, every, seed, kind.endswith(HYENA)
                )
                print(seed, kind, known[seed][kind], flush=True)
                found["runs"] = [known[seed] for seed in sorted(known)]
                save(found)
    return found


def baselines(library: Library, parts: Parts, counts: csr_matrix, blocks: list[int]) -> dict[str, Any]:
    """What is known of a split before any training: sizes, leakage, chance, ridge regressions."""
    train, _, test = parts
    words = make_words(library, train)
    kmers, whole = [[0], [1], [2], [3], [0, 1, 2, 3]], list(range(len(blocks)))
    return {
        "sizes": [len(part) for part in parts],
        "leakage": leakage(library.sequences.select(train), library.sequences.select(test), 24).statement,
        "captions": len(words.captions),
        "chance": chance(library.labels[test], words.labels),
        "k-mer ridge": fit_ridge(library, parts, counts, blocks, kmers),
        "ridge of all counts": fit_ridge(library, parts, counts, blocks, [*kmers, whole[2:], whole]),
    }
