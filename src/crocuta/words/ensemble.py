"""L-CLIP of DNA and words: a library of described sequences, an ensemble that matches the two, and its scores.

Sequences that are alike stay in one part of the split.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from scipy.sparse import csr_array, hstack, vstack
from torch import Tensor

from crocuta.data.batch import pad_batch
from crocuta.data.sequences import Sequences
from crocuta.errors import InputError
from crocuta.models.clip.lclip import ClipConfig, ClipModel, LClipConfig, LClipModel
from crocuta.models.clip.sequence_encoder import SequenceEncoder, SequenceEncoderConfig, as_row
from crocuta.models.hyena.kmer import KmerHyenaConfig
from crocuta.models.lorentz_language import LorentzTransformerConfig
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.recipe import Recipe
from crocuta.words.clip import chance_recall, recall
from crocuta.words.tokenizer import word_tokenizer

SHARES = (0.6, 0.15, 0.25)  # training, validation, test
LARGEST_GROUP = 60  # larger groups of like sequences are trained on, never tested on
WHOLE = {"prefixes": [2, 3, 4, 5, 6], "length_bins": 26}  # what only whole sequences have
INNER = 5  # kinds of counts that a stretch has as well
KS = (1, 10)
K = 6  # of HyenaDNA's k-mers
COUNTED = ("rarity", "centre", "basis")  # what the members' encoders share
AT_ONCE = 256  # sequences


@dataclass(frozen=True)
class WordsRecipe:
    """How an ensemble is made.

    Args:
        members: models whose predictions are averaged; each starts from random weights of its own.
        epochs, every: passes of each member, and how many lie between two evaluations on the validation part.
        views: random stretches of every sequence that are counted in addition to the whole.
        components, width, dropout: of `SequenceEncoder`.
        hyena_kmers: 6-mers that HyenaDNA reads in addition to the counts; 0: no HyenaDNA.
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

    def encoder(self, hyena: bool = True) -> SequenceEncoderConfig:
        """Configuration of the members' sequence encoder; without `hyena`, of its counts alone."""
        most = self.hyena_kmers + 1
        tower = KmerHyenaConfig(d_model=64, n_layer=2, k=K, max_seq_len=most) if most > 1 and hyena else None
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

    def optimisation(self) -> Recipe:
        """Of a member's training."""
        return Recipe(self.learning_rate, weight_decay=self.weight_decay, warmup=0.05)


class Library(NamedTuple):
    """Sequences, labels, species ("": unknown), groups of like sequences, and words for a label and a species."""

    sequences: Sequences
    labels: np.ndarray
    species: np.ndarray
    groups: np.ndarray
    caption: Callable[[str, str | None], str]

    def own_caption(self, row: int, with_species: bool = True) -> str:
        """The caption of a sequence."""
        species = str(self.species[row]) if with_species else ""
        return self.caption(str(self.labels[row]), species or None)


class Parts(NamedTuple):
    """Rows of a library: of training, validation and test."""

    train: np.ndarray
    valid: np.ndarray
    test: np.ndarray


def split_described(library: Library, seed: int) -> Parts:
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


