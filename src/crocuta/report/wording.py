"""What a report says in sentences: the answer, the methods, what to cite."""

import math
from typing import Any

from crocuta.report.run import ReportedRun

TITLES = {"mcc": "MCC", "accuracy": "Accuracy", "f1": "F1", "auroc": "AUROC", "auprc": "AUPRC"}

MEANINGS = {
    "mcc": "Matthews correlation: 1 is perfect, 0 is no better than guessing",
    "accuracy": "share of right answers",
    "f1": "balance of precision and recall: 1 is perfect",
    "auroc": "how often a member of a class is ranked above a non-member: 1 is perfect, 0.5 is guessing",
    "auprc": "mean precision over all recalls: 1 is perfect, the share of the class is guessing",
}

CITATIONS = {
    "hyena": "Nguyen E. et al. HyenaDNA: long-range genomic sequence modeling at single nucleotide"
    " resolution. NeurIPS 2023. arXiv:2306.15794.",
    "cnn": "Khan R. R. et al. Hyperbolic genome embeddings. ICLR 2025. arXiv:2507.21648.",
    "gue": "Zhou Z. et al. DNABERT-2: efficient foundation model and benchmark for multi-species genome"
    " (GUE). ICLR 2024. arXiv:2306.15006.",
    "genomic": "Grešová K. et al. Genomic benchmarks: a collection of datasets for genomic sequence"
    " classification. BMC Genomic Data 24, 25 (2023).",
    "nucleotide": "Dalla-Torre H. et al. Nucleotide Transformer: building and evaluating robust foundation"
    " models for human genomics. Nature Methods 22, 287 (2025).",
    "teb": "Khan R. R. et al. Hyperbolic genome embeddings (Transposable Elements Benchmark). ICLR 2025."
    " arXiv:2507.21648.",
}


def number(value: float | None, digits: int = 3) -> str:
    """A number with a true minus sign; a dash where it is undefined.

    >>> number(-0.25), number(None)
    ('\\u22120.250', '\\u2013')
    """
    if value is None or not math.isfinite(value):
        return "–"
    return f"{round(value, digits) + 0.0:.{digits}f}".replace("-", "−")  # + 0.0: no negative zero


def plus_minus(mean: float | None, sd: float | None, digits: int = 3) -> str:
    """Mean ± sd, or the mean alone where one seed has no spread."""
    spread = "" if sd is None or not math.isfinite(sd) else f" ± {number(sd, digits)}"
    return number(mean, digits) + spread


def brief(mean: float, sd: float) -> str:
    """Mean ± sd with two digits, or three where two would hide the spread."""
    return plus_minus(mean, sd, 3 if sd < 0.005 else 2)


def inline(metric: str) -> str:
    """The metric's name inside a sentence."""
    return "accuracy" if metric == "accuracy" else TITLES[metric]


def p_value(p: float | None) -> str:
    if p is None:
        return "–"
    return f"{p:.3f}" if p < 0.1 else f"{p:.2f}"


def answer(run: ReportedRun) -> str:
    """The result of a run in one or two sentences."""
    lead, rival = run.lead, rival_of(run)
    scores = f"{inline(run.metric)} {_score(run, lead)}"
    text = f"{run.title(lead)} reaches {scores} on {len(run.names):,} test sequences"
    if rival is None:
        return f"{text}; the run has nothing to compare it with."
    text += f"; {run.title(rival)} reaches {_score(run, rival)}."
    pair = next(
        (p for p in run.metrics.get("paired", []) if (p["model"], p["baseline"]) == (lead, rival)), None
    )
    return text if pair is None or pair["low"] is None else f"{text} {verdict(pair)}"


def verdict(pair: dict[str, Any]) -> str:
    """A paired difference in words."""
    text = f"The difference is {number(pair['difference'], 2)}"
    text += f" (95% interval {number(pair['low'], 2)} to {number(pair['high'], 2)}): "
    if pair["low"] > 0:
        return text + "the lead would hold on most test sets of this kind."
    if pair["high"] < 0:
        return text + "the comparison would win on most test sets of this kind."
    return text + "too small to distinguish the two on this test set."


