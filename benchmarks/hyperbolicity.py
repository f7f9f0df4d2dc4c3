"""Delta of real data against treeless clouds, how well the tests are calibrated, and how fast it is.

    OMP_NUM_THREADS=2 python benchmarks/hyperbolicity.py --data-root ../shared/data     # about ten minutes

Writes benchmarks/results/hyperbolicity.json, docs/_static/hyperbolicity.svg and docs/hyperbolicity.md; with
`--only speed` (or `data`, `calibration`) measures that part again and keeps the rest of the JSON.
"""

import argparse
import itertools
import json
import lzma
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from crocuta.analysis.distances import Distances, Points, euclidean, kmer_points
from crocuta.data.phylogeny import birth_death_tree
from crocuta.data.records import read_records
from crocuta.data.sequences import Sequences
from crocuta.files import replacing, write_json
from crocuta.report.style import styled
from crocuta.trees.delta import base_deltas, four_point, measure, worst
from crocuta.trees.page import NullLine, delta_json, overview
from crocuta.trees.sources import open_distances

ROOT = Path(__file__).parents[1]
RESULT = ROOT / "benchmarks" / "results" / "hyperbolicity.json"
NULLS = 399
CLOUDS = 100
GUE, PHYLOGENY = "gue", "phylogeny"


def unpacked(path: Path, folder: Path) -> Path:
    """The .fasta.xz in the folder of a tree, as .fasta."""
    target = folder / f"{path.parent.name}.fasta"
    target.write_bytes(lzma.decompress(path.read_bytes()))
    return target


def windows(paths: list[Path], length: int, count: int) -> Distances:
    """`count` windows of each genome by their 4-mers, at regular places."""
    names, pieces = [], []
    for path in paths:
        genome = "".join(record.sequence for record in read_records(path))
        for i, start in enumerate(np.linspace(0, len(genome) - length, count).astype(int)):
            names.append(f"{path.name}_{i}")
            pieces.append(genome[start : start + length])
    return kmer_points(Sequences.from_strings(pieces, names), 4, "bacteria")


def datasets(root: Path, folder: Path) -> Iterator[tuple[str, str, Distances]]:
    """Label, distance, points; the first is a control, distances in a real tree."""
    trees = root / PHYLOGENY
    yield "zika tree (control)", "path length", open_distances(trees / "zika" / "tree.nwk")
    for virus in ("zika", "dengue_all"):
        path = unpacked(trees / virus / "sequences.fasta.xz", folder)
        yield f"{virus.split('_')[0]} genomes", "JC69", open_distances(path, distance="jc69")
    python = trees / "dendropy" / "pythonidae.chars.fasta"
    yield "pythons, mtDNA", "JC69", open_distances(python, distance="jc69")
    mammals = trees / "mammals128" / "mtdna_15016cols_ungapped.fasta"
    yield "128 mammals, mtDNA", "4-mers", open_distances(mammals)
    for name, species in (("Homo_sapiens", "human"), ("Drosophila_melanogaster", "fly")):
        path = root / "transposable_elements" / f"{name}.fasta.gz"
        yield f"transposable elements, {species}", "4-mers", open_distances(path)
    genomes = sorted((root / "genomes" / "bacteria").glob("*.fna.gz"))
    yield "8 bacteria, 5 kb windows", "4-mers", windows(genomes, 5000, 50)
    for task in ("prom/prom_core_tata", "prom/prom_300_tata", "tf/0", "mouse/0"):
        yield (
            f"GUE {task.split('/', 1)[1] if task.startswith('prom') else task}",
            "4-mers",
            open_distances(root / GUE / task / "train.csv.gz"),
        )
    path = root / "genomic_benchmarks_derived" / "human_nontata_promoters.tsv.gz"
    yield "promoters without TATA, human", "4-mers", open_distances(path)


