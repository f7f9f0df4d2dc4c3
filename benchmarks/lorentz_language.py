"""The Lorentz transformer on yeast with its Euclidean twin (Llama's blocks of equal width) and counts of nucleotides.

    OMP_NUM_THREADS=1 python benchmarks/lorentz_language.py causal    # next nucleotide: perplexity; 4 short trainings
    OMP_NUM_THREADS=1 python benchmarks/lorentz_language.py masked    # hidden nucleotides: accuracy
    OMP_NUM_THREADS=1 python benchmarks/lorentz_language.py speed     # a training step of each, interleaved
    python benchmarks/lorentz_language.py page                        # docs/lorentz_language.md from the results

Chromosome III is held out for test, I for the choice of the learning rate, which each model makes for itself; the
rest is trained on, both strands. Each model gets the same windows, steps and optimiser.
"""

import argparse
import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch.nn import functional as F
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedModel

from crocuta.analysis.markov import fit_markov
from crocuta.data.encoding import VOCABULARY, reverse_complement
from crocuta.data.genome import Genome
from crocuta.data.language import TrainingWindows, partition, step_indices
from crocuta.files import replacing, write_json
from crocuta.models.lorentz_language import (
    LorentzTransformerConfig,
    LorentzTransformerForCausalLM,
    LorentzTransformerForMaskedLM,
)
from crocuta.quiet import prepare
from crocuta.runs.optimisation import learning_rate_factor, parameter_groups
from crocuta.runs.recipe import Recipe

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "lorentz_language.json"
PAGE = ROOT / "docs" / "lorentz_language.md"
BEGIN, END = "<!-- results: begin -->", "<!-- results: end -->"
LENGTH, WINDOWS, STEPS, WIDTH, LAYERS, HEADS = 256, 16, 250, 128, 2, 4
RATES = (1e-3, 3e-3)
ORDERS = range(11)
HIDDEN, MASK, SIDE = 0.15, VOCABULARY["[MASK]"], 5


def lorentz(kind: type[PreTrainedModel]) -> PreTrainedModel:
    # 343 + 1 coordinates in the feed-forward, as many as the twin's
    return kind(LorentzTransformerConfig(d_model=WIDTH, n_layer=LAYERS, n_head=HEADS, d_inner=343))


def euclidean() -> LlamaForCausalLM:
    return LlamaForCausalLM(
        LlamaConfig(
            vocab_size=12, hidden_size=WIDTH, num_hidden_layers=LAYERS, num_attention_heads=HEADS,
            intermediate_size=344, max_position_embeddings=LENGTH, tie_word_embeddings=False,
        )
    )  # fmt: skip


def two_sided(model: LlamaForCausalLM, ids: torch.Tensor) -> torch.Tensor:
    """Logits of the twin where every token sees all."""
    seen = torch.zeros(len(ids), 1, ids.shape[1], ids.shape[1])
    return model(ids, attention_mask=seen).logits


MAKERS = {
    "causal": {"Lorentz": partial(lorentz, LorentzTransformerForCausalLM), "Euclidean": euclidean},
    "masked": {"Lorentz": partial(lorentz, LorentzTransformerForMaskedLM), "Euclidean": euclidean},
}


def logits_of(part: str, model: PreTrainedModel, ids: torch.Tensor) -> torch.Tensor:
    if part == "masked" and isinstance(model, LlamaForCausalLM):
        return two_sided(model, ids)
    return model(input_ids=ids).logits


