"""The page of a run of `crocuta words train`."""

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


def report_words(runs: Sequence[str | PathLike], output: str | PathLike | None = None) -> Path:
    """Writes the page of a run of `crocuta words train` and, in the same folder, `figures/`; returns the page.

    Args:
        runs: one run folder.
        output: the page; None: `report.html` in the run.

    Raises:
        InputError: it is none or has not ended, or there are several.
    """
    saved = only_run(runs, "words train")
    metrics, rows = saved.metrics, rows_of(saved.path, "predictions.tsv")
    bars = [Bar(name, value, metrics["chance"][name]) for name, value in metrics["test"].items()]
    wrong = sorted((r for r in rows if r["predicted"] != r["label"]), key=lambda r: -float(r["probability"]))
    mistakes = AnswerTable(
        "The mistakes with the highest probability", ("sequence", "label", "best caption", "probability"),
        [(r["name"], r["label"], r["caption"], r["probability"]) for r in wrong[:MISTAKES]],
        "Where the model is sure and wrong, the sequence is hard, or its label is wrong.", (3,),
    )  # fmt: skip
    first, sizes = bars[0], metrics["sequences"]
    page = Page(
        "Words for DNA",
        f"The best caption has the right label for {first.value:.1%} of the test sequences; a random caption has it for"
        f" {first.chance:.1%}. {metrics['leakage']}",
        [("test sequences", f"{sizes['test']:,}"), ("captions", f"{metrics['captions']:,}"),
         ("training sequences", f"{sizes['train']:,}")],
        bars, "random order",
        "Share of queries for which something right is among the first 1 or 10 that are found; diamond: in a random"
        " order. Element to words: captions for a sequence. Words to element: sequences for a caption.",
        [group_table("Label by label", "label", rows, ("label", "test sequences")), mistakes],
    )  # fmt: skip
    return write_page(saved, page, output)
