"""L-CLIP measured: digits and words, repeated elements and words, genes and words; CLIP beside it.

    OMP_NUM_THREADS=1 python benchmarks/lclip.py digits [--seeds 3]   # 2 minutes of one core a model and seed
    OMP_NUM_THREADS=1 python benchmarks/lclip.py dna [--seeds 3]      # 8 minutes of one core a seed
    OMP_NUM_THREADS=1 python benchmarks/lclip.py genes [--seeds 3]    # both go on where they were stopped
    python benchmarks/lclip.py page                                   # docs/lclip.md from the results

Data: MNIST's t10k images, the element libraries of human and fly, and genes of four small genomes, in `../shared/data`
or `--data-root`. Settings of digits were chosen on digits that are never tested on; those of elements, which genes take
over, by cross-validation within the part of seed 0 that is not its test, but for two that docs/lclip.md names.
"""

import argparse
import json
from pathlib import Path

import lclip_digits
import lclip_dna
import numpy as np

from crocuta.files import replacing, write_json
from crocuta.quiet import prepare

ROOT = Path(__file__).resolve().parents[1]
RESULT = ROOT / "benchmarks" / "results" / "lclip.json"
PAGE = ROOT / "docs" / "lclip.md"
MARKS = {part: (f"<!-- {part}: begin -->", f"<!-- {part}: end -->") for part in ("digits", "dna", "genes")}
DIGITS = (
    "digits, four prompts",
    "digits, one prompt",
    "pairs of combinations seen",
    "pairs of combinations never seen",
    "share of the 10 images nearest to a caption",
)
DNA = ("element to words @1", "element to words @10", "words to element @1", "words to element @10")
ROWS = ("L-CLIP", "L-CLIP with HyenaDNA", "CLIP", "k-mer ridge", "ridge of all counts", "chance")


def mean(values: list[float]) -> str:
    """`96.1%`, or `96.1% ± 0.4` (standard deviation) of several."""
    spread = f" ± {100 * np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{100 * np.mean(values):.1f}%{spread}"


def digits_table(found: dict) -> str:
    runs = found["runs"]
    kinds = [kind for kind in ("L-CLIP", "CLIP") if all(kind in run for run in runs)]
    lines = [f"| zero-shot, {len(runs)} seed(s) | {' | '.join(kinds)} |", "|---" * (1 + len(kinds)) + "|"]
    for name in DIGITS:
        cells = " | ".join(mean([run[kind][name] for run in runs]) for kind in kinds)
        lines.append(f"| {name} | {cells} |")
    seconds = " | ".join(f"{np.mean([run[kind]['cpu_seconds'] for run in runs]):.0f}" for kind in kinds)
    return "\n".join([*lines, f"| CPU seconds of training | {seconds} |"])


def dna_table(found: dict) -> str:
    runs = found["runs"]
    lines = [f"| test, {len(runs)} seed(s) | {' | '.join(DNA)} |", "|---" * (1 + len(DNA)) + "|"]
    for row in ROWS:
        if all(row in run for run in runs):
            scores = [run[row].get("test", run[row]) for run in runs]
            lines.append(f"| {row} | {' | '.join(mean([s[name] for s in scores]) for name in DNA)} |")
    sizes = "; ".join(" / ".join(map(str, run["sizes"])) for run in runs)
    lines += [
        "",
        f"{found['elements']:,} sequences with {found['labels']} labels; to train on / choose by / test on: {sizes}.",
        f"Seed 0: {runs[0]['captions']} captions. {runs[0]['leakage']}",
    ]
    return "\n".join(lines)


def write_page(results: dict) -> None:
    text = PAGE.read_text()
    for part, make in (("digits", digits_table), ("dna", dna_table), ("genes", dna_table)):
        if part in results:
            begin, end = MARKS[part]
            before, rest = text.split(begin)
            text = f"{before}{begin}\n{make(results[part])}\n{end}{rest.split(end)[1]}"
    with replacing(PAGE) as file:
        file.write(text)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=["digits", "dna", "genes", "page"])
    parser.add_argument("--data-root", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument(
        "--again", action="store_true", help="seeds of dna and genes that are measured already, too"
    )
    parser.add_argument("--kinds", nargs="+", default=["L-CLIP", "CLIP"])
    options = parser.parse_args()
    prepare()

    def save(found: dict) -> None:
        now = json.loads(RESULT.read_text()) if RESULT.exists() else {}
        write_json(RESULT, now | {options.part: found})

    if options.part == "digits":
        folder = options.data_root / "images" / "mnist_t10k"
        lclip_digits.measure(folder, options.seeds, options.kinds, save)
    elif options.part != "page":
        if options.part == "dna":
            library = lclip_dna.read_library(options.data_root / "transposable_elements")
        else:
            library = lclip_dna.read_genes(options.data_root / "genomes")
        known = json.loads(RESULT.read_text()) if RESULT.exists() and not options.again else {}
        before = known.get(options.part, {}).get("runs", [])
        lclip_dna.measure(library, options.seeds, options.kinds, before, save)
    write_page(json.loads(RESULT.read_text()))


if __name__ == "__main__":
    main()