def measure_data(root: Path) -> list[dict]:
    """One entry per data set."""
    entries = []
    with tempfile.TemporaryDirectory() as folder:
        for label, distance, points in datasets(root, Path(folder)):
            start = time.perf_counter()
            found = measure(points, nulls=NULLS)
            seconds = time.perf_counter() - start
            entries.append({**delta_json(label, found), "distance": distance, "seconds": round(seconds, 1)})
            p = {null: test.p_average for null, test in found.tests.items()}
            print(
                f"{label:34} n {found.n:6} mean {found.average.value:.4f} p {p} {seconds:.0f} s", flush=True
            )
    return entries


LAWS: dict[str, Callable[[np.random.Generator], np.ndarray]] = {
    "normal, 10 equal axes": lambda g: g.standard_normal((40, 10)),
    "normal, 200 equal axes": lambda g: g.standard_normal((40, 200)),
    "normal, 50 axes, lengths 1/i": lambda g: g.standard_normal((40, 50)) / np.arange(1, 51),
    "Student t (4), 10 axes": lambda g: g.standard_normal((40, 10)) / np.sqrt(g.chisquare(4, (40, 1)) / 4),
    "Student t (4), 200 axes": lambda g: g.standard_normal((40, 200)) / np.sqrt(g.chisquare(4, (40, 1)) / 4),
    "uniform in a cube, 10 axes": lambda g: g.random((40, 10)),
}


def measure_calibration(clouds: int = CLOUDS) -> dict[str, dict[str, float]]:
    """Share of treeless clouds of 40 points that each null calls tree-like at p <= 0.05."""
    shares = {}
    for law, draw in LAWS.items():
        generator = np.random.default_rng(1)
        p = []
        for i in range(clouds):
            tests = measure(Points(draw(generator)), nulls=19, seed=i, exact_up_to=0, quadruples=5000).tests
            p.append([test.p_average for test in tests.values()])
        shares[law] = dict(zip(tests, (np.array(p) <= 0.05).mean(0).round(3).tolist(), strict=True))
        print(law, shares[law], flush=True)
    return shares


def brute_force(D: np.ndarray) -> float:
    """All quadruples, one by one in numpy: the oracle."""
    return float(four_point(D, np.array(list(itertools.combinations(range(len(D)), 4))).T).max())


def original(D: np.ndarray) -> float:
    """As the authors compute it: for every base point all n^3 triples, no symmetry used."""
    largest = 0.0
    for p in range(len(D)):
        G = (D[p, :, None] + D[p] - D) / 2
        largest = max(largest, float((np.minimum(G[:, :, None], G[None]).max(1) - G).max()))
    return largest


def timed(function: Callable, *arguments, repeat: int = 3, **options) -> tuple[float, object]:
    """The shortest of `repeat` wall-clock times, and the result."""
    seconds, result = [], None
    for _ in range(repeat):
        start = time.perf_counter()
        result = function(*arguments, **options)
        seconds.append(time.perf_counter() - start)
    return min(seconds), result


def measure_speed() -> dict:
    """Wall-clock seconds, the smallest of three, and agreement with brute force."""
    generator = np.random.default_rng(0)
    small = euclidean(generator.standard_normal((60, 5)))
    ours, found = timed(worst, small)
    brute, truth = timed(brute_force, small)
    speed: dict = {"n = 60": {"crocuta": ours, "brute force": brute, "difference": abs(found.delta - truth)}}
    middle = euclidean(generator.standard_normal((120, 5)))
    ours, found = timed(worst, middle)
    theirs, value = timed(original, middle)
    speed["n = 120"] = {"crocuta": ours, "original": theirs, "difference": abs(found.delta - value)}
    one, _ = timed(base_deltas, middle, 0)
    speed["n = 120, one base point"] = {"crocuta": one}
    for name, D in {
        "normal, 10 axes": euclidean(generator.standard_normal((500, 10))),
        "normal, 100 axes": euclidean(generator.standard_normal((500, 100))),
        "tree": birth_death_tree(500, generator).distances(),
    }.items():
        speed[f"n = 500, {name}"] = {"crocuta": timed(worst, D)[0]}
    large = Points(generator.standard_normal((20_000, 128)).astype(np.float32))
    speed["n = 20,000, 30 subsets"] = {"crocuta": timed(measure, large, nulls=0)[0]}
    speed["n = 20,000, with 3 x 199 nulls"] = {"crocuta": timed(measure, large, repeat=1)[0]}
    for name, row in speed.items():
        print(name, row, flush=True)
    return speed


