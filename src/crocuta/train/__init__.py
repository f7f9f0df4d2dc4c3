"""Training: one model and seed (`finetune`, `fit_baseline`), or a whole comparison (`run_experiment`), and its use."""

from crocuta.runs.recipe import Recipe
from crocuta.train.baselines import fit_baseline
from crocuta.train.experiment import Entry, run_experiment
from crocuta.train.finetuning import finetune
from crocuta.train.fit import Fit
from crocuta.train.run import RunFolder, evaluate, predict

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
