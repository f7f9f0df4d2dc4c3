"""Adapt a pretrained HyenaDNA to labelled DNA in six ways, and see how few parameters each trains.

    python examples/adapt_pretrained.py my-hyenadna/        # a folder of pretrained weights
    python examples/adapt_pretrained.py --sequences 200     # without one: a tiny model, pretrained on the spot

The same from the command line: crocuta train data.csv -m my-hyenadna/ --adapt full --adapt lora:8 --adapt prompt:16
"""

import argparse
from dataclasses import replace
from pathlib import Path

import torch

from crocuta.classification import pipelines, run_experiment
from crocuta.data.batch import pad_batch
from crocuta.data.demo import load_demo
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.quiet import prepare
from crocuta.report import write_report

WAYS = ("full", "probe", "lora:4", "prompt:8", "label-prompt:8", "in-context:1")


def pretrain(sequences, folder: Path, steps: int) -> Path:
    """A language model of these sequences, far too small and too short to be of use: next-nucleotide loss."""
    torch.manual_seed(0)
    config = HyenaConfig(d_model=32, n_layer=1, filter_order=16, max_seq_len=256, initializer_range=0.08)
    model = HyenaForCausalLM(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=2e-3)
    for step in range(steps):
        rows = [sequences[i] for i in torch.randint(len(sequences), (32,)).tolist()]
        ids, mask = (torch.from_numpy(part) for part in pad_batch(rows, "left", append_separator=True))
        loss = model(ids, mask, labels=ids.masked_fill(mask == 0, -100)).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if step % 20 == 0:
            print(f"pretraining step {step}: {loss.item():.3f} nats per nucleotide (guessing: 1.386)")
    model.save_pretrained(folder)
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("pretrained", nargs="?", type=Path)
    parser.add_argument("--sequences", type=int, help="of the training set; default all")
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--output", type=Path, default=Path("adapt-run"))
    arguments = parser.parse_args()
    prepare()

    splits = load_demo()
    if arguments.sequences:
        splits = replace(splits, train=splits.train.select(range(arguments.sequences)))
    pretrained = arguments.pretrained or pretrain(splits.train.sequences, arguments.output / "base", steps=60)

    # One entry for each way: what is trained, and with which learning rate, comes with the preset.
    entries = pipelines.comparison(splits, [pretrained], adapt=WAYS, epochs=arguments.epochs, baselines=False)
    run = run_experiment(entries, splits, arguments.output / "run", seeds=(0,), resume=True)
    for model in run.metrics["models"].values():
        trained, score = model["trained_parameters"], model["test"]["mcc"]["mean"]
        print(f"{model['title']:32} {trained:8,} of {model['parameters']:,} trained, MCC {score:.3f}")

    # Whatever the way, the saved model loads like any other, without the one it came from.
    ensemble = run.ensemble(entries[-1].name)
    print(ensemble.predict(["ACGT" * 17, "GGGCTATAAAAGGCCGGCG" + "ACGTC" * 10]).labels)
    print(write_report([run.path], run.path / "report.html"))


if __name__ == "__main__":
    main()
