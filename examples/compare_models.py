"""Compare models on labelled DNA from Python: what `crocuta train` does, in steps that can be changed.

    python examples/compare_models.py                       # bundled promoters, a few minutes
    python examples/compare_models.py --sequences 400 --epochs 1 --seeds 1

Ends with the path of a report.
"""

import argparse
from dataclasses import replace
from pathlib import Path

from crocuta.classification import Entry, Recipe, pipelines, run_experiment
from crocuta.data.demo import load_demo
from crocuta.models.cnn import CNNConfig
from crocuta.report import write_report


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sequences", type=int, help="of the training set; default all")
    parser.add_argument("--epochs", type=int, default=6)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--output", type=Path, default=Path("compare-run"))
    arguments = parser.parse_args()

    splits = load_demo()
    if arguments.sequences:
        splits = replace(splits, train=splits.train.select(range(arguments.sequences)))

    # Presets bring model, recipe and baselines; an entry of your own is a configuration and a recipe.
    entries = pipelines.comparison(splits, ["cnn"], epochs=arguments.epochs)
    narrow = CNNConfig(max_length=70, channels=16, hidden_features=64, dropout=0.5)
    entries.insert(1, Entry("narrow-cnn", "CNN, half as wide", narrow, Recipe(epochs=arguments.epochs)))

    run = run_experiment(entries, splits, arguments.output, seeds=range(arguments.seeds))
    for model in run.metrics["models"].values():
        score = model["test"]["mcc"]
        print(f"{model['title']:28} MCC {score['mean']:.3f} ({score['low']:.3f} to {score['high']:.3f})")

    labels, probabilities = run.ensemble("cnn").predict(["ACGT" * 17, "GGGCTATAAAAGGCCGGCG" + "ACGTC" * 10])
    print(labels, probabilities.round(2).tolist())
    print(write_report([run.path], run.path / "report.html"))


if __name__ == "__main__":
    main()
