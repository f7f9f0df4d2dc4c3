"""Whose DNA is this? Accuracy at growing context, with regions of each genome held out.

    python examples/species.py                                     # three invented genomes, half a minute
    python examples/species.py genomes/*.fa.gz --lengths 1024 4096 16384 --tokens 5000000

One HyenaDNA is trained on short windows first, then on longer ones; k-mer regression is fitted at each length anew.
The invented genomes differ only a little in which letter follows which: a short window does not tell them apart.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from crocuta.analysis.scores import scores
from crocuta.data.labelled import Splits
from crocuta.data.sampling import Sampler
from crocuta.models.base import load_classifier
from crocuta.models.baselines import KmerConfig
from crocuta.models.hyena import HyenaConfig
from crocuta.quiet import prepare
from crocuta.train import Recipe, finetune, fit_baseline


def invent(folder: Path, count: int = 3, length: int = 60_000, seed: int = 0) -> list[Path]:
    """FASTA files of Markov chains of first order, whose transition probabilities differ slightly."""
    generator = np.random.default_rng(seed)
    common = generator.dirichlet([20] * 4, 4)
    paths = []
    for i in range(count):
        chances = np.cumsum(0.65 * common + 0.35 * generator.dirichlet([3] * 4, 4), axis=1)
        letters, draws = np.zeros(length, np.int64), generator.random(length)
        for j in range(1, length):
            letters[j] = np.searchsorted(chances[letters[j - 1]], draws[j] * chances[letters[j - 1], -1])
        paths.append(folder / f"genome_{i + 1}.fa")
        paths[-1].write_text(f">chromosome\n{''.join(np.array(list('ACGT'))[letters])}\n")
    return paths


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genomes", nargs="*", type=Path, help="FASTA; default: invented")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--tokens", type=int, default=400_000, help="of training, at each length")
    parser.add_argument("--tests", type=int, default=40, help="test windows of each genome")
    parser.add_argument("--width", type=int, default=32, help="of HyenaDNA; the released tiny model has 128")
    options = parser.parse_args(arguments)
    prepare()
    with TemporaryDirectory() as name:
        folder = Path(name)
        paths = options.genomes or invent(folder)
        sampler = Sampler({path.name.split(".")[0]: path for path in paths}, cache=folder)
        return compare(sampler, options, folder)


def compare(sampler: Sampler, options: argparse.Namespace, folder: Path) -> dict[str, list[float]]:
    """Prints and returns the accuracy of both at each length."""
    found: dict[str, list[float]] = {"HyenaDNA": [], "k-mers": []}
    model: HyenaConfig | Path = HyenaConfig(
        d_model=options.width, n_layer=2, max_seq_len=max(options.lengths) + 2, initializer_range=0.08
    )
    print(f"{'context':>10}{'HyenaDNA':>12}{'k-mers':>12}")
    for length in options.lengths:
        windows = max(8, options.tokens // (length * len(sampler.genomes)))
        splits = Splits(
            train=sampler.labelled(length, "train", windows),
            valid=sampler.labelled(length, "valid", 20),
            test=sampler.labelled(length, "test", options.tests),
            policy="the last fifth of each contig",
        )
        recipe = Recipe(learning_rate=3e-3, batch_size=max(2, 4096 // length), epochs=1, warmup=0.1)
        stage = folder / f"hyenadna-{length}"
        finetune(model, splits, stage, recipe, metric="accuracy")
        model = stage  # the next, longer stage goes on from these weights
        fit_baseline(KmerConfig(longest_kmer=3), splits, folder / f"kmer-{length}", metric="accuracy")
        for title, saved in (("HyenaDNA", stage), ("k-mers", folder / f"kmer-{length}")):
            probabilities = load_classifier(saved).probabilities(splits.test.sequences)
            found[title].append(scores(splits.test.labels, probabilities)["accuracy"])
        print(f"{length:>10,}{found['HyenaDNA'][-1]:>12.3f}{found['k-mers'][-1]:>12.3f}", flush=True)
    return found


if __name__ == "__main__":
    main()
