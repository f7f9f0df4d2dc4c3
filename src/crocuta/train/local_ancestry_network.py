"""The learned smoother: a bidirectional Hyena over blocks that corrects the chain, trained on mosaics.

Evidence of a block: the chain's log-posterior and the copying model's log-likelihoods, of the haplotype and of the
person's other one. At first the network passes the chain's posterior on; what it learns is added to that.
"""

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from time import monotonic

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor

from crocuta.analysis.ancestry.calibration import LEAST, fit_power, sharpen
from crocuta.analysis.ancestry.smoothing import ChainSettings, estimate, smooth_people
from crocuta.files import write_json
from crocuta.models.ancestry import AncestryConfig, AncestryForSiteClassification
from crocuta.runs.optimisation import learning_rate_factor
from crocuta.train.checkpoint import load_checkpoint, read_state, save_checkpoint
from crocuta.train.local_ancestry_examples import Examples, LocalRecipe, judge

FOLDER, CALIBRATION, CHECKPOINT = "network", "calibration.json", "network.parts"
LENGTH, OVERLAP = 512, 64  # blocks read at once; of which so many at either end are only context
BATCH, WIDTH, LAYERS, LEARNING_RATE = 16, 32, 2, 2e-3
WARM_UP = 0.3  # share of the steps
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
    """Trains on mosaics, calibrates on every fourth person of them, saves, and judges on those.

    Goes on from the last checkpoint in `output`, if there is one; checkpoints are gone in the end.
    """
    torch.manual_seed(recipe.seed)
    inputs = [_inputs(made.evidence, made.blocks.cm, chain) for made in examples]
    network = make_network(examples[0].evidence.shape[2])
    before = np.cumsum([0] + [len(made.truth) for made in examples])
    held = [
        (first + np.arange(len(made.truth))) // 2 % 4 == 3
        for first, made in zip(before, examples, strict=False)
    ]
    taught = [(x[~out], made.truth[~out]) for x, made, out in zip(inputs, examples, held, strict=True)]
    _learn(network, taught, recipe, output / CHECKPOINT, tell)
    found = np.concatenate([_flat(_predict(network, x[out])) for x, out in zip(inputs, held, strict=True)])
    truth = np.concatenate([made.truth[out].ravel() for made, out in zip(examples, held, strict=True)])
    power = fit_power(found, truth)
    network.save_pretrained(output / FOLDER)
    write_json(output / FOLDER / CALIBRATION, {"power": power})
    shutil.rmtree(output / CHECKPOINT, ignore_errors=True)
    return judge(sharpen(found, power), truth)


def _learn(
    network: AncestryForSiteClassification,
    taught: list[tuple[np.ndarray, np.ndarray]],
    recipe: LocalRecipe,
    folder: Path,
    tell: Callable[[], object],
) -> None:
    """Steps from the last checkpoint of `folder` on; a step's examples follow from the seed and its number."""
    optimizer = torch.optim.AdamW(network.parameters(), LEARNING_RATE, weight_decay=0.01)
    state, saved = read_state(folder) or {}, monotonic()
    if state:
        network.load_state_dict(load_file(state["folder"] / "model" / "model.safetensors"))
        load_checkpoint(optimizer, state["folder"])
    network.train()
    for step in range(int(state.get("step", 0)), recipe.steps):
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * learning_rate_factor(step, recipe.steps, WARM_UP)
        evidence, truth = _batch(taught, np.random.default_rng((recipe.seed, step)))
        loss = _call(network, evidence, truth).loss
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()
        if monotonic() - saved >= recipe.checkpoint_seconds:
            folder.mkdir(exist_ok=True)
            save_checkpoint(folder, network, optimizer, {"step": step + 1})
            saved = monotonic()
        tell()


def apply_network(run: Path, evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
    """Posterior (haplotypes, blocks, populations) of a run's network; `chain` with the rates of the query."""
    network = AncestryForSiteClassification.from_pretrained(run / FOLDER)
    power = json.loads((run / FOLDER / CALIBRATION).read_text())["power"]
    return sharpen(_predict(network, channels(evidence, smooth_people(evidence, cm, chain))), power)


def _inputs(evidence: np.ndarray, cm: np.ndarray, chain: ChainSettings) -> np.ndarray:
    rates = estimate(evidence, cm, chain)
    return channels(evidence, smooth_people(evidence, cm, rates))


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
