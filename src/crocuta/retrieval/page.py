"""The page of a run of `crocuta rag train`."""

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from crocuta.report.answers import (
    MISTAKES,
    AnswerTable,
    Bar,
    Page,
    group_table,
    only_run,
    rows_of,
    write_page,
)
from crocuta.runs.saved import SavedRun

SPLITS = {"valid": "validation", "test": "test"}


def report_rag(runs: Sequence[str | PathLike], output: str | PathLike | None = None) -> Path:
    """Writes the page of a run of `crocuta rag train` and, in the same folder, `figures/`; returns the page.

    Args:
        runs: one run folder.
        output: the page; None: `report.html` in the run.

    Raises:
        InputError: it is none or has not ended, or there are several.
    """
    saved = only_run(runs, "rag train")
    metrics = saved.metrics
    rows = rows_of(saved.path, "predictions.tsv") or rows_of(saved.path, "predictions-test.tsv")
    parts = {split: name for split, name in SPLITS.items() if split in metrics}
    bars = [
        Bar(f"exact match, {name}", metrics[split]["exact_match"], metrics["commonest_answer"][split])
        for split, name in parts.items()
    ]
    wrong = [row for row in rows if row["predicted"] != row["answer"]]
    mistakes = AnswerTable(
        "Mistakes", ("question", "right answer", "the model's answer"),
        [(row["question"], row["answer"], row["predicted"]) for row in wrong[:MISTAKES]],
        f"The first {MISTAKES} of {len(wrong):,} wrong answers." if len(wrong) > MISTAKES else "All wrong answers.",
    )  # fmt: skip
    answer = "No question was held out, so nothing says how well the model answers."
    if bars:
        answer = f"{bars[-1].value:.1%} of the answers to {list(parts.values())[-1]} questions are exactly right; the"
        answer += f" most common answer of training is right for {bars[-1].chance:.1%}."
    page = Page(
        "Answers from a knowledge graph", answer,
        [(f"{name} questions", f"{metrics[split]['questions']:,}") for split, name in parts.items()]
        + [("language model", _language_model(saved))],
        bars, "most common answer",
        "Share of questions whose answer is exactly right; diamond: if all answers were the most common of training.",
        [group_table("Answer by answer", "answer", rows, ("right answer", "test questions")), mistakes],
    )  # fmt: skip
    return write_page(saved, page, output)


def _language_model(run: SavedRun) -> str:
    given = run.inputs.get("language_model")
    return Path(given[0]["path"]).name if given else run.config["language_model"] or "a new GPT-2"