def pose(part: str, ids: torch.Tensor, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """What a model sees and what it has to predict at each place, -100 for nothing."""
    if part == "causal":
        return ids, F.pad(ids[:, 1:], (0, 1), value=-100)
    hidden = torch.rand(ids.shape, generator=generator) < HIDDEN
    return ids.masked_fill(hidden, MASK), ids.masked_fill(~hidden, -100)


def train(part: str, model: PreTrainedModel, windows: TrainingWindows, rate: float) -> float:
    """Seconds of training."""
    groups = parameter_groups(model, Recipe(learning_rate=rate, weight_decay=0.1))
    for group in groups:
        group["peak"] = group["lr"]
    optimizer, start = torch.optim.AdamW(groups, fused=True), time.perf_counter()
    for step in range(STEPS):
        ids = torch.from_numpy(windows.batch(step_indices(step, WINDOWS)).input_ids)
        seen, target = pose(part, ids, torch.Generator().manual_seed(step))
        for group in optimizer.param_groups:
            group["lr"] = group["peak"] * learning_rate_factor(step, STEPS, 0.05)
        optimizer.zero_grad()
        F.cross_entropy(logits_of(part, model, seen).flatten(0, 1), target.flatten()).backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return time.perf_counter() - start


@torch.no_grad()
def judge(part: str, model: PreTrainedModel, ids: np.ndarray) -> dict[str, float]:
    """Perplexity and accuracy over a chromosome, in windows side by side."""
    model.eval()
    loss, right, count = 0.0, 0, 0
    rows = torch.from_numpy(ids[: len(ids) // LENGTH * LENGTH].astype(np.int64)).view(-1, LENGTH)
    for i, batch in enumerate(rows.split(64)):
        seen, target = pose(part, batch, torch.Generator().manual_seed(i))
        logits, known = logits_of(part, model, seen), target != -100
        loss += F.cross_entropy(logits[known], target[known], reduction="sum").item()
        right += int((logits[known].argmax(-1) == target[known]).sum())
        count += int(known.sum())
    return {"perplexity": float(np.exp(loss / count)), "accuracy": right / count, "letters": count}


def between(train: list[np.ndarray], test: np.ndarray) -> float:
    """Accuracy of the nucleotide seen most often between the five before and the five after."""
    place = 4 ** np.arange(2 * SIDE)
    offsets = [*range(SIDE), *range(SIDE + 1, 2 * SIDE + 1)]

    def contexts(ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nucleotides = ids.astype(np.int64) - VOCABULARY["A"]
        n = len(nucleotides) - 2 * SIDE
        words = sum(nucleotides[o : o + n] * p for o, p in zip(offsets, place, strict=True))
        return words, nucleotides[SIDE : SIDE + n]

    counts = np.zeros((4 ** (2 * SIDE), 4), np.int32)
    for ids in train:
        for strand in (ids, reverse_complement(ids)):
            np.add.at(counts, contexts(strand), 1)
    words, nucleotides = contexts(test)
    return float((counts[words].argmax(1) == nucleotides).mean())


def measure(part: str, data_root: Path, models: list[str]) -> dict:
    genome = Genome(next((data_root / "genomes" / "yeast").glob("*.fa.gz")))
    parts = partition(genome, valid=("I",), test=("III",))
    windows = TrainingWindows(genome, parts["train"], LENGTH, seed=0)
    held_out = {name: genome.sequence(parts[name][0]) for name in ("valid", "test")}
    sequences = [genome.sequence(interval) for interval in parts["train"]]
    found: dict = {"models": {}}
    for name, make in MAKERS[part].items():
        if name not in models:
            continue
        runs = []
        for rate in RATES:
            torch.manual_seed(0)
            model = make()
            seconds = train(part, model, windows, rate)
            scores = {split: judge(part, model, ids) for split, ids in held_out.items()}
            runs.append(scores | {"rate": rate, "seconds": seconds, "parameters": model.num_parameters()})
            print(part, name, json.dumps(runs[-1]), flush=True)
        found["models"][name] = min(runs, key=lambda run: run["valid"]["perplexity"]) | {"runs": runs}
    if part == "causal":
        fitted = fit_markov(sequences, max(ORDERS), both_strands=True)
        found["markov"] = {
            split: {str(j): fitted.perplexity([ids], j) for j in ORDERS} for split, ids in held_out.items()
        }
    else:
        found["between"] = {split: between(sequences, ids) for split, ids in held_out.items()}
    return found


def speed(rounds: int = 30) -> dict[str, dict[str, float]]:
    """CPU milliseconds of a training step of both models, rounds alternating; the best of each."""
    ids = torch.randint(7, 11, (WINDOWS, LENGTH))
    found = {}
    for part, makers in MAKERS.items():
        steps = {name: stepper(part, make(), ids) for name, make in makers.items()}
        times = [{name: step() for name, step in steps.items()} for _ in range(rounds)]
        best = {name: min(row[name] for row in times) for name in steps}
        found[part] = {name: round(1e3 * seconds, 1) for name, seconds in best.items()}
        found[part]["ratio"] = round(best["Lorentz"] / best["Euclidean"], 2)
    return found


def stepper(part: str, model: PreTrainedModel, ids: torch.Tensor) -> Callable[[], float]:
    optimizer = torch.optim.AdamW(model.parameters(), fused=True)
    seen, target = pose(part, ids, torch.Generator().manual_seed(0))

    def step() -> float:
        start = time.process_time()
        optimizer.zero_grad()
        F.cross_entropy(logits_of(part, model, seen).flatten(0, 1), target.flatten()).backward()
        optimizer.step()
        return time.process_time() - start

    return step


def table(results: dict) -> str:
    lines = []
    if "causal" in results:
        found = results["causal"]
        markov = found["markov"]
        best = min(markov["valid"], key=markov["valid"].get)
        lines += [
            "| next nucleotide | parameters | test perplexity | seconds of training |",
            "|---|---|---|---|",
            *(
                f"| {name} transformer, learning rate {run['rate']:g} | {run['parameters']:,} |"
                f" {run['test']['perplexity']:.3f} | {run['seconds']:.0f} |"
                for name, run in found["models"].items()
            ),
            *(
                f"| Markov model of order {j} | {3 * 4 ** int(j):,} | {markov['test'][j]:.3f} | |"
                for j in dict.fromkeys(["0", "3", best])
            ),
            "",
        ]
    if "masked" in results:
        found = results["masked"]
        lines += [
            "| hidden nucleotide | parameters | test accuracy | test perplexity | seconds of training |",
            "|---|---|---|---|---|",
            *(
                f"| {name} transformer, learning rate {run['rate']:g} | {run['parameters']:,} |"
                f" {run['test']['accuracy']:.1%} | {run['test']['perplexity']:.3f} | {run['seconds']:.0f} |"
                for name, run in found["models"].items()
            ),
            f"| counts between the {SIDE} nucleotides on either side | | {found['between']['test']:.1%} | | |",
            "",
        ]
    if "speed" in results:
        ratios = " and ".join(f"{row['ratio']:.2f}" for row in results["speed"].values())
        lines.append(
            f"A training step takes {ratios} times the CPU time of its Euclidean counterpart"
            " (next nucleotide; hidden nucleotide)."
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["causal", "masked", "speed", "page"])
    parser.add_argument("--data-root", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--models", nargs="+", default=["Lorentz", "Euclidean"])
    options = parser.parse_args()
    prepare()
    results = json.loads(RESULT.read_text()) if RESULT.exists() else {}
    if options.part == "speed":
        results["speed"] = speed()
        write_json(RESULT, results)
    elif options.part != "page":
        found = measure(options.part, options.data_root, options.models)
        before = results.get(options.part, {}).get("models", {})
        results[options.part] = found | {"models": before | found["models"]}
        write_json(RESULT, results)
    before, rest = PAGE.read_text().split(BEGIN)
    with replacing(PAGE) as file:
        file.write(f"{before}{BEGIN}\n{table(results)}\n{END}{rest.split(END)[1]}")


if __name__ == "__main__":
    main()
