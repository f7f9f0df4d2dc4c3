"""`report.html`: one file that opens anywhere, with its figures and its score table beside it."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from markupsafe import Markup

from crocuta.files import replacing
from crocuta.report import compare, pictures, tables
from crocuta.report import wording as words
from crocuta.report.pictures import Picture
from crocuta.report.rendering import render
from crocuta.report.run import ReportedRun, read_reported_run
from crocuta.report.style import inline_svg, save, styled
from crocuta.runs.progress import duration


def write_report(run_folders: Sequence[str | Path], output: str | Path) -> Path:
    """Writes a report on one run, or on several side by side, and returns the path of its page.

    Args:
        run_folders: folders of finished runs; only their files are read, no model is loaded.
        output: the page, or a folder in which it becomes `report.html`. Beside it: `figures/*.png`,
            `figures/*.svg` and `scores.tsv`.

    Raises:
        InputError: a folder is not that of a finished run.
    """
    if not run_folders:
        raise ValueError("run_folders is empty, expected at least one run folder")
    output = Path(output)
    page = output if output.suffix in (".html", ".htm") else output / "report.html"
    runs = _distinct([read_reported_run(Path(folder)) for folder in run_folders])
    with styled():
        filters = {"duration": duration, "megabytes": tables.megabytes}
        html = render("report.html", filters, **_content(runs, page.parent / "figures"))
    with replacing(page.parent / "scores.tsv") as file:
        file.writelines(f"{line}\n" for line in tables.score_lines(runs))
    with replacing(page) as file:
        file.write(html)
    return page


def _content(runs: list[ReportedRun], folder: Path) -> dict[str, Any]:
    """Everything that the template shows."""
    several = len(runs) > 1
    sections = [_section(run, folder, f"{slug(run.name)}-" if several else "") for run in runs]
    title = ", ".join(dict.fromkeys(run.task for run in runs))
    return {
        "title": title,
        "answers": [(run.name if several else "", words.answer(run)) for run in runs],
        "comparisons": _comparisons(runs, folder) if several else [],
        "sections": sections,
        "citations": words.citations(runs),
        "version": runs[0].manifest.get("crocuta", ""),
    }


def _comparisons(runs: list[ReportedRun], folder: Path) -> list[dict[str, Any]]:
    """Runs of one task and headline metric share a table; others stand apart."""
    groups: dict[tuple[str, str], list[ReportedRun]] = {}
    for run in runs:
        groups.setdefault((run.config.get("task") or "", run.metric), []).append(run)
    found = []
    for number, ((task, _), group) in enumerate(groups.items(), 1):
        pairs = compare.across(group)
        shown = (
            pictures.scores_picture(group, pairs) if len(group) > 1 else pictures.scores_picture(group, [])
        )
        prefix = f"compare-{number}-"
        found.append({"task": task or ", ".join(run.name for run in group), "several": len(group) > 1})
        found[-1] |= {"table": _score_table(group), "paired": tables.paired_rows(pairs)}
        found[-1] |= {"pictures": _embed(shown, folder, prefix)}
    return found


def _section(run: ReportedRun, folder: Path, prefix: str) -> dict[str, Any]:
    pairs = compare.within(run)
    shown = {
        "scores": pictures.scores_picture([run], pairs),
        "errors": pictures.error_pictures(run),
        "training": pictures.training_pictures(run),
        "data": pictures.data_pictures(run),
    }
    return {
        "id": prefix or "run-",
        "run": run,
        "facts": _facts(run),
        "table": _score_table([run]),
        "groups": tables.profile_table(run),
        "paired": tables.paired_rows(pairs),
        "pictures": {part: _embed(made, folder, prefix) for part, made in shown.items()},
        "costs": tables.cost_rows(run).values(),
        "classes": tables.label_rows(run),
        "lengths": _lengths(run),
        "leakage": (leakage := run.metrics["data"].get("leakage")),
        "leaks": bool(leakage and (leakage["duplicates"] or leakage["shared_kmer"])),
        "methods": words.methods(run),
        "versions": {
            key: value for key, value in run.manifest.items() if isinstance(value, str) and key != "command"
        },
    }


def _score_table(runs: list[ReportedRun]) -> dict[str, Any]:
    columns = [words.TITLES[metric] for metric in tables.metrics_of(runs[0])]
    return {"columns": columns, "rows": tables.score_rows(runs), "several": len(runs) > 1}


def _facts(run: ReportedRun) -> list[tuple[str, str]]:
    """The few numbers that a reader looks for first."""
    cost = tables.cost_rows(run)[run.lead]
    return [
        (words.TITLES[run.metric], words.brief(run.value(run.lead), run.value(run.lead, "sd"))),
        ("test sequences", f"{len(run.names):,}"),
        ("parameters", cost.parameters),
        ("training time per seed", cost.time),
    ]


def _lengths(run: ReportedRun) -> str | None:
    """A sentence in place of the figure where all sequences are about equally long."""
    lengths = run.metrics["data"].get("lengths", {})
    occupied = {
        k for counts in lengths.get("by_class", {}).values() for k, count in enumerate(counts) if count
    }
    if len(occupied) != 1:
        return None
    low, high = lengths["edges"][(only := occupied.pop())], lengths["edges"][only + 1]
    return f"All sequences have {low:,} to {high - 1:,} nucleotides: length cannot distinguish the classes."


def _embed(made: list[Picture], folder: Path, prefix: str) -> list[dict[str, Any]]:
    """Saves figures beside the page and turns them into inline SVG."""
    found = []
    for picture in made:
        name = slug(f"{prefix}{picture.slug}")
        save(picture.figure, folder / name)
        svg = Markup(inline_svg(picture.figure, name))  # our own drawing; matplotlib escapes the text in it
        found.append({"name": name, "title": picture.title, "caption": picture.caption, "svg": svg})
    return found


def _distinct(runs: list[ReportedRun]) -> list[ReportedRun]:
    """Runs whose folders have one name get numbers."""
    names = [run.name for run in runs]
    return [
        replace(run, name=f"{run.name} #{names[: i + 1].count(run.name)}")
        if names.count(run.name) > 1
        else run
        for i, run in enumerate(runs)
    ]


def slug(text: str) -> str:
    """A name that is safe in a file name and in an id."""
    return re.sub(r"[^A-Za-z0-9_.]+", "-", text)
