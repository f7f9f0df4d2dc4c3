"""Repeated elements or genes, and words about them, for `lclip.py`: data, split, models, baseline, scores."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from functools import partial
from itertools import pairwise, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_matrix, hstack, vstack
from sklearn.feature_extraction.text import TfidfVectorizer

from crocuta.data.annotation import gene_caption
from crocuta.data.batch import pad_batch
from crocuta.data.elements import element_caption, read_elements, with_enough_groups
from crocuta.data.leakage import leakage, similarity_groups
from crocuta.data.pieces import Piece, Source
from crocuta.data.sequences import Sequences
from crocuta.data.words import word_tokenizer
from crocuta.models.hyena_kmer import KmerHyenaConfig
from crocuta.models.lclip import ClipConfig, ClipModel, LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.models.sequence_encoder import SequenceEncoder, SequenceEncoderConfig, as_row
from crocuta.train.clip import chance_recall, recall, train_clip
from crocuta.train.recipe import Recipe

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
LEAST_GROUPS, LARGEST_GROUP = 5, 60  # larger groups of like sequences are trained on, never tested on
SHARES = (0.6, 0.15, 0.25)
VIEWS, BATCH, EPOCHS, EVERY, WIDTH, COMPONENTS = 6, 64, 30, 5, 128, 768
HYENA_KMERS, DROPOUT = 128, 0.4
WHOLE = {"prefixes": [2, 3, 4, 5, 6], "length_bins": 26}  # what is told of whole elements
INNER = 5  # kinds of counts that a stretch has as well
RECIPE = Recipe(learning_rate=3e-3, weight_decay=0.2, warmup=0.05)
KS = (1, 10)
MEMBERS = 5
HYENA = " with HyenaDNA"


class Library(NamedTuple):
    """Elements or genes of several species, their labels, groups of like sequences, and words for label and species."""

    sequences: Sequences
    labels: np.ndarray
    species: np.ndarray
    groups: np.ndarray
    caption: Callable[[str, str | None], str]

    def own_caption(self, row: int, told: bool = True) -> str:
        """What is known of one; without `told` its species is left out."""
        return self.caption(str(self.labels[row]), str(self.species[row]) if told else None)


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
        pieces = list(Source(str(folder / fasta), genes=str(folder / genes)).pieces())
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


def split(library: Library, seed: int) -> list[np.ndarray]:
    """Rows to train on, to choose by and to test on: groups of like sequences stay together."""
    generator = np.random.default_rng(seed)
    distinct, member, size = np.unique(library.groups, return_inverse=True, return_counts=True)
    part = generator.choice(3, size=len(distinct), p=SHARES)
    part[size > LARGEST_GROUP] = 0
    return [np.flatnonzero(part[member] == i) for i in range(3)]


def views(library: Library, encoder: SequenceEncoder, seed: int) -> list[csr_matrix]:
    """Counts of whole elements; and for each further view those of a random stretch of each, half of it or more.

    The ends and the length of an element are told in every view.
    """
    generator = np.random.default_rng(seed)
    inner = sum(encoder.config.blocks[:INNER])

    @torch.no_grad()
    def count(whole: bool) -> csr_matrix:
        rows = []
        for ids in library.sequences:
            least = len(ids) if whole else min(len(ids), max(len(ids) // 2, 30))
            length = int(generator.integers(least, len(ids) + 1))
            start = int(generator.integers(0, len(ids) - length + 1))
            rows.append(csr_matrix(encoder.counts(as_row(ids[start : start + length])).numpy()))
        return vstack(rows).tocsr()

    first = count(True)
    return [first, *(hstack([count(False)[:, :inner], first[:, inner:]]).tocsr() for _ in range(VIEWS))]


class Words(NamedTuple):
    """Captions to retrieve among, and the tokenizer learnt from those of the training part."""

    captions: list[str]
    labels: np.ndarray
    tokenizer: Any

    def tokens(self, captions: list[str]) -> dict[str, torch.Tensor]:
        found = self.tokenizer(captions, padding=True, return_tensors="pt")
        return {"text_ids": found["input_ids"], "text_mask": found["attention_mask"]}


def make_words(library: Library, train: np.ndarray) -> Words:
    pairs = sorted({(str(library.labels[i]), str(library.species[i])) for i in train})
    captions = [library.caption(*pair) for pair in pairs]
    return Words(captions, np.array([label for label, _ in pairs]), word_tokenizer(captions))


def batches(
    library: Library,
    rows: np.ndarray,
    every: list[csr_matrix],
    words: Words,
    hyena: bool,
    seed: int,
    epoch: int,
):
    """An epoch: random views of elements, with captions that may leave out the species; rare labels come more often."""
    generator = np.random.default_rng([seed, epoch])
    number = {label: i for i, label in enumerate(sorted(set(library.labels)))}
    _, label, count = np.unique(library.labels[rows], return_inverse=True, return_counts=True)
    rarity = count[label] ** -0.5  # every caption is asked for equally often, and most are rare
    order = generator.choice(rows, len(rows) // BATCH * BATCH, p=rarity / rarity.sum())
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        view = every[int(generator.integers(len(every)))]
        told = generator.random(len(chosen)) < 0.7
        captions = [library.own_caption(i, t) for i, t in zip(chosen, told, strict=True)]
        group = torch.tensor([number[library.labels[i]] for i in chosen])
        yield inputs(library, chosen, view, hyena, generator) | words.tokens(captions) | {"group": group}


def inputs(
    library: Library,
    rows: np.ndarray,
    components: torch.Tensor,
    hyena: bool,
    generator: np.random.Generator | None = None,
) -> dict[str, torch.Tensor]:
    """Components and the letters that HyenaDNA reads: the first ones, or, with a generator, a random stretch."""
    found = {"components": components[torch.from_numpy(rows)]}
    most = 6 * HYENA_KMERS if hyena else 8
    stretches = []
    for row in rows:
        ids = library.sequences[int(row)]
        start = 0 if generator is None else int(generator.integers(0, max(len(ids) - most, 0) + 1))
        stretches.append(ids[start : start + most])
    ids, mask = pad_batch(stretches)
    return found | {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}


@torch.no_grad()
def points(model: LClipModel, library: Library, rows: np.ndarray, components: torch.Tensor, hyena: bool):
    parts = [rows[i : i + 256] for i in range(0, len(rows), 256)]
    return torch.cat([model.encode_sequence(**inputs(library, part, components, hyena)) for part in parts])


def scores(
    similarity: np.ndarray, element_labels: np.ndarray, caption_labels: np.ndarray
) -> dict[str, float]:
    """Recall both ways: an element's caption is right where its label is the element's.

    Elements for a caption are ranked by its log-probability among all captions, so that an element that is like many
    captions counts less.
    """
    relevant = element_labels[:, None] == caption_labels
    told = similarity - np.logaddexp.reduce(similarity, axis=1, keepdims=True)
    found = {}
    for k in KS:
        found[f"element to words @{k}"] = recall(similarity, relevant, k)
        found[f"words to element @{k}"] = recall(told.T, relevant.T, k)
    return found


def mean_score(found: dict[str, float]) -> float:
    """What epochs and settings are chosen by, on validation."""
    return float(np.mean(list(found.values())))


def chance(element_labels: np.ndarray, caption_labels: np.ndarray) -> dict[str, float]:
    relevant = element_labels[:, None] == caption_labels
    found = {}
    for k in KS:
        found[f"element to words @{k}"] = chance_recall(relevant, k)
        found[f"words to element @{k}"] = chance_recall(relevant.T, k)
    return found


def fit_clip(
    kind: str,
    library: Library,
    parts: list[np.ndarray],
    every: list[csr_matrix],
    seed: int,
    hyena: bool = False,
) -> dict[str, Any]:
    """Trains `MEMBERS` of L-CLIP or CLIP and judges them together: captions' log-probabilities, averaged."""
    train, valid, test = parts
    words = make_words(library, train)
    prior = log_prior(library, train, words)
    total = {"valid": 0.0, "test": 0.0}
    start, found = time.perf_counter(), {}
    for member in range(MEMBERS):
        torch.manual_seed(MEMBERS * seed + member)
        model = new_model(kind, len(words.tokenizer), hyena)
        encoder: SequenceEncoder = model.content_encoder
        known = [dense_components(encoder, counts) for counts in fitted(encoder, every, train)]
        tokens = words.tokens(words.captions)

        def likeness(model: LClipModel, rows: np.ndarray, known=known, tokens=tokens) -> np.ndarray:
            with torch.no_grad():
                text = model.encode_text(**tokens)
                found = model.similarity(points(model, library, rows, known[0], hyena), text)
            return (found + prior).log_softmax(1).numpy()

        def judge(model: LClipModel, likeness=likeness) -> float:
            return mean_score(scores(likeness(model, valid), library.labels[valid], words.labels))

        train_clip(
            model, partial(batches, library, train, known, words, hyena, MEMBERS * seed + member),
            epochs=EPOCHS, steps=len(train) // BATCH, recipe=RECIPE, judge=judge, every=EVERY,
        )  # fmt: skip
        total = {
            "valid": total["valid"] + likeness(model, valid),
            "test": total["test"] + likeness(model, test),
        }
        if member == 0:
            alone = scores(likeness(model, test), library.labels[test], words.labels)
            found = {"one of them": alone, "parameters": model.num_parameters()}
            if kind == "L-CLIP":
                found["curvature"] = torch.as_tensor(model.manifold.c).item()
    for name, rows in (("valid", valid), ("test", test)):
        found[name] = scores(total[name], library.labels[rows], words.labels)
    return found | {"seconds": time.perf_counter() - start, "members": MEMBERS, "seed": seed}


