"""Genes of GTF and GFF3 files of every house style."""

from collections import Counter

import pytest

from crocuta.data.annotation import read_annotation
from crocuta.errors import InputError

ENSEMBL = '1\tx\tgene\t11\t20\t.\t-\t.\tgene_id "G1"; gene_name "a; b"; gene_biotype "tRNA";\n'
GENCODE = '1\tx\tgene\t11\t20\t.\t-\t.\tgene_id "G1"; gene_type "tRNA"; level 2;\n'
GFF3 = "1\tx\tncRNA_gene\t11\t20\t.\t-\t.\tID=gene:G1;Name=a%3Bb;biotype=tRNA\n"
FLYBASE = "1\tx\tgene\t11\t20\t.\t-\t.\tID=G1;Name=a\n1\tx\ttRNA\t11\t20\t.\t-\t.\tID=T1;Parent=G1\n"


@pytest.mark.parametrize("text", [ENSEMBL, GENCODE, GFF3, FLYBASE])
def test_one_gene_in_four_styles(tmp_path, text):
    path = tmp_path / "genes"
    path.write_text("#!genome-build x\n" + text + "1\tx\tregion\t1\t99\t.\t+\t.\tID=r\n")
    genes = read_annotation(path)
    assert list(genes) == [("1", 10, 20, "G1", "-")]
    assert genes.columns["biotype"].tolist() == ["tRNA"]


def test_genes_from_exons(tmp_path):
    path = tmp_path / "refgene.gtf"
    path.write_text(
        '1\tx\texon\t5\t9\t.\t+\t.\tgene_id "a";\n1\tx\tCDS\t20\t25\t.\t+\t.\tgene_id "a";\n'
        '1\tx\texon\t20\t30\t.\t+\t.\tgene_id "a";\n2\tx\texon\t1\t3\t.\t+\t.\tgene_id "a";\n'
    )
    genes = read_annotation(path)
    assert [gene[:3] for gene in genes] == [("1", 4, 30), ("2", 0, 3)]
    assert genes.columns["biotype"].tolist() == ["protein_coding", ""]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\tx\tgene\t1\n", "line 1: 4 fields, expected the 9"),
        ("1\tx\tgene\t9\t3\t.\t+\t.\tID=a\n", "line 1: start '9' and end '3'"),
        ("1\tx\tgene\tx\t3\t.\t+\t.\tID=a\n", "line 1: start 'x'"),
        ("#only\n", "no genes"),
    ],
)
def test_broken_files(tmp_path, text, message):
    path = tmp_path / "genes.gff3"
    path.write_text(text)
    with pytest.raises(InputError, match=message):
        read_annotation(path)


def test_yeast(shared_data):
    genes = read_annotation(next(shared_data("genomes", "yeast").glob("*.gtf.gz")))
    assert Counter(genes.columns["biotype"])["protein_coding"] == 6600
    assert genes[0] == ("IV", 1801, 2953, "YDL248W", "+")
