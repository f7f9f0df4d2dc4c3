"""Several labels for each sequence: profiles of chromatin, learned together, judged by AUROC for each label.

    python examples/chromatin.py                                  # invented profiles, a minute
    python examples/chromatin.py profiles.csv --model pretrained/ --adapt lora:8

A table has `sequence` and `labels` (names joined by ";", blank for none), or a column of 0 and 1 for each label;
DeepSEA's published layout is read as it is. The invented ones are names of motifs that a sequence holds.
"""

import argparse
from pathlib import Path

import numpy as np

from crocuta.classification import pipelines
from crocuta.quiet import prepare

MOTIFS = {"CTCF": "CCAGCAGGGG", "E-box": "CACGTG", "TATA": "TATAAA", "AP-1": "TGAGTCA"}


def invent(path: Path, count: int, length: int = 100) -> Path:
    """Random DNA into which each motif is written with a chance of one in three."""
    generator = np.random.default_rng(0)
    lines = ["sequence,labels"]
    for _ in range(count):
        nucleotides, present = generator.choice(list("ACGT"), length), []
        for i, (name, motif) in enumerate(MOTIFS.items()):
            if generator.random() < 1 / 3:
                start = i * length // len(MOTIFS) + generator.integers(length // len(MOTIFS) - len(motif))
                nucleotides[start : start + len(motif)] = list(motif)
                present.append(name)
        lines.append(f"{''.join(nucleotides)},{';'.join(present)}")
    path.write_text("\n".join(lines) + "\n")
    return path


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("profiles", nargs="?", type=Path)
    parser.add_argument("--model", default="cnn-max", help="preset, or folder of pretrained weights")
    parser.add_argument("--adapt", action="append", default=[], help="probe, lora:8, ...: pretrained weights")
    parser.add_argument("--sequences", type=int, default=2000, help="that are invented")
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--output", type=Path, default=Path("chromatin-run"))
    arguments = parser.parse_args()
    prepare()
    arguments.output.mkdir(parents=True, exist_ok=True)
    profiles = arguments.profiles or invent(arguments.output / "profiles.csv", arguments.sequences)
    run = pipelines.train(
        profiles, [arguments.model], arguments.output / "run", seeds=1, baselines=False,
        adapt=arguments.adapt, epochs=arguments.epochs, resume=True,
    )  # fmt: skip
    for name, model in run.metrics["models"].items():
        print(f"{model['title']}: AUROC {model['test']['auroc']['mean']:.3f}, mean over labels")
        ensemble = run.ensemble(name)
        for text in ("ACGTA" * 8 + "CCAGCAGGGG" + "TGCAT" * 10, "ACGTA" * 20):
            probabilities = ensemble.predict([text]).probabilities[0]
            said = ", ".join(
                f"{label} {p:.2f}" for label, p in zip(ensemble.classes, probabilities, strict=True)
            )
            print(f"  {text[:44]}...: {said}")
    print(run.path / "report.html")


if __name__ == "__main__":
    main()
