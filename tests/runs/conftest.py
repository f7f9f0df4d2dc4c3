"""Small inputs for every command, each of which some model can learn."""

import struct
from pathlib import Path

import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_inputs():
    """Fills a folder with small inputs."""
    return _write_inputs


def _write_inputs(folder: Path) -> None:
    """Fills a folder with a table, a genome, edges, images, triples and questions, a cohort, described DNA, a tree."""
    rng = np.random.default_rng(0)
    _tables(folder, rng)
    _images(folder, rng)
    _cohort(folder, rng)
    nucleotides = rng.choice(list("ACGT"), 3000)
    contigs = (
        f">{name}\n{''.join(nucleotides[1000 * i : 1000 * (i + 1)])}\n"
        for i, name in enumerate(("chr1", "chr2", "chr3"))
    )
    (folder / "genome.fa").write_text("".join(contigs))
    (folder / "other.fa").write_text(f">chr1\n{''.join(rng.choice(list('ACGT'), 2000))}\n")
    _lines(folder / "edges.tsv", [f"{(i - 1) // 2}\t{i}" for i in range(1, 63)])
    _lines(folder / "pairs.txt", ["0 1", "5 40"])
    (folder / "tree.nwk").write_text("((((a:1,b:1):1,(c:1,d:1):1):1,((e:1,f:1):1,g:2):1):1,(h:1,i:2):2);\n")


def _lines(path: Path, lines: list[str]) -> None:
    path.write_text("\n".join(lines) + "\n")


def _tables(folder: Path, rng: np.random.Generator) -> None:
    rows = ["sequence,label"]
    for i in range(120):
        sequence = "".join(rng.choice(list("ACGT"), 40))
        rows.append(f"{sequence[:10]}TATAAA{sequence[16:]},promoter" if i % 2 else f"{sequence},other")
    _lines(folder / "data.csv", rows)
    shares = ([0.4, 0.1, 0.1, 0.4], [0.1, 0.4, 0.4, 0.1], [0.4, 0.1, 0.4, 0.1])
    captions = ("a satellite repeat", "a long element", "a short element")
    described = [
        f"{''.join(rng.choice(list('ACGT'), 60, p=shares[i % 3]))},{captions[i % 3]}" for i in range(130)
    ]
    _lines(folder / "described.csv", ["sequence,label", *described])
    kinds, names = ("SINE", "LINE", "LTR"), [f"element{i}" for i in range(30)]
    triples = [f"{name}\tis a\t{kinds[i % 3]}" for i, name in enumerate(names)]
    _lines(folder / "triples.tsv", [*triples, *(f"{kind}\tin\trepeats" for kind in kinds)])
    questions = [
        f"What is {name}?\t{kinds[i % 3]}\t{'test' if i >= 24 else 'train'}" for i, name in enumerate(names)
    ]
    _lines(folder / "questions.tsv", ["question\tanswer\tsplit", *questions])


def _images(folder: Path, rng: np.random.Generator) -> None:
    pixels, labels = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), (np.arange(40) % 2).astype(np.uint8)
    (folder / "a-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 40, 8, 8) + pixels.tobytes())
    (folder / "a-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 40) + labels.tobytes())


def _cohort(folder: Path, rng: np.random.Generator) -> None:
    population = np.arange(24) % 2
    names = [f"P{i}" for i in range(24)]
    frequency = rng.beta(0.5, 0.5, (2, 80))
    allele = (rng.random((24, 2, 80)) < frequency[population][:, None]).astype(int)
    lines = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=22,length=100000>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">',
        "\t".join(["#CHROM", "POS", "ID", "REF", "ALT", "QUAL", "FILTER", "INFO", "FORMAT", *names]),
    ]
    for site in range(80):
        calls = [f"{a}|{b}" for a, b in allele[:, :, site]]
        lines.append(
            "\t".join(["22", str(1000 * site + 1), ".", "A", "CGT"[site % 3], ".", "PASS", ".", "GT", *calls])
        )
    _lines(folder / "cohort.vcf", lines)
    rows = [f"{name}\t{'XY'[k]}" for name, k in zip(names, population, strict=True)]
    _lines(folder / "samples.tsv", ["sample\tpop", *rows])
