"""Learning rates of the CNN and of the HCNNs, on validation sets alone: what `crocuta.presets` recommends.

    OMP_NUM_THREADS=1 python benchmarks/tuning.py --data-root ../shared/data/gue

Every network gets the same rates, epochs and seed; the test sets are not read. Interrupted, it goes on.
"""

import argparse
import json
from pathlib import Path

from crocuta.classification import finetune, pipelines
from crocuta.data.tasks import load_task
from crocuta.files import write_json
from crocuta.quiet import prepare

TASKS = {"gue/prom_core_tata": 20, "gue/mouse/0": 15}
MODELS = ("cnn", "hcnn-s", "hcnn-m")
RATES = (3e-4, 1e-3, 3e-3)
RESULT = Path(__file__).parent / "results" / "tuning.json"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/gue"))
    parser.add_argument("--output", type=Path, default=Path("runs/tuning"))
    arguments = parser.parse_args()
    prepare()
    rows = json.loads(RESULT.read_text()) if RESULT.exists() else []
    done = {(row["task"], row["model"], row["learning_rate"]) for row in rows}
    for task, epochs in TASKS.items():
        splits = load_task(task, arguments.data_root)
        longest = int(splits.train.sequences.lengths.max())
        for model in MODELS:
            for rate in RATES:
                if (task, model, rate) in done:
                    continue
                entry = pipelines.entry(model, longest, {"epochs": epochs, "learning_rate": rate})
                folder = arguments.output / f"{task.replace('/', '-')}--{model}--{rate}"
                fit = finetune(entry.model, splits, folder, entry.recipe, both_strands=True, resume=True)
                rows.append({"task": task, "model": model, "learning_rate": rate, "epochs": epochs})
                rows[-1] |= {"valid_mcc": fit.valid["mcc"], "best_epoch": fit.best_epoch}
                write_json(RESULT, rows)
                print(f"{task} {model} {rate}: {fit.valid['mcc']:.3f}, epoch {fit.best_epoch}", flush=True)


if __name__ == "__main__":
    main()