TEXT = """# How tree-like are genomes?

This page measures how close distances between sequences, embeddings or the tips of a tree are to those in a tree, and
tests it. Inputs are aligned FASTA, a table of sequences, Newick or Nexus, a distance matrix, `.npy` or `.h5ad`. The
first command makes some:

```console
$ crocuta tree simulate --scenario A --sequences 200 -o clades/
$ crocuta tree delta clades/tree.nwk
$ crocuta tree delta clades/sequences.fasta --distance jc69 -o delta
$ crocuta embed clades/test.csv --model kmer-4 -o kmers.h5ad
$ crocuta tree delta kmers.h5ad
```

Points of hyperbolic space need their space and curvature (an `.h5ad` file of crocuta says both), and \
`.h5ad` files of other tools the name of the coordinates:

<!-- not run: it needs embeddings of your own -->

```console
$ crocuta tree delta embeddings.npy --space lorentz --curvature 1
$ crocuta tree delta cells.h5ad --key X_pca
```

## Method

Gromov's δ says how far distances are from those in a tree: of four points, it is half the difference between the two
largest of the three sums of opposite distances. *Relative* δ is 2δ / diameter. It falls with the dimension and with the
concentration of distances, tree or not, so a value alone says nothing. `crocuta tree delta` therefore compares it
with random point clouds without a tree that have as many points and the same spectrum of principal coordinates:

- *gaussian*: a random rotation; an exact test when the points are independent draws of any normal distribution;
- *spherical*: new directions with the (standardised) distances from the centre kept, so that outliers, which form a
  star, do not count as a tree;
- *permuted*: the values of each coordinate permuted.

p is the share of nulls at or below the data: a small p means more tree-like than the null. It does not prove that one
tree made the data: recombination is not among the nulls. `python benchmarks/hyperbolicity.py` writes this page.

## Real data

{data}

Means over {subsets} random subsets of {subset} points (one where there are no more), with 95% intervals over subsets;
{nulls} draws of each null on one subset, so that no p is below {smallest}. p: of the mean δ of random quadruples;
in the last column Holm's correction, for the {count} data sets, of the largest of the three.
The first row is a control: distances in a tree have δ = 0.

The range in the picture and the null's mean in the table belong to the null with the largest p.

![Mean relative δ and the range of the nearest null](_static/hyperbolicity.svg)

{reading}

## Are the p-values honest?

False-positive rate at p ≤ 0.05, which should be 0.05, on {clouds} clouds of 40 points without a tree:

{calibration}

Heavy tails look tree-like under the Gaussian and the permuted null: require significance against all three. Heavy tails
in many more dimensions than there are points can pass all of them.

## Exactness and speed

`crocuta.trees.delta.worst` gives the largest δ over **all** quadruples, which is the paper's maximum over
all base points; a fixed base point, as is common elsewhere, may give half of it. {agreement}
Seconds, shortest of three:

{speed}
"""