def rival_of(run: ReportedRun) -> str | None:
    """What the lead is compared with: the best baseline, or the next best model."""
    others = [name for name in run.models if name != run.lead]
    return next(
        (name for name in (run.best("baseline"),) if name in others), max(others, key=run.value, default=None)
    )


def methods(run: ReportedRun) -> list[str]:
    """Paragraphs that could stand in a methods section."""
    data, manifest = run.metrics["data"], run.manifest
    sizes = [f"{data[part]['n']:,} {word}" for part, word in _PARTS.items() if part in data]
    problem = "several classes per sequence" if run.metrics["problem"] == "multi_label" else "one class each"
    first = f"DNA sequences of {len(run.classes)} classes ({problem}) were split into {_listed(sizes)}"
    first += f" sequences ({data['policy'].rstrip('.')})." if data.get("policy") else " sequences."
    trained = [_recipe(run, name) for name in run.models if run.config.get("recipe", {}).get(name)]
    baselines = [run.title(name) for name, model in run.models.items() if model["kind"] == "baseline"]
    if baselines:
        trained.append(f"Baselines trained on the same sequences: {_listed(baselines)}.")
    metric = inline(run.metric)
    evaluated = (
        f"Models were evaluated on the test sequences only, by {metric} ({MEANINGS[run.metric]}). ± is the"
        " standard deviation over training seeds; intervals are 95% percentile bootstrap intervals"
        f" ({run.metrics.get('resamples', 1000)} resamples of the test sequences, averaged over seeds)."
        " Paired differences use the same resamples for both models, with two-sided p-values that are not"
        " corrected for the number of comparisons. Intervals do not know about sequences that resemble each"
        " other."
    )
    made = f"Computed with crocuta {manifest.get('crocuta', '?')}"
    made += "".join(f", {key} {manifest[key]}" for key in ("torch", "transformers") if key in manifest)
    made += f" and Python {manifest.get('python', '?')} on {manifest.get('device', 'an unnamed device')}."
    return [first, " ".join(trained), f"{evaluated} {made}"]


def citations(runs: list[ReportedRun]) -> list[str]:
    """The software, then the papers of the models and tasks that the runs used."""
    version = runs[0].manifest.get("crocuta", "")
    cited = [f"The crocuta authors. crocuta {version}: genome models that are long-range and hyperbolic."]
    text = " ".join(
        name.lower() for run in runs for name in (*run.models, f"task:{run.config.get('task') or ''}")
    )
    for key, citation in CITATIONS.items():
        if (key in ("hyena", "cnn") and key in text) or f"task:{key}" in text:
            cited.append(citation)
    return cited


_PARTS = {"train": "training", "valid": "validation", "test": "test"}


def _score(run: ReportedRun, model: str) -> str:
    text = brief(run.value(model), run.value(model, "sd"))
    return text + (
        f" (over {len(run.models[model]['seeds'])} seeds)" if "±" in text and model == run.lead else ""
    )


def _recipe(run: ReportedRun, name: str) -> str:
    recipe, model = run.config["recipe"][name], run.models[name]
    text = f"{run.title(name)} ({model['parameters']:,} parameters"
    if (trained := model.get("trained_parameters") or model["parameters"]) != model["parameters"]:
        text += f", of which {trained:,} trained"
    text += ") was trained with AdamW"
    known = {"learning_rate": "learning rate", "weight_decay": "weight decay", "batch_size": "batch size"}
    text += "".join(f", {word} {recipe[key]:g}" for key, word in known.items() if recipe.get(key) is not None)
    if recipe.get("epochs"):
        text += f", at most {recipe['epochs']} epochs (the epoch with the best validation score was kept)"
    if run.config.get("both_strands"):
        text += ", with random reverse complements, predictions averaged over both strands"
    seeds = len(model["seeds"])
    return f"{text}; {seeds} {'seed' if seeds == 1 else 'seeds'}."


def _listed(items: list[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
