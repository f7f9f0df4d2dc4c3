"""`crocuta predict` as a user calls it: time and peak memory of the whole process against the number of sequences.

    python benchmarks/predict.py

Bar: 10,000 sequences of 300 bp with the CNN under 20 s on two cores, in memory that does not grow with the number.
"""

import json
import os
import random
import sys
import tempfile
import time
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "predict.json"
LENGTH, COUNTS, REPEATS = 300, (10_000, 40_000), 3


def sequences(path: Path, count: int, labels: bool) -> Path:
    draw = random.Random(count)
    with open(path, "w") as file:
        if labels:
            print("sequence,label", file=file)
        for i in range(count):
            nucleotides = "".join(draw.choices("ACGT", k=LENGTH))
            print(f"{nucleotides},{i % 2}" if labels else f">s{i}\n{nucleotides}", file=file)
    return path


def measure(*command: str) -> tuple[float, float]:
    """Wall seconds and peak resident MB of a process."""
    start = time.perf_counter()
    pid = os.spawnv(os.P_NOWAIT, sys.executable, [sys.executable, "-m", "crocuta", *command])
    _, status, usage = os.wait4(pid, 0)
    assert status == 0, command
    return time.perf_counter() - start, usage.ru_maxrss / 1024


def main() -> None:
    rows = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        run, table = folder / "run", sequences(folder / "data.csv", 400, labels=True)
        measure(
            "train",
            str(table),
            "-m",
            "cnn",
            "--seeds",
            "1",
            "--epochs",
            "1",
            "--no-baselines",
            "-o",
            str(run),
        )
        for count in COUNTS:
            fasta = sequences(folder / f"{count}.fa", count, labels=False)
            output = str(folder / "predictions.tsv")
            runs = [measure("predict", str(run), str(fasta), "-o", output) for _ in range(REPEATS)]
            seconds, memory = (sorted(values)[REPEATS // 2] for values in zip(*runs, strict=True))
            rows.append(
                {"sequences": count, "length": LENGTH, "seconds": round(seconds, 2), "peak_mb": round(memory)}
            )
            print(
                f"{count:,} sequences of {LENGTH} bp: {seconds:.1f} s, {memory:.0f} MB peak (medians of {REPEATS})"
            )
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(rows, indent=1) + "\n")


if __name__ == "__main__":
    main()
