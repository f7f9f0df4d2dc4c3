"""The figures of docs/long_range.md, from benchmarks/results/long_range.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "long_range.md"
MARK = "<!-- Figures below are written by benchmarks/long_range.py. -->"

Rows = Sequence[dict]


def pick(rows: Rows, **wanted) -> dict | None:
    """The row with these values that has figures."""
    for row in rows:
        if "seconds" in row and all(row[key] == value for key, value in wanted.items()):
            return row
    return None


def seconds(row: dict | None) -> str:
    return "—" if row is None else f"{row['seconds']:.3g} s"


def memory(row: dict | None) -> str:
    return "—" if row is None else f"{row['added_mb']:,} MB"


def ratio(row: dict | None, reference: dict | None, key: str) -> str:
    return "—" if row is None or reference is None else f"{reference[key] / row[key]:.1f}x"


def table(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"


def against_reference(rows: Rows, work: str) -> str:
    cells = sorted(
        {
            (row["model"] != "tiny", row["model"], row["length"], row["allocator"])
            for row in rows
            if row["work"] == work and row["side"] == "crocuta" and row["table"] != "attention"
        }
    )
    lines = []
    for _, model, length, allocator in cells:
        key = {"work": work, "model": model, "length": length, "allocator": allocator}
        ours, other = (pick(rows, side=side, **key) for side in ("crocuta", "reference"))
        figures = [seconds(ours), seconds(other), ratio(ours, other, "seconds")]
        figures += [memory(ours), memory(other), ratio(ours, other, "added_mb")]
        lines.append([model, f"{length:,}", allocator, *figures])
    head = ["model", "tokens", "allocator", "time", "reference", "faster", "memory", "reference", "leaner"]
    return table(head, lines)


def by_transform(rows: Rows) -> str:
    lines = []
    cells = {(row["work"], row["length"]) for row in rows if row["side"] == "fft"}
    for work, length in sorted(cells):
        key = {"work": work, "model": "tiny", "length": length, "allocator": "default"}
        sides = [pick(rows, side=side, **key) for side in ("crocuta", "fft", "reference")]
        lines.append([work, f"{length:,}", *map(seconds, sides), *map(memory, sides)])
    names = ["panels", "FFT", "reference"]
    return table(["work", "tokens", *names, *(f"{name}, memory" for name in names)], lines)


def last_position(rows: Rows) -> str:
    lines = []
    for length in sorted({row["length"] for row in rows if row["work"] == "last"}):
        whole, last = (
            pick(rows, work=work, side="crocuta", model="tiny", length=length, allocator="default")
            for work in ("forward", "last")
        )
        lines.append([f"{length:,}", seconds(whole), seconds(last), memory(whole), memory(last)])
    return table(["tokens", "all positions", "last position", "memory, all", "memory, last"], lines)


def against_attention(rows: Rows, work: str) -> str:
    rows = [row for row in rows if row["table"] == "attention" and row["work"] == work]
    lines = []
    for length in sorted({row["length"] for row in rows}):
        sides = [pick(rows, side=side, length=length) for side in ("crocuta", "attention", "reference")]
        lines.append([f"{length:,}", *map(seconds, sides), *map(memory, sides)])
    names = ["crocuta", "attention", "plain Hyena"]
    return table(["tokens", *names, *(f"{name}, memory" for name in names)], lines)


def crossover(rows: Rows, work: str, key: str) -> str:
    """From which measured length on crocuta is below attention."""
    lengths = sorted({row["length"] for row in rows if row["table"] == "attention"})
    below = None
    for length in reversed(lengths):
        cell = {"table": "attention", "work": work, "length": length}
        ours, other = (pick(rows, side=side, **cell) for side in ("crocuta", "attention"))
        if ours is None or other is None or ours[key] > other[key]:
            break
        below = length
    return "at no measured length" if below is None else f"from {below:,} tokens on"


def exponent(rows: Rows, side: str) -> str:
    """Least-squares slope of log time over log length, tiny, forward, default allocator."""
    points = {
        row["length"]: row["seconds"]
        for row in rows
        if row.get("seconds")
        and (row["work"], row["model"], row["side"], row["allocator"]) == ("forward", "tiny", side, "default")
        and row["length"] >= 16_384
        and row["table"] != "attention"
    }
    if len(points) < 3:
        return "—"
    x, y = [math.log(length) for length in points], [math.log(value) for value in points.values()]
    mean_x, mean_y = sum(x) / len(x), sum(y) / len(y)
    slope = sum((a - mean_x) * (b - mean_y) for a, b in zip(x, y, strict=True)) / sum(
        (a - mean_x) ** 2 for a in x
    )
    return f"{slope:.2f} ({len(points)} lengths, {min(points):,} to {max(points):,})"


def write(rows: Rows) -> None:
    machines = sorted({f"{row['threads']} threads, torch {row['torch']}" for row in rows if "torch" in row})
    page = [PAGE.read_text().split(MARK)[0] + MARK + "\n", f"Measured with {'; '.join(machines) or '—'}.\n"]
    own = [row for row in rows if row["table"] != "attention"]  # those were measured in other runs
    page += ["## Forward\n", against_reference(own, "forward")]
    page += [
        f"Time grows as length to the power {exponent(rows, 'crocuta')}; the reference's as"
        f" {exponent(rows, 'reference')}.\n"
    ]
    page += ["### Last position only\n", last_position(own)]
    page += ["## Forward and backward\n", against_reference(own, "training")]
    page += [
        "## Where filters are not smooth\n",
        "The same models, tiny, default allocator, with the FFT path forced, as for filters that are not smooth.\n",
        by_transform(own),
    ]
    page += [
        "## Against causal attention\n",
        "The tiny model with `F.scaled_dot_product_attention(is_causal=True)`, 2 heads of 64, in place of its"
        " Hyena operators; norms, MLP, head and loss are the same.\n",
    ]
    for work, name in (("forward", "Forward"), ("training", "Forward and backward")):
        faster, leaner = (crossover(rows, work, key) for key in ("seconds", "added_mb"))
        page += [f"**{name}.** crocuta is faster {faster}, and leaner {leaner}.\n"]
        page += [against_attention(rows, work)]
    PAGE.write_text("\n".join(page))
