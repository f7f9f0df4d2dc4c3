"""Time and memory of HyenaDNA at long range: crocuta, the plain reference, and causal attention of equal width.

    python benchmarks/long_range.py                    # every row that is missing, about an hour and a half
    python benchmarks/long_range.py --quick            # short sequences only, minutes; same file
    python benchmarks/long_range.py --again forward    # measures the rows of a table anew
    python benchmarks/long_range.py --show             # docs/long_range.md from the rows at hand

Each measurement is a process of its own: the model is built, then the work runs one to three times (until a minute has
passed). `seconds` is the median; `added_mb` is the peak of resident memory during the work above what was resident when
the model stood. Allocator: `default` is glibc as it comes; `raised` keeps freed memory (`RAISED`) on both sides.
`fft` is crocuta with filters that are taken for rough, so that all long convolutions are FFTs. Rows land
in benchmarks/results/long_range.json as they come; a second call resumes.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from itertools import product
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "long_range.json"
RAISED = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(1 << 40), "MALLOC_TOP_PAD_": str(1 << 26)}
SIZES = {"tiny": {"d_model": 128, "n_layer": 2}, "medium": {"d_model": 256, "n_layer": 8}}
KEY = ("table", "work", "model", "side", "length", "allocator", "threads")
MOST_SECONDS, MOST_REPEATS = 60, 3

BOTH = ("crocuta", "reference")
TABLES = {
    "forward": [
        *product(["forward"], ["tiny"], BOTH, [32_768, 262_144, 1_000_000], ["default", "raised"]),
        *product(["forward"], ["medium"], BOTH, [160_000], ["default", "raised"]),
        *product(["forward"], ["tiny"], ["fft"], [32_768, 262_144, 1_000_000], ["default"]),
        *product(["last"], ["tiny"], ["crocuta"], [32_768, 262_144, 1_000_000], ["default"]),
    ],
    "training": [
        *product(["training"], ["tiny"], BOTH, [32_768, 262_144], ["default", "raised"]),
        *product(["training"], ["tiny"], ["crocuta"], [1_000_000], ["default"]),
        *product(["training"], ["tiny"], ["fft"], [262_144, 1_000_000], ["default"]),
        *product(["training"], ["medium"], BOTH, [32_768], ["default"]),
    ],
    "growth": [
        *product(["forward"], ["tiny"], BOTH, [16_384, 65_536, 131_072, 524_288], ["default"]),
    ],
    "attention": [
        *product(
            ["forward", "training"],
            ["tiny"],
            ["crocuta", "attention", "reference"],
            [1_024, 4_096, 16_384, 32_768],
            ["default"],
        ),
    ],
}


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--quick", action="store_true", help="lengths up to 32,768 of the tiny model")
    parser.add_argument("--again", nargs="*", default=[], choices=list(TABLES), help="tables to measure anew")
    parser.add_argument("--only", nargs="*", default=list(TABLES), choices=list(TABLES))
    parser.add_argument("--show", action="store_true", help="write the page, measure nothing")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    return parser.parse_args()


def resident(field: str) -> float:
    """MB of this process: `VmRSS` now or `VmHWM` at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) / 1024
    raise KeyError(field)


def build(row: dict):
    """The model of a row and the function of ids that is timed."""
    import torch
    from attention_hyena import with_attention
    from reference_hyena import ReferenceHyena

    from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
    from crocuta.nn import hyena

    torch.manual_seed(0)
    config = HyenaConfig(**SIZES[row["model"]], max_seq_len=row["length"] + 2, embed_dropout=0.0)
    model = ReferenceHyena(config) if row["side"] == "reference" else HyenaForCausalLM(config)
    if row["side"] == "fft":  # as if no filter were smooth
        hyena.panel_values = lambda filter, length: None
    if row["side"] == "attention":
        with_attention(model, heads=config.d_model // 64)
    if row["side"] == "reference":
        loss, logits = model.loss, model
    else:
        loss = lambda ids: model(ids, labels=ids, logits_to_keep=1).loss  # noqa: E731
        logits = lambda ids: model(ids, logits_to_keep=int(row["work"] == "last")).logits  # noqa: E731

    def train(ids):
        model.zero_grad()
        loss(ids).backward()

    model.train(row["work"] == "training")
    return train if row["work"] == "training" else torch.no_grad()(logits)


def measure(row: dict) -> dict:
    """Runs in the child process."""
    import torch

    torch.set_num_threads(row["threads"])
    work = build(row)
    ids = torch.randint(7, 11, (1, row["length"]))
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts from here
    before, seconds = resident("VmRSS"), []
    while not seconds or (len(seconds) < MOST_REPEATS and sum(seconds) < MOST_SECONDS):
        start = time.perf_counter()
        work(ids)
        seconds.append(time.perf_counter() - start)
    added = resident("VmHWM") - before
    return {
        **row,
        "seconds": round(statistics.median(seconds), 4),
        "repeats": len(seconds),
        "added_mb": round(added),
        "torch": torch.__version__,
    }


def spawn(row: dict) -> dict:
    environment = dict(os.environ, OMP_NUM_THREADS=str(row["threads"]))
    environment |= RAISED if row["allocator"] == "raised" else {}
    command = [sys.executable, __file__, "--child", json.dumps(row)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        reason = (done.stderr.strip().splitlines() or [f"signal {-done.returncode}"])[-1]
        return {**row, "failed": reason}
    return json.loads(done.stdout.splitlines()[-1])


def wanted(arguments: argparse.Namespace) -> list[dict]:
    rows = [
        dict(zip(KEY, (table, *cell, arguments.threads), strict=True))
        for table in TABLES
        if table in arguments.only
        for cell in TABLES[table]
    ]
    return [
        row for row in rows if not arguments.quick or (row["length"] <= 32_768 and row["model"] == "tiny")
    ]


def main() -> None:
    arguments = parse()
    if arguments.child:
        print(json.dumps(measure(json.loads(arguments.child))))
        return
    rows = (
        {tuple(row[key] for key in KEY): row for row in json.loads(RESULT.read_text())}
        if RESULT.exists()
        else {}
    )
    for row in wanted(arguments) if not arguments.show else []:
        key = tuple(row[name] for name in KEY)
        if key in rows and "failed" not in rows[key] and row["table"] not in arguments.again:
            continue
        rows[key] = found = spawn(row)
        RESULT.write_text(
            json.dumps(sorted(rows.values(), key=lambda r: [str(r[k]) for k in KEY]), indent=1) + "\n"
        )
        figure = found.get("failed") or f"{found['seconds']:.3f} s, {found['added_mb']:,} MB"
        print(
            *(f"{value:,}" if isinstance(value, int) else value for value in key),
            figure,
            sep="  ",
            flush=True,
        )
    from long_range_page import write

    write(list(rows.values()))


if __name__ == "__main__":
    main()
