"""Small variant files."""

from pathlib import Path

import pytest

from crocuta.variants.bgzf import BgzfWriter

HEADER = '##fileformat=VCFv4.2\n{extra}##FORMAT=<ID=GT,Number=1,Type=String,Description="Genotype">\n'
COLUMNS = "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT"


def vcf_text(variants, samples=("a", "b", "c"), extra="##contig=<ID=22>\n", form="GT"):
    """A VCF of variants written as `chromosome position ref alt genotype genotype ...`."""
    lines = [HEADER.format(extra=extra) + "\t".join([*COLUMNS.split(), *samples])]
    for variant in variants:
        chromosome, position, ref, alt, *genotypes = variant.split()
        lines.append("\t".join([chromosome, position, ".", ref, alt, ".", "PASS", ".", form, *genotypes]))
    return "\n".join(lines) + "\n"


def pack(path: Path, text: str) -> Path:
    with open(path, "wb") as file:
        writer = BgzfWriter(file)
        writer.write(text.encode())
        writer.finish()
    return path


@pytest.fixture
def make_vcf(tmp_path):
    """Writes a VCF of variants (see `vcf_text`), bgzip-compressed if so named; returns its path."""

    def make(variants, name="cohort.vcf.gz", **arguments):
        path, text = tmp_path / name, vcf_text(variants, **arguments)
        if name.endswith(".gz"):
            return pack(path, text)
        path.write_text(text)
        return path

    return make


@pytest.fixture
def make_table(tmp_path):
    """Writes a text file of lines whose fields stand between blanks; returns its path."""

    def make(lines, name="samples.tsv"):
        path = tmp_path / name
        path.write_text("".join("\t".join(line.split()) + "\n" for line in lines))
        return path

    return make
