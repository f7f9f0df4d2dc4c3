"""Biotypes of whole genes from their embeddings: logistic regression, macro F1, chromosomes held out.

    OMP_NUM_THREADS=1 python benchmarks/biotype.py                          # about 10 minutes on one core
    OMP_NUM_THREADS=1 python benchmarks/biotype.py --model runs/pretrained  # a folder of pretrained weights as well
    python benchmarks/biotype.py --write                                    # only the table in docs/biotype.md

Yeast: GTF, 16 chromosomes and the mitochondrion. Invertebrates: the first hundredths of the chromosomes of thale
cress, nematode and fly, GFF3, together; a group is a chromosome of one species. Genes are read whole on their strand,
up to the model's longest. What is done is not done again.
"""

import argparse
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from crocuta import load
from crocuta.analysis.embeddings import Embeddings, read_embeddings
from crocuta.embedding.features import Embedder
from crocuta.embedding.pieces import Piece, PieceSource
from crocuta.embedding.probe import as_json, probe
from crocuta.embedding.shards import embed
from crocuta.files import write_json
from crocuta.models.baselines import KmerConfig, KmerForSequenceClassification
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.quiet import prepare

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "biotype.json"
INVERTEBRATES = ("athaliana", "celegans", "dmelanogaster")
SETS = ("yeast", "invertebrates")
LONGEST = 16_384
LEAST = 12


class Features(NamedTuple):
    """A way to describe genes: its title, and how to make the embedder (None: length and GC content alone)."""

    title: str
    embedder: Embedder | None


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data-root", type=Path, default=Path("../shared/data/genomes"))
    parser.add_argument("--output", type=Path, default=Path("runs/biotype"))
    parser.add_argument(
        "--model", nargs="*", default=[], help="folders of pretrained weights, or hyenadna-<size>"
    )
    parser.add_argument("--sets", nargs="+", choices=SETS, default=SETS)
    parser.add_argument("--write", action="store_true", help="only write the table")
    arguments = parser.parse_args()
    prepare()
    if not arguments.write:
        for name in arguments.sets:
            for features in describe(arguments.model):
                run(name, features, arguments)
    write_page()


def describe(models: list[str]) -> Iterator[Features]:
    """Baselines, an untrained network, and the pretrained ones."""
    yield Features("length and GC content", None)
    for k in (3, 4):
        counts = KmerForSequenceClassification(KmerConfig(longest_kmer=k))
        yield Features(f"{k}-mer counts", Embedder(counts, "head"))
    torch.manual_seed(0)
    config = HyenaConfig(d_model=128, n_layer=2, max_seq_len=LONGEST + 2, initializer_range=0.08)
    yield Features("HyenaDNA-tiny, untrained", Embedder(HyenaForCausalLM(config)))
    for model in models:
        loaded = load(model)
        for layer in (1, -1):
            title = f"{Path(model).name}, {'last layer' if layer == -1 else f'layer {layer}'}"
            yield Features(title, Embedder(getattr(loaded, "members", [loaded])[0], layer))


def pieces(name: str, root: Path, cache: Path) -> Iterator[Piece]:
    """The genes of a set, with the column `group`."""
    yeast = root / "yeast" / "Saccharomyces_cerevisiae.R64-1-1"
    files = {"": (f"{yeast}.dna.toplevel.fa.gz", f"{yeast}.96.gtf.gz")}
    if name == "invertebrates":
        folder = root / "invertebrates_1pct"
        files = {s: (str(folder / f"{s}.fa.gz"), str(folder / f"{s}.gff3.gz")) for s in INVERTEBRATES}
    for species, (fasta, genes) in files.items():
        for piece in PieceSource(fasta, genes=genes, cache=str(cache)).pieces():
            group = f"{species} {piece.columns['contig']}".strip()
            yield piece._replace(columns=piece.columns | {"group": group})


