"""L-CLIP of DNA and words: a library of described sequences, and an ensemble that learns to match the two.

Sequences that are alike stay in one part of the split. Each member of the ensemble sees whole sequences and random
stretches of them; captions may leave the species out; rare captions are drawn more often.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array, hstack, vstack
from torch import Tensor

from crocuta.data.batch import pad_batch
from crocuta.data.sequences import Sequences
from crocuta.data.words import word_tokenizer
from crocuta.errors import InputError
from crocuta.models.hyena_kmer import KmerHyenaConfig
from crocuta.models.lclip import ClipConfig, ClipModel, LClipConfig, LClipModel
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.models.sequence_encoder import SequenceEncoder, SequenceEncoderConfig, as_row
from crocuta.runs.recipe import Recipe
from crocuta.train.clip import chance_recall, recall, train_clip

SHARES = (0.6, 0.15, 0.25)  # to train on, to choose by, to test on
LARGEST_GROUP = 60  # larger groups of like sequences are trained on, never tested on
WHOLE = {"prefixes": [2, 3, 4, 5, 6], "length_bins": 26}  # what is told of whole sequences
INNER = 5  # kinds of counts that a stretch has as well
TOLD = 0.7  # share of captions that name the species
FITTED = 4000  # sequences at most that the components are fitted to
KS = (1, 10)
K = 6  # of HyenaDNA's k-mers
COUNTED = ("rarity", "centre", "basis")  # what the members' encoders share

Progress = Callable[[int, int], None]  # how much is done, and how much there is


@dataclass(frozen=True)
class WordsRecipe:
    """How an ensemble is made.

    Args:
        members: models, each with weights and an order of its own, that are asked together.
        epochs, every: passes of each member, and after how many validation judges.
        views: random stretches of every sequence that are counted, beside the whole.
        components, width, dropout: of `SequenceEncoder`.
        hyena_kmers: 6-mers that HyenaDNA reads beside the counts; 0: no HyenaDNA.
        flat: CLIP in place of L-CLIP.
    """

    members: int = 5
    epochs: int = 30
    every: int = 5
    views: int = 6
    components: int = 768
    width: int = 128
    dropout: float = 0.4
    hyena_kmers: int = 0
    flat: bool = False
    learning_rate: float = 3e-3
    weight_decay: float = 0.2
    batch_size: int = 64
    seed: int = 0

    def encoder(self) -> SequenceEncoderConfig:
        """Configuration of the members' sequence encoder."""
        most = self.hyena_kmers + 1
        tower = KmerHyenaConfig(d_model=64, n_layer=2, k=K, max_seq_len=most) if self.hyena_kmers else None
        return SequenceEncoderConfig(
            components=self.components, hidden_size=self.width, dropout=self.dropout, hyena=tower, **WHOLE
        )

    def model(self, words: int) -> LClipModel:
        """A member with new weights."""
        text = LorentzTransformerConfig(
            vocab_size=words, d_model=32, n_layer=1, n_head=2, initializer_range=0.1
        )
        maker, config = (ClipModel, ClipConfig) if self.flat else (LClipModel, LClipConfig)
        return maker(config(content_config=self.encoder(), text_config=text, projection_dim=64))


class Library(NamedTuple):
    """Sequences, labels, species ("": not told), groups of like sequences, and words for a label and a species."""

    sequences: Sequences
    labels: np.ndarray
    species: np.ndarray
    groups: np.ndarray
    caption: Callable[[str, str | None], str]

    def own_caption(self, row: int, told: bool = True) -> str:
        """What is known of one; without `told` its species is left out."""
        species = str(self.species[row]) if told else ""
        return self.caption(str(self.labels[row]), species or None)


