"""Training of an ensemble of L-CLIPs on described DNA, and what it would cost.

Each member sees whole sequences and random stretches of them; captions may leave the species out; rare labels are drawn
more often than they occur.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from scipy.sparse import csr_array
from torch import Tensor
from transformers import AutoTokenizer

from crocuta.errors import InputError
from crocuta.files import remove
from crocuta.models.clip.lclip import LClipModel
from crocuta.models.clip.sequence_encoder import SequenceEncoder, as_row
from crocuta.runs.cost import Cost, estimate_training
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.loop import mixed
from crocuta.runs.progress import SILENT, Progress
from crocuta.words.clip import Pairs, clip_course, clip_optimizer, train_clip
from crocuta.words.ensemble import (
    AT_ONCE,
    COUNTED,
    Library,
    Parts,
    WordEnsemble,
    Words,
    WordsRecipe,
    evaluate,
    make_words,
    mean_score,
    read,
    share_components,
    views,
)
from crocuta.words.folder import (
    member_file,
    read_counts,
    read_member,
    save_counts,
    save_member,
    save_words,
)

WITH_SPECIES = 0.7  # share of captions that name the species
FITTED = 4000  # sequences at most that the components are fitted to
#: Training reads components, and needs nothing that makes them.
NOTHING: dict[str, Tensor] = {name: torch.empty(0) for name in COUNTED}


def fit_words(
    library: Library,
    parts: Parts,
    recipe: WordsRecipe,
    counts: list[csr_array] | None = None,
    folder: Path | None = None,
    *,
    keep: Callable[[], object] = lambda: None,
    device: str = AUTO,
    progress: Progress = SILENT,
) -> WordEnsemble:
    """Trains an ensemble on `parts.train`; each member keeps the weights with the best scores on `parts.valid`.

    Args:
        counts: what `views` gives, where it is at hand.
        folder: where members are kept, and gone on from; see `crocuta.words.folder`.
        keep: called when something is there to go on from.
        device: see `crocuta.runs.device.choose_device`.

    Raises:
        InputError: there are fewer sequences than a batch has, or the loss is not finite.
    """
    steps, where = _steps(parts, recipe), choose_device(device)
    words = _words(library, parts, folder)
    shared, known = _components(library, parts, recipe, counts, folder, progress)
    shared = {name: x.to(where) for name, x in shared.items()}
    members = []
    for i in range(recipe.members):
        torch.manual_seed(mixed(recipe.seed, i))
        model = recipe.model(len(words.tokenizer))
        path = folder and member_file(folder, i)
        unfinished = folder and folder / f"member-{i}"
        if path is None or not path.exists():
            share_components(NOTHING, model.content_encoder)
            with progress.stage(f"training model {i + 1} of {recipe.members}", unit="steps") as stage:
                train_clip(
                    model, _Epochs(library, parts.train, known, words, model.content_encoder, recipe, i),
                    epochs=recipe.epochs, steps=steps, every=recipe.every, recipe=recipe.optimisation(),
                    score=partial(_score, library, parts.valid, known[0], words),
                    seed=mixed(recipe.seed, i), device=device, folder=unfinished, keep=keep, stage=stage,
                )  # fmt: skip
            share_components(shared, model.content_encoder)
            if path is not None:
                save_member(model, path)
                keep()
        else:
            read_member(path, model, shared)
        if unfinished is not None:
            remove(unfinished)
        members.append(cast(Any, model).to(where))
    return WordEnsemble(members, words)


def _steps(parts: Parts, recipe: WordsRecipe) -> int:
    """Batches of an epoch."""
    if steps := len(parts.train) // recipe.batch_size:
        return steps
    raise InputError(
        f"{len(parts.train)} sequences to train on are fewer than a batch of {recipe.batch_size}; lower `batch_size`"
    )


def _words(library: Library, parts: Parts, folder: Path | None) -> Words:
    words = make_words(library, parts.train)
    if folder is None:
        return words
    if not (folder / "words.json").exists():
        save_words(words, folder)
    return words._replace(tokenizer=AutoTokenizer.from_pretrained(folder / "tokenizer"))


def _components(
    library: Library,
    parts: Parts,
    recipe: WordsRecipe,
    counts: list[csr_array] | None,
    folder: Path | None,
    progress: Progress,
) -> tuple[dict[str, Tensor], list[Tensor]]:
    """What members share, fitted or as it is kept, and the components (sequences, components) of each view."""
    encoder = SequenceEncoder(recipe.encoder(hyena=False))
    counts = views(library, encoder, recipe.views, progress=progress) if counts is None else counts
    if folder is not None and (folder / "counts.safetensors").exists():
        share_components(read_counts(folder, recipe.components), encoder)
    else:
        rows = parts.train
        if len(rows) > FITTED:
            rows = np.random.default_rng(recipe.seed).choice(rows, FITTED, replace=False)
        with progress.stage("principal components"):
            encoder.fit_counts(torch.from_numpy(counts[0][rows].toarray()))
        if folder is not None:
            save_counts({name: getattr(encoder, name) for name in COUNTED}, folder)
    shared = {name: getattr(encoder, name) for name in COUNTED}
    starts = range(0, len(library.labels), AT_ONCE)
    with torch.no_grad():
        known = [
            torch.cat([encoder.components(torch.from_numpy(v[i : i + AT_ONCE].toarray())) for i in starts])
            for v in counts
        ]
    return shared, known


class _Epochs(NamedTuple):
    """Makes a member's batches: random views, captions that may leave out the species, rare labels more often."""

    library: Library
    rows: np.ndarray
    known: list[Tensor]
    words: Words
    encoder: SequenceEncoder
    recipe: WordsRecipe
    member: int

    def __call__(self, epoch: int) -> Iterator[dict[str, Tensor]]:
        library, size = self.library, self.recipe.batch_size
        generator = np.random.default_rng(mixed(self.recipe.seed, self.member, epoch))
        number = {label: i for i, label in enumerate(sorted(set(library.labels)))}
        _, label, count = np.unique(library.labels[self.rows], return_inverse=True, return_counts=True)
        rarity = count[label] ** -0.5  # every caption is asked for equally often, and most are rare
        order = generator.choice(self.rows, len(self.rows) // size * size, p=rarity / rarity.sum())
        for chosen in np.split(order, len(order) // size):
            view = self.known[int(generator.integers(len(self.known)))][torch.from_numpy(chosen)]
            named = generator.random(size) < WITH_SPECIES
            captions = [library.own_caption(i, n) for i, n in zip(chosen, named, strict=True)]
            group = torch.tensor([number[library.labels[i]] for i in chosen])
            sequences = [library.sequences[int(i)] for i in chosen]
            found = read(sequences, view, self.encoder, lambda spare: int(generator.integers(0, spare + 1)))
            yield found | self.words.tokens(captions) | {"group": group}


def _score(library: Library, rows: np.ndarray, known: Tensor, words: Words, model: LClipModel) -> float:
    return mean_score(evaluate(WordEnsemble([model], words), library, rows, known))


def estimate_words(library: Library, parts: Parts, recipe: WordsRecipe, device: str = AUTO) -> Cost:
    """What `fit_words` would cost: some sequences are counted, and some steps of a throw-away member are done."""
    steps, words = _steps(parts, recipe), make_words(library, parts.train)
    known = torch.randn(len(library.labels), recipe.components)

    def make() -> tuple[LClipModel, torch.optim.Optimizer, Pairs]:
        model = recipe.model(len(words.tokenizer))
        share_components(NOTHING, model.content_encoder)
        batches = _Epochs(library, parts.train, [known], words, model.content_encoder, recipe, 0)
        pairs = Pairs(batches, steps, partial(_score, library, parts.valid, known, words))
        return model, clip_optimizer(model, recipe.optimisation()), pairs

    course = clip_course(recipe.epochs, steps, recipe.optimisation(), recipe.every, recipe.seed, device)
    training = estimate_training(make, course, recipe.members)
    seconds, megabytes = _cost_of_counts(library, parts, recipe)
    memory = training.memory_mb + megabytes
    return training._replace(seconds=training.seconds + seconds, memory_mb=memory)


@torch.no_grad()
def _cost_of_counts(library: Library, parts: Parts, recipe: WordsRecipe) -> tuple[float, float]:
    """Seconds of counting and of the components, and the most megabytes that they hold."""
    encoder = SequenceEncoder(recipe.encoder(hyena=False))
    features, n, fitted = len(encoder.rarity), len(library.labels), min(len(parts.train), FITTED)
    sample = np.random.default_rng(0).choice(n, min(n, 16), replace=False)
    start = time.perf_counter()
    counts = torch.cat([encoder.counts(as_row(library.sequences[int(i)])) for i in sample])
    counting = (time.perf_counter() - start) / len(sample)
    counts = counts.repeat(AT_ONCE // len(sample), 1)
    start = time.perf_counter()
    encoder.components(counts)
    block = (time.perf_counter() - start) / len(
        counts
    )  # of a sequence: `features` times `components` products
    width = recipe.components
    fitting = (
        fitted * block * (1 + fitted / width + 10 * fitted**2 / (features * width))
    )  # eigenvectors: last
    seconds = (recipe.views + 1) * n * (counting + block) + fitting
    return seconds, 4 * (4 * fitted * features + n * width * (recipe.views + 1)) / 2**20
