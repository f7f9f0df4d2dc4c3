"""The learned smoother: a bidirectional Hyena over blocks that corrects the chain, trained on mosaics.

Evidence of a block: the chain's log-posterior and the copying model's log-likelihoods, of the haplotype and of the
person's other one. At first the network passes the chain's posterior on; what it learns is added to that.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from crocuta.ancestry.local.examples import Examples, LocalRecipe, score_posterior
from crocuta.ancestry.methods.calibration import LEAST, fit_power, sharpen
from crocuta.ancestry.methods.smoothing import ChainSettings, estimate_chain, smooth_individuals
from crocuta.files import follow_umask, remove, write_json
from crocuta.models.ancestry import AncestryConfig, AncestryForSiteClassification
from crocuta.runs.device import AUTO, choose_device
from crocuta.runs.loop import Course, Learner, fit
from crocuta.runs.progress import SILENT, Progress
from crocuta.runs.saved import read_json

FOLDER, CALIBRATION, CHECKPOINT = "network", "calibration.json", "network.parts"
LENGTH, OVERLAP = 512, 64  # blocks read at once, and those at either end that are only context
BATCH, WIDTH, LAYERS, LEARNING_RATE = 16, 32, 2, 2e-3
WARM_UP = 0.3  # share of the steps
LOG_EVERY = 20  # steps
NO_DOUBT = -12.0  # log odds: the chain has doubts of its own
FAINTEST = 4.0  # log-likelihoods further below the best are as good as impossible


def channels(evidence: np.ndarray, posterior: np.ndarray) -> np.ndarray:
    """Evidence of the network, float32 (haplotypes, blocks, 4 populations)."""
    sure = np.log(np.maximum(posterior, LEAST))
    heard = np.maximum(evidence - evidence.max(2, keepdims=True), -FAINTEST)
    own = np.concatenate([sure - sure.mean(2, keepdims=True), heard - heard.mean(2, keepdims=True)], 2)
    other = own.reshape(-1, 2, *own.shape[1:])[:, ::-1].reshape(own.shape)
    return np.concatenate([own, other], 2).astype(np.float32)


def make_network(populations: int) -> AncestryForSiteClassification:
    """Untrained: its logits are the chain's log-posterior."""
    config = AncestryConfig(
        d_model=WIDTH, n_layer=LAYERS, d_inner=2 * WIDTH, max_sites=LENGTH, position="none", dropout=0.0,
        evidence_channels=4 * populations, missing_rate=0.0, id2label={k: str(k) for k in range(populations)},
    )  # fmt: skip
    network = AncestryForSiteClassification(config)
    direct, doubt = network.head.direct, network.head.doubt
    assert direct is not None, "the configuration has evidence"
    assert doubt is not None, "the configuration has evidence"
    with torch.no_grad():
        direct.weight.zero_()
        direct.weight[:, :populations] = torch.eye(populations)
        doubt.logit.fill_(NO_DOUBT)
    return network


