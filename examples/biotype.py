"""What kind of gene is this? Embeddings of whole genes, a probe that keeps chromosomes apart, and a map.

    python examples/biotype.py                                              # an invented genome, seconds
    python examples/biotype.py genome.fa genes.gtf --model pretrained/      # or GFF3, a run folder, hyenadna-<size>

The same from the command line: crocuta embed genome.fa --genes genes.gtf -m pretrained/ --truncate -o genes.h5ad,
crocuta probe genes.h5ad --label biotype --group contig, crocuta map genes.h5ad --colour biotype -o genes.html
"""

import argparse
from pathlib import Path

import numpy as np
import torch

from crocuta import load
from crocuta.analysis.embeddings import read_embeddings
from crocuta.analysis.maps import make_map
from crocuta.embedding.features import Embedder
from crocuta.embedding.pieces import PieceSource
from crocuta.embedding.probe import probe
from crocuta.embedding.shards import embed
from crocuta.models.hyena import HyenaConfig, HyenaForCausalLM
from crocuta.quiet import prepare
from crocuta.report.maps import write_map

CHANCES = {"protein_coding": [0.3, 0.2, 0.2, 0.3], "tRNA": [0.2, 0.3, 0.3, 0.2], "pseudogene": [0.25] * 4}


def invent(folder: Path, chromosomes: int = 6, genes: int = 30) -> tuple[Path, Path]:
    """FASTA and GTF of genes whose kinds differ a little in the nucleotides that they use."""
    generator = np.random.default_rng(0)
    fasta, gtf = [], []
    for chromosome in range(1, chromosomes + 1):
        nucleotides = generator.choice(list("ACGT"), 400 * genes)
        for i in range(genes):
            kind = list(CHANCES)[i % 3]
            start, length = 400 * i, int(generator.integers(150, 350))
            nucleotides[start : start + length] = generator.choice(list("ACGT"), length, p=CHANCES[kind])
            place = f"chr{chromosome}\tinvented\tgene\t{start + 1}\t{start + length}\t.\t+\t."
            gtf.append(f'{place}\tgene_id "g{chromosome}.{i}"; gene_biotype "{kind}";')
        fasta.append(f">chr{chromosome}\n{''.join(nucleotides)}")
    paths = folder / "genome.fa", folder / "genes.gtf"
    for path, lines in zip(paths, (fasta, gtf), strict=True):
        path.write_text("\n".join(lines) + "\n")
    return paths


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("genome", nargs="?", type=Path)
    parser.add_argument("genes", nargs="?", type=Path)
    parser.add_argument("--model", help="default: new weights, which know of nucleotides all the same")
    parser.add_argument("--output", type=Path, default=Path("biotype"))
    arguments = parser.parse_args()
    prepare()
    torch.manual_seed(0)
    arguments.output.mkdir(parents=True, exist_ok=True)
    given = arguments.genome, arguments.genes
    genome, genes = given if arguments.genome else invent(arguments.output)
    new = HyenaConfig(d_model=64, max_seq_len=4098, initializer_range=0.08)
    model = load(arguments.model) if arguments.model else HyenaForCausalLM(new)
    embedder = Embedder(getattr(model, "members", [model])[0])

    output = arguments.output / "genes.h5ad"
    request = {"model": arguments.model or "new", "genome": str(genome)}
    inputs = {
        "model": arguments.model,
        "genome": genome,
        "genes": genes,
    }  # where they differ, nothing goes on
    pieces = PieceSource(str(genome), genes=str(genes)).pieces()
    embed(embedder, pieces, output, request, inputs=inputs, truncate=True, resume=True)

    embeddings = read_embeddings(output)
    found = probe(embeddings, "biotype", group="contig", folds=3)
    for name, count, f1 in zip(found.classes, found.counts, found.by_class, strict=True):
        print(f"{name:20} {count:6,} genes, F1 {f1:.3f}")
    print(f"macro F1 {found.scores['macro_f1']:.3f} on chromosomes that the probe has not seen")
    write_map(arguments.output / "genes.html", [make_map(embeddings, "pca")], embeddings, "biotype")
    print(arguments.output / "genes.html")


if __name__ == "__main__":
    main()
