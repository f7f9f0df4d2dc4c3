"""A panel written as a VCF."""

import numpy as np
import pytest


@pytest.fixture(scope="session")
def write_vcf():
    """Writes a panel as a VCF of chromosome 1, alleles A and G."""
    return _write_vcf


def _write_vcf(path, panel, separator="|"):
    rows = [
        "##fileformat=VCFv4.2",
        "##contig=<ID=1>",
        '##FORMAT=<ID=GT,Number=1,Type=String,Description="g">',
    ]
    rows.append(
        "#CHROM POS ID REF ALT QUAL FILTER INFO FORMAT".replace(" ", "\t")
        + "".join(f"\t{n}" for n in panel.samples.name)
    )
    nucleotides = np.array(["0", "1", "."])[panel.allele]
    for i, position in enumerate(panel.sites.position):
        genotypes = [separator.join(pair) for pair in nucleotides[:, :, i]]
        rows.append("\t".join(["1", str(position), ".", "A", "G", ".", ".", ".", "GT", *genotypes]))
    path.write_text("\n".join(rows) + "\n")