class Parts(NamedTuple):
    """Rows to train on, to choose by, and to test on."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def split(library: Library, seed: int) -> Parts:
    """A random split; groups of like sequences stay together.

    Raises:
        InputError: a part would be empty.
    """
    generator = np.random.default_rng(seed)
    distinct, member, size = np.unique(library.groups, return_inverse=True, return_counts=True)
    part = generator.choice(3, size=len(distinct), p=SHARES)
    part[size > LARGEST_GROUP] = 0
    parts = Parts(*(np.flatnonzero(part[member] == i) for i in range(3)))
    if not all(len(rows) for rows in parts):
        raise InputError(
            f"{len(library.labels):,} sequences in {len(distinct):,} groups of like ones cannot be split into training,"
            " validation and test; more that differ are needed"
        )
    return parts


def views(library: Library, encoder: SequenceEncoder, number: int, seed: int = 0) -> list[csr_array]:
    """Counts of whole sequences; and for each further view those of a random stretch of each, half of it or more.

    How a sequence begins and ends, and its length, are told in every view.
    """
    generator = np.random.default_rng(seed)
    inner = sum(encoder.config.blocks[:INNER])

    @torch.no_grad()
    def count(whole: bool) -> csr_array:
        rows = []
        for ids in library.sequences:
            least = len(ids) if whole else min(len(ids), max(len(ids) // 2, 30))
            length = int(generator.integers(least, len(ids) + 1))
            start = int(generator.integers(0, len(ids) - length + 1))
            rows.append(csr_array(encoder.counts(as_row(ids[start : start + length])).numpy()))
        return csr_array(vstack(rows))

    first = count(True)
    return [first, *(csr_array(hstack([count(False)[:, :inner], first[:, inner:]])) for _ in range(number))]


class Words(NamedTuple):
    """Captions to retrieve among, their labels, how often each is told (log), and the tokenizer learnt from them."""

    captions: list[str]
    labels: np.ndarray
    prior: np.ndarray
    tokenizer: Any

    def tokens(self, captions: list[str]) -> dict[str, Tensor]:
        """Arguments of the model for these captions."""
        found = self.tokenizer(captions, padding=True, return_tensors="pt")
        return {"text_ids": found["input_ids"], "text_mask": found["attention_mask"]}


def make_words(library: Library, train: np.ndarray) -> Words:
    """The captions of the training part. Contrast learns a likeness from which their frequency is missing."""
    pairs = sorted({(str(library.labels[i]), str(library.species[i])) for i in train})
    captions = [library.caption(label, species or None) for label, species in pairs]
    told = Counter(library.own_caption(i) for i in train)
    prior = np.log([told[caption] / len(train) for caption in captions]).astype(np.float32)
    return Words(captions, np.array([label for label, _ in pairs]), prior, word_tokenizer(captions))


class Ensemble:
    """L-CLIPs that read the same counts, asked together: likeness of sequences and captions.

    Likenesses are sums over the members of log-probabilities of a caption among all captions.
    """

    def __init__(self, models: list[LClipModel], words: Words):
        self.models, self.words = [model.eval() for model in models], words

    @property
    def encoder(self) -> SequenceEncoder:
        """The first member's; all count alike and have the same components."""
        return self.models[0].content_encoder

    @torch.no_grad()
    def inputs(self, sequences: Sequences, components: Tensor | None = None) -> Iterator[dict[str, Tensor]]:
        """The models' arguments, 256 sequences at a time; `components` where they are known."""
        for start in range(0, len(sequences), 256):
            chosen = sequences.select(np.arange(start, min(start + 256, len(sequences))))
            if components is None:
                counts = torch.cat([self.encoder.counts(as_row(ids)) for ids in chosen])
                known = self.encoder.components(counts)
            else:
                known = components[start : start + 256]
            yield read(list(chosen), known, self.encoder)

    @torch.no_grad()
    def likeness(
        self,
        sequences: Sequences,
        queries: list[str] | None = None,
        components: Tensor | None = None,
        progress: Progress | None = None,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of sequences and captions (n, captions), and of sequences and other words (n, queries).

        Args:
            components: of the sequences, where they are known.
            progress: hears how many sequences are done, and of how many.
        """
        words, prior = self.words, torch.from_numpy(self.words.prior)
        known = words.tokens(words.captions)
        asked = words.tokens(queries) if queries else None
        captions, others = [], []
        for batch in self.inputs(sequences, components):
            to_captions, to_others = torch.zeros(()), torch.zeros(())
            for model in self.models:
                points = model.encode_sequence(**batch)
                found = model.similarity(points, model.encode_text(**known)) + prior
                to_captions = to_captions + found.log_softmax(1)
                if asked is not None:
                    likeness = model.similarity(points, model.encode_text(**asked))
                    to_others = to_others + likeness - found.logsumexp(1, keepdim=True)
            captions.append(to_captions)
            others.append(to_others)
            if progress is not None:
                progress(sum(map(len, captions)), len(sequences))
        return torch.cat(captions).numpy(), torch.cat(others).numpy() if queries else None


def read(
    sequences: list[np.ndarray],
    components: Tensor,
    encoder: SequenceEncoder,
    start: Callable[[int], int] | None = None,
) -> dict[str, Tensor]:
    """Components and the letters that HyenaDNA reads: the first ones, or from where `start(spare)` says."""
    tower = encoder.config.hyena
    most = K * (tower.max_seq_len - 1) if tower is not None else 8
    places = [0 if start is None else start(max(len(ids) - most, 0)) for ids in sequences]
    ids, mask = pad_batch([ids[at : at + most] for at, ids in zip(places, sequences, strict=True)])
    found = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    return found | {"components": components}


def fit_words(
    library: Library,
    parts: Parts,
    recipe: WordsRecipe,
    counts: list[csr_array] | None = None,
    progress: Progress | None = None,
) -> Ensemble:
    """Trains an ensemble on `parts.train`; each member keeps the epoch that `parts.valid` likes best.

    Args:
        counts: what `views` gives, where it is at hand.
        progress: hears how many epochs are done, of all members together, and of how many.
    """
    steps = len(parts.train) // recipe.batch_size
    if not steps:
        raise InputError(
            f"{len(parts.train)} sequences to train on are fewer than a batch of {recipe.batch_size}"
        )
    words = make_words(library, parts.train)
    members, known = [], []
    for member in range(recipe.members):
        seed = recipe.members * recipe.seed + member
        torch.manual_seed(seed)
        model = recipe.model(len(words.tokenizer))
        encoder: SequenceEncoder = model.content_encoder
        if members:
            share_components(members[0].content_encoder, encoder)
        else:
            counts = views(library, encoder, recipe.views) if counts is None else counts
            rows = parts.train
            if len(rows) > FITTED:
                rows = np.random.default_rng(recipe.seed).choice(rows, FITTED, replace=False)
            encoder.fit_counts(torch.from_numpy(counts[0][rows].toarray()))
            known = [_components(encoder, view, len(library.labels)) for view in counts]
        train_clip(
            model, _Epochs(library, parts.train, known, words, encoder, recipe, member, progress),
            epochs=recipe.epochs, steps=steps, every=recipe.every,
            judge=partial(_judge, library, parts.valid, known[0], words),
            recipe=Recipe(recipe.learning_rate, weight_decay=recipe.weight_decay, warmup=0.05),
        )  # fmt: skip
        members.append(model)
    return Ensemble(members, words)


def share_components(source: SequenceEncoder, target: SequenceEncoder) -> None:
    """Gives what `SequenceEncoder.fit` learnt to another that counts alike; both hold the same tensors."""
    for name in COUNTED:
        setattr(target, name, getattr(source, name))


@torch.no_grad()
def _components(encoder: SequenceEncoder, counts: csr_array, rows: int) -> Tensor:
    parts = range(0, rows, 256)
    return torch.cat([encoder.components(torch.from_numpy(counts[i : i + 256].toarray())) for i in parts])


class _Epochs(NamedTuple):
    """Makes a member's batches: random views, captions that may leave out the species, rare labels more often."""

    library: Library
    rows: np.ndarray
    known: list[Tensor]
    words: Words
    encoder: SequenceEncoder
    recipe: WordsRecipe
    member: int
    progress: Progress | None

    def __call__(self, epoch: int) -> Iterator[dict[str, Tensor]]:
        library, recipe, size = self.library, self.recipe, self.recipe.batch_size
        if self.progress is not None:
            self.progress(self.member * recipe.epochs + epoch, recipe.members * recipe.epochs)
        generator = np.random.default_rng([recipe.members * recipe.seed + self.member, epoch])
        number = {label: i for i, label in enumerate(sorted(set(library.labels)))}
        _, label, count = np.unique(library.labels[self.rows], return_inverse=True, return_counts=True)
        rarity = count[label] ** -0.5  # every caption is asked for equally often, and most are rare
        order = generator.choice(self.rows, len(self.rows) // size * size, p=rarity / rarity.sum())
        for chosen in np.split(order, len(order) // size):
            view = self.known[int(generator.integers(len(self.known)))][torch.from_numpy(chosen)]
            told = generator.random(size) < TOLD
            captions = [library.own_caption(i, t) for i, t in zip(chosen, told, strict=True)]
            group = torch.tensor([number[library.labels[i]] for i in chosen])
            sequences = [library.sequences[int(i)] for i in chosen]
            letters = read(sequences, view, self.encoder, lambda spare: int(generator.integers(0, spare + 1)))
            yield letters | self.words.tokens(captions) | {"group": group}


def _judge(library: Library, rows: np.ndarray, known: Tensor, words: Words, model: LClipModel) -> float:
    return mean_score(judged(Ensemble([model], words), library, rows, known))


def judged(
    ensemble: Ensemble, library: Library, rows: np.ndarray, components: Tensor | None = None
) -> dict[str, float]:
    """`scores` of these rows of a library; `components` of all its sequences, where they are known."""
    known = None if components is None else components[torch.from_numpy(rows)]
    found, _ = ensemble.likeness(library.sequences.select(rows), components=known)
    return scores(found, library.labels[rows], ensemble.words.labels)


def scores(likeness: np.ndarray, labels: np.ndarray, caption_labels: np.ndarray) -> dict[str, float]:
    """Recall both ways: a caption is right where its label is the sequence's.

    Sequences for a caption are ranked by its log-probability among all captions, so that one that is like many captions
    counts less.
    """
    relevant = labels[:, None] == caption_labels
    told = likeness - np.logaddexp.reduce(likeness, axis=1, keepdims=True)
    return _both_ways(recall, likeness, told.T, relevant)


def chance(labels: np.ndarray, caption_labels: np.ndarray) -> dict[str, float]:
    """`scores` expected of a random order."""
    relevant = labels[:, None] == caption_labels
    return _both_ways(lambda _, right, k: chance_recall(right, k), relevant, relevant.T, relevant)


def _both_ways(
    score: Callable, of_sequences: np.ndarray, of_captions: np.ndarray, relevant: np.ndarray
) -> dict:
    found = {}
    for k in KS:
        found[f"element to words @{k}"] = score(of_sequences, relevant, k)
        found[f"words to element @{k}"] = score(of_captions, relevant.T, k)
    return found


def mean_score(found: dict[str, float]) -> float:
    """What epochs and settings are chosen by, on validation."""
    return float(np.mean(list(found.values())))