def table(header: list[str], rows: list[list[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def holm(p: list[float]) -> list[float]:
    """Holm's step-down correction."""
    order = np.argsort(p, kind="stable")
    stepped = np.maximum.accumulate([min(1.0, (len(p) - i) * p[k]) for i, k in enumerate(order)])
    corrected = np.empty(len(p))
    corrected[order] = stepped
    return corrected.tolist()


def nearest(entry: dict) -> dict:
    """The test with the largest p of the three nulls: small only when the data are below all of them."""
    return max(entry["tests"].values(), key=lambda test: test["p_average"])


def data_table(entries: list[dict]) -> str:
    corrected = holm([nearest(entry)["p_average"] for entry in entries])
    rows = []
    for entry, p in zip(entries, corrected, strict=True):
        average, tests = entry["average"], entry["tests"]
        spread = f" ({average['low']:.4f} to {average['high']:.4f})" if entry["subsets"] > 1 else ""
        rows.append([
            entry["name"], entry["distance"], f"{entry['points']:,}", f"{entry['effective_dimension']:.1f}",
            f"{entry['worst']['value']:.3f}", f"{average['value']:.4f}{spread}",
            f"{nearest(entry)['null_average']['mean']:.4f}",
            *(f"{tests[null]['p_average']:.4f}" for null in ("gaussian", "spherical", "permuted")), f"{p:.3f}",
        ])  # fmt: skip
    header = [
        "data", "distance", "points", "eff. dim.", "largest δ", "mean δ", "null mean δ",
        "p gaussian", "p spherical", "p permuted", "Holm",
    ]  # fmt: skip
    return table(header, rows)


def reading(entries: list[dict]) -> str:
    """Which data sets differ from all three nulls, and which from none; the control left out."""
    trees, mixed, plain = [], [], []
    for entry in entries[1:]:
        small = [test["p_average"] <= 0.05 for test in entry["tests"].values()]
        (trees if all(small) else mixed if any(small) else plain).append(entry["name"])
    parts = [
        f"More tree-like than all three nulls (p ≤ 0.05): {', '.join(trees) or 'none'}.",
        f"Than some: {', '.join(mixed) or 'none'}.",
        f"Than none: {', '.join(plain) or 'none'}.",
    ]
    return " ".join(parts)


def write_page(results: dict) -> None:
    entries, speed = results["data"], results["speed"]
    rows = [
        [law, *(f"{share:.3f}" for share in shares.values())]
        for law, shares in results["calibration"].items()
    ]
    worst_difference = max(row["difference"] for row in speed.values() if "difference" in row)
    times = [
        [name, *(f"{row[who]:.3f}" if who in row else "" for who in ("crocuta", "original", "brute force"))]
        for name, row in speed.items()
    ]
    text = TEXT.format(
        data=data_table(entries), subsets=entries[0]["subsets"], subset=entries[0]["subset"],
        nulls=NULLS, smallest=1 / (NULLS + 1),
        count=len(entries), clouds=CLOUDS, reading=reading(entries),
        calibration=table(["law of the points", "gaussian", "spherical", "permuted"], rows),
        agreement=f"It agrees with brute force to {worst_difference:.0e}.",
        speed=table(["what", "crocuta", "as the original", "all quadruples in numpy"], times),
    )  # fmt: skip
    with replacing(ROOT / "docs" / "hyperbolicity.md") as file:
        file.write(text)
    lines = []
    for entry in entries:
        test, null = nearest(entry), nearest(entry)["null_average"]
        lines.append(NullLine(entry["name"], test["average"], null["low"], null["high"], test["p_average"]))
    with styled(), replacing(ROOT / "docs" / "_static" / "hyperbolicity.svg", "wb") as file:
        overview(lines).savefig(file, format="svg", facecolor="white", metadata={"Date": None})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=Path, default=ROOT.parent / "shared" / "data")
    parser.add_argument("--only", choices=["data", "calibration", "speed", "page"])
    options = parser.parse_args()
    results = json.loads(RESULT.read_text()) if options.only else {}
    parts = {"speed": measure_speed, "calibration": measure_calibration}
    parts["data"] = lambda: measure_data(options.data_root)
    for name, function in parts.items():
        if options.only in (None, name):
            results[name] = function()
            write_json(RESULT, results)
    write_page(results)


if __name__ == "__main__":
    main()