def new_model(kind: str, words: int, hyena: bool) -> LClipModel:
    """A model with new weights."""
    tower = KmerHyenaConfig(d_model=64, n_layer=2, k=6, max_seq_len=HYENA_KMERS + 1) if hyena else None
    towers = {
        "content_config": SequenceEncoderConfig(
            components=COMPONENTS, hidden_size=WIDTH, dropout=DROPOUT, hyena=tower, **WHOLE
        ),
        "text_config": LorentzTransformerConfig(
            vocab_size=words, d_model=32, n_layer=1, n_head=2, initializer_range=0.1
        ),
    }
    maker, config = (LClipModel, LClipConfig) if kind == "L-CLIP" else (ClipModel, ClipConfig)
    return maker(config(**towers, projection_dim=64))


def log_prior(library: Library, train: np.ndarray, words: Words) -> torch.Tensor:
    """How often each caption is told of a training sequence; contrast learns a likeness from which this is missing."""
    told = Counter(library.own_caption(i) for i in train)
    return torch.tensor([told[caption] / len(train) for caption in words.captions]).log()


def fitted(encoder: SequenceEncoder, every: list[csr_matrix], train: np.ndarray) -> list[csr_matrix]:
    """Fits the encoder's components to the whole training elements."""
    encoder.fit_counts(torch.from_numpy(every[0][train].toarray()))
    return every