def views(
    library: Library, encoder: SequenceEncoder, number: int, seed: int = 0, progress: Progress = SILENT
) -> list[csr_array]:
    """Counts of whole sequences; and for each further view those of a random stretch of each, half of it or more.

    How a sequence begins and ends, and its length, are part of every view.
    """
    generator = np.random.default_rng(seed)
    inner = sum(encoder.config.blocks[:INNER])
    total = (number + 1) * len(library.labels)

    @torch.no_grad()
    def count(whole: bool) -> csr_array:
        rows = []
        for ids in library.sequences:
            least = len(ids) if whole else min(len(ids), max(len(ids) // 2, 30))
            length = int(generator.integers(least, len(ids) + 1))
            start = int(generator.integers(0, len(ids) - length + 1))
            rows.append(csr_array(encoder.counts(as_row(ids[start : start + length])).numpy()))
            stage.advance()
        return csr_array(vstack(rows))

    with progress.stage("counting k-mers", total, "sequences") as stage:
        first = count(True)
        return [
            first, *(csr_array(hstack([count(False)[:, :inner], first[:, inner:]])) for _ in range(number))
        ]  # fmt: skip


class Words(NamedTuple):
    """Captions to retrieve among, their labels, the log of how frequent each is, and the tokenizer of their words."""

    captions: list[str]
    labels: np.ndarray
    prior: np.ndarray
    tokenizer: Any

    def tokens(self, captions: list[str], device: torch.device | str = "cpu") -> dict[str, Tensor]:
        """Arguments of the model for these captions."""
        found = self.tokenizer(captions, padding=True, return_tensors="pt").to(device)
        return {"text_ids": found["input_ids"], "text_mask": found["attention_mask"]}


def make_words(library: Library, train: np.ndarray) -> Words:
    """The captions of the training part. Contrast learns a similarity from which their frequency is missing."""
    pairs = sorted({(str(library.labels[i]), str(library.species[i])) for i in train})
    captions = [library.caption(label, species or None) for label, species in pairs]
    count = Counter(library.own_caption(i) for i in train)
    prior = np.log([count[caption] / len(train) for caption in captions]).astype(np.float32)
    return Words(captions, np.array([label for label, _ in pairs]), prior, word_tokenizer(captions))


class WordEnsemble:
    """L-CLIPs that read the same counts and whose predictions are averaged.

    The likelihood of a caption, given a sequence, is a sum over the members of log-probabilities among all captions.
    """

    def __init__(self, models: list[LClipModel], words: Words):
        self.models, self.words = [model.eval() for model in models], words

    @property
    def encoder(self) -> SequenceEncoder:
        """The first member's; all count alike and have the same components."""
        return self.models[0].content_encoder

    @property
    def device(self) -> torch.device:
        """Where the members are."""
        return next(self.models[0].parameters()).device

    @torch.no_grad()
    def inputs(self, sequences: Sequences, components: Tensor | None = None) -> Iterator[dict[str, Tensor]]:
        """The models' arguments, `AT_ONCE` sequences at a time; `components` where they are known."""
        for start in range(0, len(sequences), AT_ONCE):
            chosen = sequences.select(np.arange(start, min(start + AT_ONCE, len(sequences))))
            if components is None:
                counts = torch.cat([self.encoder.counts(as_row(ids).to(self.device)) for ids in chosen])
                known = self.encoder.components(counts)
            else:
                known = components[start : start + AT_ONCE]
            found = read(list(chosen), known, self.encoder)
            yield {name: value.to(self.device) for name, value in found.items()}

    @torch.no_grad()
    def likelihood(
        self,
        sequences: Sequences,
        queries: list[str] | None = None,
        components: Tensor | None = None,
        progress: Progress = SILENT,
    ) -> tuple[np.ndarray, np.ndarray | None]:
        """Of captions (n, captions), and of other words (n, queries), given each sequence.

        Args:
            components: of the sequences, where they are known.
        """
        words, prior = self.words, torch.from_numpy(self.words.prior).to(self.device)
        known = words.tokens(words.captions, self.device)
        asked = words.tokens(queries, self.device) if queries else None
        captions, others = [], []
        with progress.stage("reading", len(sequences), "sequences") as stage:
            for batch in self.inputs(sequences, components):
                to_captions, to_others = torch.zeros((), device=self.device), torch.zeros(())
                for model in self.models:
                    points = model.encode_sequence(**batch)
                    found = model.similarity(points, model.encode_text(**known)) + prior
                    to_captions = to_captions + found.log_softmax(1)
                    if asked is not None:
                        similarity = model.similarity(points, model.encode_text(**asked)).cpu()
                        to_others = to_others + similarity - found.logsumexp(1, keepdim=True).cpu()
                captions.append(to_captions.cpu())
                others.append(to_others)
                stage.advance(len(captions[-1]))
        return torch.cat(captions).numpy(), torch.cat(others).numpy() if queries else None


def read(
    sequences: list[np.ndarray],
    components: Tensor,
    encoder: SequenceEncoder,
    start: Callable[[int], int] | None = None,
) -> dict[str, Tensor]:
    """Components and the nucleotides that HyenaDNA reads: the first ones, or from where `start(spare)` says."""
    tower = encoder.config.hyena
    most = K * (tower.max_seq_len - 1) if tower is not None else 8
    places = [0 if start is None else start(max(len(ids) - most, 0)) for ids in sequences]
    ids, mask = pad_batch([ids[at : at + most] for at, ids in zip(places, sequences, strict=True)])
    found = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
    return found | {"components": components}


def share_components(shared: Mapping[str, Tensor], encoder: SequenceEncoder) -> None:
    """Gives an encoder what another has learned from counts: both hold the same tensors."""
    for name in COUNTED:
        setattr(encoder, name, shared[name])


def evaluate(
    ensemble: WordEnsemble, library: Library, rows: np.ndarray, components: Tensor | None = None
) -> dict[str, float]:
    """`scores` of these rows of a library; `components` of all its sequences, where they are known."""
    known = None if components is None else components[torch.from_numpy(rows)]
    likelihood, _ = ensemble.likelihood(library.sequences.select(rows), components=known)
    return recall_scores(likelihood, library.labels[rows], ensemble.words.labels)


def recall_scores(likelihood: np.ndarray, labels: np.ndarray, caption_labels: np.ndarray) -> dict[str, float]:
    """Recall both ways: a caption is right where its label is the sequence's.

    Sequences for a caption are ranked by its log-probability among all captions, so that one that suits many captions
    counts less.
    """
    relevant = labels[:, None] == caption_labels
    log_odds = likelihood - np.logaddexp.reduce(likelihood, axis=1, keepdims=True)
    return _both_ways(recall, likelihood, log_odds.T, relevant)


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
