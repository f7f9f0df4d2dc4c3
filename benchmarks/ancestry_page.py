"""The figures of docs/ancestry_models.md, from benchmarks/results/ancestry.json."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from crocuta.files import replacing

PAGE = Path(__file__).parents[1] / "docs" / "ancestry_models.md"
FIGURE = PAGE.parent / "_static" / "ancestry_context.png"
MARK = "<!-- Figures below are written by benchmarks/ancestry.py. -->"
LENGTHS = (128, 512, 1024, 2048, 4096)
BARS = {
    "carried": ("87", "96.4", "98.5", "99.3", "99.6"),
    "haplotype": ("80", "90.5", "94.7", "96.3", "97.5"),
}
TITLES = {
    "carried": "Carried sites of an individual, without phase (the thesis's SNP)",
    "haplotype": "Sites of one haplotype, minor allele frequency at least 1% among training individuals",
}
THESIS = ("83", "93", "97.04", "97.83", "99.34")


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def percent(row: dict | None, key: str) -> str:
    return "—" if row is None or key not in row else f"{row[key]:.2f}"


def number(row: dict, key: str, form: str = ",.0f") -> str:
    return format(row[key], form) if key in row else "—"


def splits(rows: dict[str, dict], name: str) -> list[dict]:
    """A row of every split of the individuals."""
    return [row for key, row in rows.items() if key == name or key.startswith(f"{name} ")]


SECOND_COHORT = " 3"  # the split of `--seed 3`; the others are of `--seed 2`


def second(rows: dict[str, dict], view: str, key: str) -> list[str]:
    """A line of the second cohort alone."""
    return [percent(rows.get(f"{view} {length} hyena{SECOND_COHORT}"), key) for length in LENGTHS]


def average(found: Sequence[dict], value: Callable[[dict], float]) -> str:
    """Mean and standard deviation over splits."""
    if not found:
        return "—"
    values = [value(row) for row in found]
    spread = f" ± {statistics.stdev(values):.2f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.2f}{spread}"


def accuracy(rows: dict[str, dict]) -> str:
    parts = []
    for view, title in TITLES.items():
        found = [splits(rows, f"{view} {length} hyena") for length in LENGTHS]
        regression = [splits(rows, f"{view} {length} regression") for length in LENGTHS]
        learned = [average(some, lambda row: row["accuracy"]) for some in found]
        lines = [
            ["span, kb", *(number(some[0], "span_kb") if some else "—" for some in found)],
            ["naive Bayes", *(average(some, lambda row: row["naive_bayes"]) for some in found)],
            ["logistic regression", *(average(some, lambda row: row["accuracy"]) for some in regression)],
            [
                "copying alone, better rate",
                *(average(some, lambda row: max(row["copying"])) for some in found),
            ],
            ["**AncestryHyena**", *(f"**{text}**" for text in learned)],
            ["its calibration error (ECE)", *(average(some, lambda row: row["ece"]) for some in found)],
            ["splits of the individuals", *(str(len(some)) for some in found)],
            ["target of the project", *BARS[view]],
        ]
        if view == "carried":
            lines = [line for line in lines if line[0] != "logistic regression"]
            lines.append(["thesis, real data", *THESIS])
            lines.append(["second cohort alone: naive Bayes", *second(rows, view, "naive_bayes")])
            lines.append(["second cohort alone: AncestryHyena", *second(rows, view, "accuracy")])
        parts.append(f"### {title}\n\n" + table(["accuracy, %", *map(str, LENGTHS)], lines))
    return "\n".join(parts)


def ablation(rows: dict[str, dict]) -> str:
    head = ["what is trained (windows of 512)", "accuracy, %", "naive Bayes, %", "ECE, %", "steps"]
    lines = [
        [name, percent(row, "accuracy"), percent(row, "naive_bayes"), percent(row, "ece"), str(row["steps"])]
        for name, row in rows.items()
    ]
    return table(head, lines)


def perplexity(rows: dict[str, dict]) -> str:
    head = ["encoding", "bp in a bin", "perplexity", "parameters", "steps"]
    lines = []
    for name, row in rows.items():
        _, encoding, alpha = name.split()
        size = f"{int(alpha):,}" if encoding in ("fpe", "learned", "table") else "—"
        steps = str(row.get("steps", "—"))
        lines.append([encoding, size, f"{row['perplexity']:.3f}", number(row, "parameters"), steps])
    return table(head, lines)


def twins(rows: dict[str, dict]) -> str:
    head = ["window, backbone", "ms a step", "added MB", "perplexity", "accuracy, %", "parameters"]
    return table(
        head,
        [
            [name, number(row, "ms_per_step"), number(row, "added_mb"), number(row, "perplexity", ".3f"),
             percent(row, "accuracy"), number(row, "parameters")]
            for name, row in rows.items()
        ],
    )  # fmt: skip


def context(rows: dict[str, dict]) -> str:
    """Draws docs/_static/ancestry_context.png; the first view that was measured."""
    from crocuta.ancestry.figures import accuracy_by_context
    from crocuta.report.style import styled

    found: dict[int, dict[int, float]] = {}
    view = next(iter(rows)).split()[0]
    for name, row in rows.items():
        of, window, alpha = name.split()
        if of == view:
            found.setdefault(int(alpha), {})[int(window)] = row["accuracy"]
    with styled(), replacing(FIGURE, "wb") as file:
        accuracy_by_context(found).savefig(file, format="png", dpi=130, facecolor="white")
    windows = sorted({window for by_window in found.values() for window in by_window})
    lines = [
        [f"{alpha:,}", *(f"{by_window[w]:.2f}" if w in by_window else "—" for w in windows)]
        for alpha, by_window in sorted(found.items())
    ]
    head = ["alpha", *(f"{window:,} SNPs" for window in windows)]
    return table(head, lines) + f"\n![Accuracy by context and alpha](_static/{FIGURE.name})\n"


def fpe(rows: dict[str, dict]) -> str:
    head = [
        "chromosome",
        "ms a step",
        "table, MB",
        "optimiser's state, MB",
        "dense Adam's would be, MB",
        "rows met",
    ]
    keys = ("ms_per_step", "table_mb", "state_mb", "dense_state_mb", "rows_met")
    return table(head, [[name, *(number(row, key) for key in keys)] for name, row in rows.items()])


def throughput(rows: dict[str, dict]) -> str:
    head = ["backbone, encoding", "SNPs a second of one core"]
    return table(head, [[name, number(row, "tokens_per_second")] for name, row in rows.items()])


SECTIONS = (
    ("accuracy", "Accuracy", accuracy),
    ("ablation", "What each part brings", ablation),
    ("perplexity", "Perplexity of the next SNP", perplexity),
    ("context", "Accuracy by context and alpha of FPE", context),
    ("twins", "Hyena and its Transformer twin", twins),
    ("fpe", "Cost of FPE by the length of the chromosome", fpe),
    ("throughput", "Training speed", throughput),
)
NOTES = {
    "accuracy": "Simulated chromosomes 22 drawn after the design was settled on another, individuals split 67.5 / 7.5 "
    "/ 25 into training, validation and test; windows drawn at random, populations equally often; mean ± "
    "standard deviation over splits: three of one cohort (`--seed 2`), the fourth of another (`--seed "
    "3`). Naive Bayes and copying are the model's own evidence, summed; the logistic regression is fitted "
    "to each of 24 windows by itself."
    "\n\nLong carried windows end at naive Bayes' figure, on both cohorts. The remaining errors are individuals of the "
    "simulation whose recent ancestors migrated: in the first split, windows of 2,048, 16 of the 19 "
    "errors are errors of naive Bayes and of copying at once, by hundreds of nats, and one individual has 10 "
    "of them. Training individuals, left out of their own evidence, are classified correctly in 99.75% of such "
    "windows. On the cohort that the targets come from, naive Bayes reaches 99.5 and 99.66%.",
    "ablation": "Minor allele frequency at least 1%, no pretraining unless said. The evidence carries the accuracy: "
    "on a quarter of a million sites, each met a dozen times, a network without evidence is still at "
    "chance; on the 7,000 sites of real chromosome 22 (below) it learns.",
    "perplexity": "On individuals not trained on. **Read it together with the rows `table`**: a plain count of which "
    "nucleotide was seen in which bin of the chromosome, without any network, predicts nucleotides as well as FPE with "
    "the same bins, or better; a low perplexity in the carried view says that nucleotides were memorised, not "
    "that ancestry was learned. (Thesis: 1.41, 1.72, 2.79 at alpha 10, 100, 1,000.)",
    "context": "Real chromosome 22, carried sites, FPE and no evidence: what the network finds by itself, in both "
    "stages of 150 steps of 8,192 SNPs each, far fewer than the thesis took. One run each: after so few "
    "steps a run may not have converged (the model of 1,024 SNPs drawn above took 400 and is at 96.3%).",
    "twins": "Real chromosome 22, FPE with alpha = 100, no evidence, both stages; about equal parameters, one "
    "after the other on one thread, each in a process of its own; steps of 8,192 SNPs, their time with "
    "validations. (Thesis: 2.56 times faster, 3.75 times less memory, 2.38 against 2.78, 90 against 86% "
    "at 1,024.)",
    "fpe": "alpha = 10, rank 16, width 64, batches of 8 windows of 1,024 SNPs; CPU time of one thread.",
    "throughput": "Pretraining steps at width 64, two layers, batches of 8 windows of 1,024; CPU time of one thread.",
}


def write(results: dict) -> None:
    """Rewrites what follows the mark on the page."""
    head = PAGE.read_text().split(MARK)[0]
    parts = [
        f"## {title}\n\n{NOTES[name]}\n\n{section(results[name])}".replace("\n\n\n", "\n\n")
        for name, title, section in SECTIONS
        if results.get(name)
    ]
    with replacing(PAGE) as file:
        file.write(f"{head}{MARK}\n\n" + "\n".join(parts))
