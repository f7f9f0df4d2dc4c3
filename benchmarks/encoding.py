"""Megabases encoded a second on one core: `taskset -c 0 python benchmarks/encoding.py`."""

import argparse
import timeit

import numpy as np

from crocuta.data.encoding import VOCABULARY, encode, encode_counted


def by_dictionary(sequence: str) -> np.ndarray:
    """What character tokenizers do: a Python loop over letters."""
    return np.array([VOCABULARY.get(letter, VOCABULARY["N"]) for letter in sequence.upper()], np.uint8)


def by_table(sequence: str) -> np.ndarray:
    """A numpy look-up in a table of 256 ids."""
    return TABLE[np.frombuffer(sequence.encode(), np.uint8)]


TABLE = encode(bytes(range(256)))


def megabases_per_second(function, sequences: list[str], repeats: int) -> float:
    """Best of several repeats."""
    seconds = min(
        timeit.repeat(lambda: [function(sequence) for sequence in sequences], number=1, repeat=repeats)
    )
    return sum(map(len, sequences)) / seconds / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--letters", type=int, default=10_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    generator = np.random.default_rng(0)
    print(f"{'Mb/s':>24} {'dictionary':>11} {'table':>8} {'encode':>8} {'counted':>8}")
    for what, letters, length in (
        ("one sequence, no N", "ACGT", arguments.letters),
        ("one, 1/5 N, 1/5 lower", "ACGTNacgtn", arguments.letters),
        ("one, every IUPAC letter", "ACGTNRYSWKMBDHV", arguments.letters),
        ("300 letters each", "ACGT", 300),
        ("70 letters each", "ACGT", 70),
    ):
        text = "".join(generator.choice(list(letters), arguments.letters))
        sequences = [text[i : i + length] for i in range(0, len(text), length)]
        few = sequences if len(sequences) == 1 else sequences[: len(sequences) // 10]
        speeds = [megabases_per_second(by_dictionary, few, 1)]
        speeds += [
            megabases_per_second(f, sequences, arguments.repeats) for f in (by_table, encode, encode_counted)
        ]
        print(f"{what:>24} {speeds[0]:11.0f} {speeds[1]:8.0f} {speeds[2]:8.0f} {speeds[3]:8.0f}")


if __name__ == "__main__":
    main()
