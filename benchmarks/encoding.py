"""Megabases encoded a second on one core: `taskset -c 0 python benchmarks/encoding.py`."""

import argparse
import timeit
from collections.abc import Callable
from functools import partial

import numpy as np

from crocuta.data.encoding import VOCABULARY, encode, encode_counted, encode_joined


def by_dictionary(sequence: str) -> np.ndarray:
    """What character tokenizers do: a Python loop over nucleotides."""
    return np.array(
        [VOCABULARY.get(nucleotide, VOCABULARY["N"]) for nucleotide in sequence.upper()], np.uint8
    )


def by_table(sequence: str) -> np.ndarray:
    """A numpy look-up in a table of 256 ids."""
    return TABLE[np.frombuffer(sequence.encode(), np.uint8)]


TABLE = encode(bytes(range(256)))


def one_by_one(function: Callable) -> Callable:
    """The same function for a list of sequences."""
    return lambda sequences: [function(sequence) for sequence in sequences]


SIDES = {
    "dictionary": one_by_one(by_dictionary),
    "table": one_by_one(by_table),
    "encode": one_by_one(encode),
    "counted": one_by_one(encode_counted),
    "joined": encode_joined,
}
CASES = (  # what, nucleotides, length of each sequence (0: one sequence)
    ("one sequence, no N", "ACGT", 0),
    ("one, 1/5 N, half lower", "ACGTNacgtn", 0),
    ("one, every IUPAC nucleotide", "ACGTNRYSWKMBDHV", 0),
    ("300 nucleotides each", "ACGT", 300),
    ("70 nucleotides each", "ACGT", 70),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nucleotides", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    print(f"{'Mb/s, best of ' + str(arguments.repeats):>24}", *(f"{side:>10}" for side in SIDES))
    for what, nucleotides, length in CASES:
        text = "".join(generator.choice(list(nucleotides), arguments.nucleotides))
        step = length or len(text)
        sequences = [text[i : i + step] for i in range(0, len(text), step)]
        seconds = [
            min(timeit.repeat(partial(side, sequences), number=1, repeat=arguments.repeats))
            for side in SIDES.values()
        ]
        print(f"{what:>24}", *(f"{len(text) / second / 1e6:10.0f}" for second in seconds))


if __name__ == "__main__":
    main()
