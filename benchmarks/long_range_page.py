"""docs/long_range.md from benchmarks/results/long_range.json."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from pathlib import Path

PAGE = Path(__file__).parents[1] / "docs" / "long_range.md"
MARK = "<!-- Written by benchmarks/long_range.py from benchmarks/results/long_range.json; edit that. -->"
HEAD = f"""{MARK}

# Long range

A Hyena operator costs little more than linear time, but only if neither its transforms nor its activations leave the cache. From 4,096 tokens on (`crocuta.models.hyena_lean.LEAN_FROM`), every block of HyenaDNA runs in chunks, in inference and in training alike, with the same numbers as the plain equations:

- **Convolution in O(L).** A filter of HyenaDNA is a smooth function of time. On panels of up to 2,048 positions it is a polynomial through its values at 8 to 16 Chebyshev nodes, exact to 1e-6 of its size, which is checked between the nodes each time. Lags within a panel go through FFTs that stay in cache; all longer lags through two thin matrix products and a convolution over panels. The filter network is read at a few thousand points in place of a million. Against float64 the result is ten times nearer than float32 FFTs of the whole length. A filter that is not smooth enough, a bidirectional one, and any float64 model take FFTs over a few channels at a time, beyond 65,536 tokens as a two-level transform (`crocuta.nn.two_level`).
- **Chunks of time** for norms, projections, short filter, gates, MLP, head and loss. In inference the residual stream and one buffer of its size are all there is. Linear layers and their GELU go through oneDNN, which is twice as fast as torch's default on some CPUs.
- **Training keeps each block's input and nothing else**, and computes the rest again in its backward pass, chunk by chunk: `gradient_checkpointing_enable()` changes nothing here.
- **Logits only where wanted.** `model(ids, logits_to_keep=1)` gives those of the last position, for which the last block is cut down to it; `model(ids, labels=ids, logits_to_keep=1)` gives the loss over all positions from chunks of logits.

A block takes the plain path where somebody listens to it (forward hooks), where `hyena_dropout` is at work, and under `torch.compile`. LoRA and soft prompts work on both. Second derivatives exist on the plain path only.

Every row below is a process of its own. Memory is the peak of resident memory above that of the built model. *Allocator*: `default` is glibc as it comes; `raised` keeps freed memory (`MALLOC_MMAP_MAX_=0`, trim threshold 1 TB), which spares both sides page faults. *Reference* is `benchmarks/reference_hyena.py`, the same model written in the obvious way. tiny: width 128, 2 layers; medium: width 256, 8 layers; batch of one, float32.
"""

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
    page = [HEAD, f"Measured with {'; '.join(machines) or '—'}.\n"]
    page += ["## Forward\n", against_reference(rows, "forward")]
    page += [
        f"Time grows as length to the power {exponent(rows, 'crocuta')}; the reference's as"
        f" {exponent(rows, 'reference')}.\n"
    ]
    page += ["### Last position only\n", last_position(rows)]
    page += ["## Forward and backward\n", against_reference(rows, "training")]
    page += [
        "## Against causal attention\n",
        "The tiny model with `F.scaled_dot_product_attention(is_causal=True)`, 2 heads of 64, in the place of its"
        " Hyena operators; norms, MLP, head and loss are the same.\n",
    ]
    for work, name in (("forward", "Forward"), ("training", "Forward and backward")):
        faster, leaner = (crossover(rows, work, key) for key in ("seconds", "added_mb"))
        page += [f"**{name}.** crocuta is faster {faster}, and leaner {leaner}.\n"]
        page += [against_attention(rows, work)]
    PAGE.write_text("\n".join(page))
