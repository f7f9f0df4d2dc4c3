"""Whose DNA is this? Accuracy at growing context, with regions of each genome held out.

    python examples/species.py                                     # three invented genomes, seconds
    python examples/species.py genomes/*.fa.gz --lengths 1024 4096 16384 --model runs/pretrained

Windows are embedded by HyenaDNA (with new weights, or a model of yours) and by their k-mer counts; logistic regression
on either says which genome they are from. The invented genomes differ only a little in which nucleotide follows which:
a short window does not tell them apart.
"""

import argparse
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch

from crocuta import load
from crocuta.data.labelled import Labelled
from crocuta.data.sampling import Sampler
from crocuta.embedding.features import Embedder
from crocuta.embedding.probe import fitted
from crocuta.embedding.shards import batches
from crocuta.models.baselines import KmerConfig, KmerForSequenceClassification
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.quiet import prepare


def invent(folder: Path, count: int = 3, length: int = 60_000, seed: int = 0) -> list[Path]:
    """FASTA files of Markov chains of first order, whose transition probabilities differ slightly."""
    generator = np.random.default_rng(seed)
    common = generator.dirichlet([20] * 4, 4)
    paths = []
    for i in range(count):
        chances = np.cumsum(0.65 * common + 0.35 * generator.dirichlet([3] * 4, 4), axis=1)
        nucleotides, draws = np.zeros(length, np.int64), generator.random(length)
        for j in range(1, length):
            nucleotides[j] = np.searchsorted(
                chances[nucleotides[j - 1]], draws[j] * chances[nucleotides[j - 1], -1]
            )
        paths.append(folder / f"genome_{i + 1}.fa")
        paths[-1].write_text(f">chromosome\n{''.join(np.array(list('ACGT'))[nucleotides])}\n")
    return paths


def main(arguments: list[str] | None = None) -> dict[str, list[float]]:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("genomes", nargs="*", type=Path, help="FASTA; default: invented")
    parser.add_argument("--lengths", type=int, nargs="+", default=[64, 256, 1024])
    parser.add_argument("--windows", type=int, default=100, help="of training, for each genome")
    parser.add_argument("--tests", type=int, default=40, help="test windows of each genome")
    parser.add_argument(
        "--model", help="folder of a model, run folder, or hyenadna-<size>; default: new weights"
    )
    options = parser.parse_args(arguments)
    prepare()
    torch.manual_seed(0)
    config = HyenaConfig(d_model=32, max_seq_len=max(options.lengths) + 2, initializer_range=0.08)
    model = load(options.model) if options.model else HyenaForCausalLM(config)
    counts = KmerForSequenceClassification(KmerConfig(longest_kmer=3))
    embedders = {
        "HyenaDNA": Embedder(getattr(model, "members", [model])[0]),
        "k-mers": Embedder(counts, "head"),
    }
    with TemporaryDirectory() as name:
        paths = options.genomes or invent(Path(name))
        sampler = Sampler({path.name.split(".")[0]: path for path in paths}, cache=name)
        return compare(sampler, embedders, options)


def compare(
    sampler: Sampler, embedders: dict[str, Embedder], options: argparse.Namespace
) -> dict[str, list[float]]:
    """Prints and returns the accuracy of each embedder at each length."""
    found: dict[str, list[float]] = {title: [] for title in embedders}
    print(f"{'context':>10}" + "".join(f"{title:>12}" for title in embedders))
    for length in options.lengths:
        train = sampler.labelled(length, "train", options.windows)
        test = sampler.labelled(length, "test", options.tests)
        for title, embedder in embedders.items():
            x, new = vectors(embedder, train), vectors(embedder, test)
            guesses = fitted(x, train.labels, new, 0.1, len(train.classes)).argmax(1)
            found[title].append(float((guesses == test.labels).mean()))
        print(f"{length:>10,}" + "".join(f"{values[-1]:>12.3f}" for values in found.values()), flush=True)
    return found


def vectors(embedder: Embedder, part: Labelled) -> np.ndarray:
    """Embeddings (n, dimension)."""
    x = np.empty((len(part), embedder.dimension), np.float32)
    for batch in batches(part.sequences.lengths.tolist(), None):
        x[batch] = np.concatenate(embedder([part.sequences[i] for i in batch]))
    return x


if __name__ == "__main__":
    main()