def run(name: str, features: Features, arguments: argparse.Namespace) -> None:
    """Embeds the genes of a set, evaluates them, and adds a row to the results."""
    rows = json.loads(RESULTS.read_text()) if RESULTS.exists() else []
    if any((row["set"], row["features"]) == (name, features.title) for row in rows):
        return
    start = time.perf_counter()
    data = (
        describe_by_hand(name, arguments)
        if features.embedder is None
        else embeddings(name, features, arguments)
    )
    seconds = time.perf_counter() - start
    found = probe(data, "biotype", "group", least=LEAST)
    rows.append(
        {
            "set": name,
            "features": features.title,
            "dimensions": data.x.shape[1],
            **as_json(found),
            "embedding_seconds": round(seconds, 1),
            "seconds": round(time.perf_counter() - start, 1),
        }
    )
    write_json(RESULTS, rows)
    print(name, features.title, found.scores, flush=True)


def embeddings(name: str, features: Features, arguments: argparse.Namespace) -> Embeddings:
    """From the file of an earlier call, or made now."""
    assert features.embedder is not None
    slug = features.title.replace(" ", "-").replace(",", "")
    output = arguments.output / f"{name}-{slug}.h5ad"
    request = {"model": features.title, "set": name}
    genes = pieces(name, arguments.data_root, arguments.output)
    embed(features.embedder, genes, output, request, truncate=True, resume=True)
    return read_embeddings(output)


def describe_by_hand(name: str, arguments: argparse.Namespace) -> Embeddings:
    """Logarithm of the length, and the nucleotide frequencies."""
    import pandas

    rows, x = [], []
    for piece in pieces(name, arguments.data_root, arguments.output):
        counts = np.bincount(piece.ids(), minlength=12)[7:11]
        x.append([np.log(piece.length), *(counts / max(counts.sum(), 1))])
        rows.append(piece.columns)
    return Embeddings(np.array(x), pandas.DataFrame(rows), name=name)


def write_page() -> None:
    """docs/biotype.md."""
    rows = json.loads(RESULTS.read_text())
    lines = ["# Biotypes from embeddings", "", *PREFACE]
    for name in dict.fromkeys(row["set"] for row in rows):
        shown = [row for row in rows if row["set"] == name]
        classes = shown[0]["classes"]
        lines += ["", f"## {name.capitalize()}", ""]
        header = ["features", "dimensions", "macro F1", "MCC", "accuracy"]
        header += [f"{kind} ({found['rows']:,})" for kind, found in classes.items()]
        lines += [f"| {' | '.join(header)} |", "|---" * len(header) + "|"]
        best = max(row["scores"]["macro_f1"] for row in shown)
        for row in shown:
            values = [f"{row['scores'][key]:.3f}" for key in ("macro_f1", "mcc", "accuracy")]
            if row["scores"]["macro_f1"] == best:
                values[0] = f"**{values[0]}**"
            values += [f"{found['f1']:.2f}" for found in row["classes"].values()]
            lines.append(f"| {row['features']} | {row['dimensions']:,} | {' | '.join(values)} |")
        rare = ", ".join(f"{kind} ({count})" for kind, count in shown[0]["left_out"].items())
        lines += [
            "",
            "F1 of each class, with the number of its genes."
            f" Classes with fewer than {LEAST} genes are left out: {rare}.",
        ]
    (HERE.parent / "docs" / "biotype.md").write_text("\n".join(lines) + "\n")


PREFACE = """\
**Question.** Do embeddings know what kind of gene a sequence is?

**Data.** The genes of a genome (FASTA) and its annotation (GTF or GFF3), each embedded whole, with the model of a run
of `crocuta train` or `crocuta pretrain`:

<!-- not run: it needs a genome and its annotation -->

```console
$ crocuta embed genome.fa --genes genes.gtf -m run/ --truncate -o genes.h5ad
$ crocuta probe genes.h5ad --label biotype --group contig
$ crocuta map genes.h5ad --colour biotype --method pca --method tsne -o genes.html
```

**Evaluation.** Logistic regression predicts the biotype from the embeddings, in five folds. A chromosome is never on
both sides of a split, every class has the same weight, and macro F1 counts rare classes as much as common ones.

## Answer

Embeddings of HyenaDNA-tiny are ahead of length and GC content. Counts of 4-mers are ahead of all embeddings for yeast,
and an untrained network is ahead of them for the invertebrates, where rare classes have few genes.
`benchmarks/biotype.py` writes this page.
""".splitlines()


if __name__ == "__main__":
    main()
