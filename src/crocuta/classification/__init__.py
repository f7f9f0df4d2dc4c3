"""Training: one model and seed (`finetune`, `fit_baseline`), or a whole comparison (`run_experiment`), and its use."""

from typing import TYPE_CHECKING

from crocuta._lazy import lazily

if TYPE_CHECKING:
    from crocuta.classification._fit import Fit
    from crocuta.classification.baselines import fit_baseline
    from crocuta.classification.experiment import Entry, run_experiment
    from crocuta.classification.finetuning import finetune
    from crocuta.classification.run import RunFolder, evaluate, predict
    from crocuta.runs.recipe import Recipe

__getattr__ = lazily(
    {
        "crocuta.classification._fit": "Fit",
        "crocuta.classification.baselines": "fit_baseline",
        "crocuta.classification.experiment": "Entry run_experiment",
        "crocuta.classification.finetuning": "finetune",
        "crocuta.classification.run": "RunFolder evaluate predict",
        "crocuta.runs.recipe": "Recipe",
    }
)

__all__ = [
    "Entry",
    "Fit",
    "Recipe",
    "RunFolder",
    "evaluate",
    "finetune",
    "fit_baseline",
    "predict",
    "run_experiment",
]