@torch.no_grad()
def dense_components(encoder: SequenceEncoder, counts: csr_matrix) -> torch.Tensor:
    parts = range(0, counts.shape[0], 256)
    return torch.cat([encoder.components(torch.from_numpy(counts[i : i + 256].toarray())) for i in parts])


def fit_ridge(
    library: Library, parts: list[np.ndarray], counts: csr_matrix, blocks: list[int], sets: list[list[int]]
) -> dict[str, Any]:
    """TF-IDF of k-mers to TF-IDF of words by ridge regression, then cosines; its settings chosen by validation."""
    train, valid, test = parts
    words = make_words(library, train)
    prior = log_prior(library, train, words).numpy()
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
                likeness = sharpness * cosine(kernel @ weight + away, goal) + share * prior
                judged = scores(likeness[valid], library.labels[valid], words.labels)
                if mean_score(judged) > best[0]:
                    tested = scores(likeness[test], library.labels[test], words.labels)
                    setting = {
                        "kinds": chosen,
                        "strength": strength,
                        "centred": centred,
                        "sharpness": sharpness,
                    }
                    best = mean_score(judged), {"valid": judged, "test": tested} | setting
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
    every = views(library, encoder, 0)
    known = {run["seed"]: run for run in before}
    found: dict[str, Any] = {
        "elements": len(library.labels),
        "labels": len(set(library.labels)),
        "runs": before,
    }
    for seed in range(seeds):
        parts = split(library, seed)
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


def baselines(
    library: Library, parts: list[np.ndarray], counts: csr_matrix, blocks: list[int]
) -> dict[str, Any]:
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
