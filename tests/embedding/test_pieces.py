"""What is embedded, by source: whole files, windows, intervals, genes."""

import pytest

from crocuta.data.encoding import decode
from crocuta.embedding.pieces import PieceSource
from crocuta.errors import InputError

SEQUENCE = "ACGTTGCAAT" * 5


@pytest.fixture
def fasta(tmp_path):
    path = tmp_path / "g.fa"
    path.write_text(f">one label=x\n{SEQUENCE}\n>two\nGGGG\n")
    return str(path)


def nucleotides(source):
    return [(piece.name, piece.length, decode(piece.ids())) for piece in source.pieces()]


def test_records_keep_what_the_file_says(fasta):
    pieces = list(PieceSource(fasta).pieces())
    assert [(piece.name, piece.columns) for piece in pieces] == [("one", {"label": "x"}), ("two", {})]
    assert nucleotides(PieceSource(fasta)) == [("one", 50, SEQUENCE), ("two", 4, "GGGG")]


def test_windows(fasta):
    found = nucleotides(PieceSource(fasta, window=20, step=15))
    assert found == [(f"one:{i}-{i + 20}", 20, SEQUENCE[i : i + 20]) for i in (0, 15, 30)]


def test_intervals_and_genes_are_read_on_their_strand(fasta, tmp_path):
    bed = tmp_path / "x.bed"
    bed.write_text("one\t0\t5\tfirst\t0\t+\none\t0\t5\tback\t0\t-\n")
    assert nucleotides(PieceSource(fasta, bed=str(bed))) == [("first", 5, "ACGTT"), ("back", 5, "AACGT")]
    genes = tmp_path / "x.gtf"
    genes.write_text('one\ts\tgene\t2\t4\t.\t-\t.\tgene_id "g"; gene_biotype "tRNA";\n')
    (piece,) = PieceSource(fasta, genes=str(genes)).pieces()
    assert (piece.name, decode(piece.ids())) == ("g", "ACG")
    place = {"contig": "one", "start": 1, "end": 4, "strand": "-", "biotype": "tRNA"}
    assert piece.columns == place


def test_misuse_is_named(fasta, tmp_path):
    with pytest.raises(InputError, match="`bed` and `window`"):
        PieceSource(fasta, bed="x", window=5)
    with pytest.raises(InputError, match="`step` 5 needs `window`"):
        PieceSource(fasta, step=5)
    with pytest.raises(InputError, match="`window` cuts FASTA"):
        PieceSource("s.csv", window=5)
    bed = tmp_path / "x.bed"
    bed.write_text("one\t40\t60\n")
    with pytest.raises(InputError, match="10 past the end"):
        PieceSource(fasta, bed=str(bed)).pieces()