class Smoother(NamedTuple):
    """A trained network, and the power that calibrates it."""

    network: AncestryForSiteClassification
    power: float

    def posterior(self, evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
        """(haplotypes, blocks, populations); `chain` with the rates of the query."""
        return sharpen(
            _predict(self.network, channels(evidence, smooth_individuals(evidence, cm, chain))), self.power
        )


def read_smoother(run: Path, device: str = AUTO) -> Smoother:
    """What `train_network` left in a run."""
    network = AncestryForSiteClassification.from_pretrained(run / FOLDER)
    return Smoother(network.to(choose_device(device)), read_json(run / FOLDER / CALIBRATION)["power"])  # pyright: ignore


class Stretches(Learner):
    """Stretches of mosaics with their truth; a step's follow from the seed and its number."""

    def __init__(self, taught: list[tuple[np.ndarray, np.ndarray]], seed: int):
        self.taught, self.seed = taught, seed

    def batches(self, step: int, process: int, processes: int) -> list[tuple[Tensor, Tensor]]:
        return [_batch(self.taught, np.random.default_rng((self.seed, step)))]

    def loss(self, model: AncestryForSiteClassification, batch: tuple[Tensor, Tensor]) -> Tensor:
        return _call(model, *batch).loss


def train_smoother(
    examples: Sequence[Examples],
    chain: ChainSettings,
    recipe: LocalRecipe,
    output: Path,
    *,
    device: str = AUTO,
    checkpoint_seconds: float = 60.0,
    keep: Callable[[], object] = lambda: None,
    progress: Progress = SILENT,
) -> dict[str, float]:
    """Trains on mosaics, calibrates on every fourth person of them, saves, and evaluates on those.

    Goes on from the last checkpoint in `output`, if there is one; checkpoints are gone in the end.
    """
    inputs = [_inputs(made.evidence, made.blocks.cm, chain) for made in examples]
    before = np.cumsum([0] + [len(made.truth) for made in examples])
    held = [
        (first + np.arange(len(made.truth))) // 2 % 4 == 3
        for first, made in zip(before, examples, strict=False)
    ]
    taught = [(x[~out], made.truth[~out]) for x, made, out in zip(inputs, examples, held, strict=True)]
    network, optimizer, learner = lesson(taught, recipe)
    plan = course(recipe, device, checkpoint_seconds)
    with progress.stage("smoother", plan.steps, "steps") as stage:
        fit(network, optimizer, learner, plan, output / CHECKPOINT, stage=stage, keep=keep)
    found = np.concatenate([_flat(_predict(network, x[out])) for x, out in zip(inputs, held, strict=True)])
    truth = np.concatenate([made.truth[out].ravel() for made, out in zip(examples, held, strict=True)])
    power = fit_power(found, truth)
    network.save_pretrained(output / FOLDER)
    write_json(output / FOLDER / CALIBRATION, {"power": power})
    follow_umask(output / FOLDER)
    remove(output / CHECKPOINT)
    return score_posterior(sharpen(found, power), truth)


def lesson(
    taught: list[tuple[np.ndarray, np.ndarray]], recipe: LocalRecipe
) -> tuple[AncestryForSiteClassification, torch.optim.Optimizer, Stretches]:
    """An untrained network, its optimiser, and what it learns from."""
    torch.manual_seed(recipe.seed)
    network = make_network(taught[0][0].shape[2] // 4)
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    return network, optimizer, Stretches(taught, recipe.seed)


def course(recipe: LocalRecipe, device: str = AUTO, checkpoint_seconds: float = 60.0) -> Course:
    """The steps of the training: the last weights count."""
    return Course(
        recipe.steps, WARM_UP, log_every=LOG_EVERY, checkpoint_seconds=checkpoint_seconds, device=device,
        seed=recipe.seed,
    )  # fmt: skip


def _inputs(evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
    rates = estimate_chain(evidence, cm, chain)
    return channels(evidence, smooth_individuals(evidence, cm, rates))


def _batch(taught: list[tuple[np.ndarray, np.ndarray]], rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Stretches of mosaics, turned around and their populations renamed at random."""
    populations = taught[0][0].shape[2] // 4
    x, y = taught[rng.integers(len(taught))]
    rows, first = rng.integers(0, len(x), BATCH), rng.integers(0, max(x.shape[1] - LENGTH, 0) + 1)
    order = rng.permutation(populations)
    turn = slice(None, None, rng.choice([-1, 1]))
    columns = (np.arange(4)[:, None] * populations + order).ravel()
    stretch = x[rows, first : first + LENGTH][:, turn][:, :, columns]
    truth = np.argsort(order)[y[rows, first : first + LENGTH][:, turn]]
    return torch.from_numpy(np.ascontiguousarray(stretch)), torch.from_numpy(truth)


def _call(network: AncestryForSiteClassification, evidence: Tensor, labels: Tensor | None = None):
    blank = torch.zeros(evidence.shape[:2], dtype=torch.long, device=network.device)
    there = None if labels is None else labels.to(network.device)
    return network(blank, blank, evidence=evidence.to(network.device), labels=there)


@torch.no_grad()
def _predict(network: AncestryForSiteClassification, evidence: np.ndarray) -> np.ndarray:
    """Probabilities, from overlapping stretches of which the middle is kept."""
    network.eval()
    count, length, width = evidence.shape
    found = np.empty((count, length, width // 4), np.float32)
    for begin in range(0, length, LENGTH - 2 * OVERLAP):
        end = min(begin + LENGTH - 2 * OVERLAP, length)
        first = max(min(begin - OVERLAP, length - LENGTH), 0)
        for rows in range(0, count, BATCH):
            stretch = torch.from_numpy(evidence[rows : rows + BATCH, first : first + LENGTH])
            chances = _call(network, stretch).logits.softmax(2).cpu().numpy()
            found[rows : rows + BATCH, begin:end] = chances[:, begin - first : end - first]
    return found


def _flat(posterior: np.ndarray) -> np.ndarray:
    return posterior.reshape(-1, posterior.shape[-1])
