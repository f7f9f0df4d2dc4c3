"""The learned smoother: a bidirectional Hyena over blocks that corrects the chain, trained on mosaics.

Evidence of a block: the chain's log-posterior and the copying model's log-likelihoods, of the haplotype and of the
person's other one. At first the network passes the chain's posterior on; what it learns is added to that.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from crocuta.analysis.ancestry.calibration import LEAST, fit_power, sharpen
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.files import write_json
from crocuta.models.ancestry import AncestryConfig, AncestryForSiteClassification
from crocuta.train.local_ancestry_examples import Examples, LocalRecipe, judge

FOLDER, CALIBRATION = "network", "calibration.json"
LENGTH, OVERLAP = 512, 64  # blocks read at once; of which so many at either end are only context
BATCH, WIDTH, LAYERS, LEARNING_RATE = 16, 32, 2, 2e-3
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


def train_network(
    examples: Sequence[Examples],
    chain: ChainSettings,
    recipe: LocalRecipe,
    output: Path,
    tell: Callable[[], object],
) -> dict[str, float]:
    """Trains on mosaics, calibrates on every fourth person of them, saves, and judges on those."""
    torch.manual_seed(recipe.seed)
    rng = np.random.default_rng(recipe.seed)
    inputs = [_inputs(made.evidence, made.blocks.cm, chain) for made in examples]
    network = make_network(examples[0].evidence.shape[2])
    held = [np.arange(len(made.truth)) // 2 % 4 == 3 for made in examples]
    taught = [(x[~out], made.truth[~out]) for x, made, out in zip(inputs, examples, held, strict=True)]
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, total_steps=recipe.steps + 1)
    network.train()
    for evidence, truth in _batches(taught, recipe.steps, rng):
        loss = _call(network, evidence, truth).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        schedule.step()
        tell()
    found = np.concatenate([_flat(_predict(network, x[out])) for x, out in zip(inputs, held, strict=True)])
    truth = np.concatenate([made.truth[out].ravel() for made, out in zip(examples, held, strict=True)])
    power = fit_power(found, truth)
    network.save_pretrained(output / FOLDER)
    write_json(output / FOLDER / CALIBRATION, {"power": power})
    return judge(sharpen(found, power), truth)


def apply_network(run: Path, evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
    """Posterior (haplotypes, blocks, populations) of a run's network; `chain` with the rates of the query."""
    network = AncestryForSiteClassification.from_pretrained(run / FOLDER)
    power = json.loads((run / FOLDER / CALIBRATION).read_text())["power"]
    return sharpen(_predict(network, channels(evidence, smooth_people(evidence, cm, chain))), power)


def _inputs(evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
    rates = estimate(evidence, cm, chain)
    return channels(evidence, smooth_people(evidence, cm, rates))


def _batches(
    taught: list[tuple[np.ndarray, np.ndarray]], steps: int, rng: np.random.Generator
) -> Iterator[tuple[Tensor, Tensor]]:
    """Stretches of mosaics, turned around and their populations renamed at random."""
    populations = taught[0][0].shape[2] // 4
    for _ in range(steps):
        x, y = taught[rng.integers(len(taught))]
        rows, first = rng.integers(0, len(x), BATCH), rng.integers(0, max(x.shape[1] - LENGTH, 0) + 1)
        order = rng.permutation(populations)
        turn = slice(None, None, rng.choice([-1, 1]))
        columns = (np.arange(4)[:, None] * populations + order).ravel()
        stretch = x[rows, first : first + LENGTH][:, turn][:, :, columns]
        truth = np.argsort(order)[y[rows, first : first + LENGTH][:, turn]]
        yield torch.from_numpy(np.ascontiguousarray(stretch)), torch.from_numpy(truth)


def _call(network: AncestryForSiteClassification, evidence: Tensor, labels: Tensor | None = None):
    blank = torch.zeros(evidence.shape[:2], dtype=torch.long)
    return network(blank, blank, evidence=evidence, labels=labels)


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
            chances = _call(network, stretch).logits.softmax(2).numpy()
            found[rows : rows + BATCH, begin:end] = chances[:, begin - first : end - first]
    return found


def _flat(posterior: np.ndarray) -> np.ndarray:
    return posterior.reshape(-1, posterior.shape[-1])
