"""Variant files: every kind of genotype, against cyvcf2, and one clear line for what is wrong."""

import gzip

import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import MISSING, Counts, Policy, VariantFile, read_panel
from crocuta.variants import vcf as module

SIMPLE = ["22 100 A C 0|0 0|1 1|1", "22 200 G T 1|0 0|0 0|1", "22 250 T A 0|1 1|0 0|0"]
EVERY = Policy(snps_only=False, multiallelic="split", phase="ignore")


def random_variants(n=300, individuals=7, seed=0, cells=("0|0", "0|1", "1|0", "1|1"), chromosome="22"):
    random = np.random.default_rng(seed)
    return [
        f"{chromosome} {i * 10 + 5} A {random.choice(['C', 'G', 'T'])} "
        + " ".join(random.choice(cells, individuals))
        for i in range(n)
    ]


def names(individuals=7):
    return [f"p{i}" for i in range(individuals)]


def oracle(path, individuals):
    """Alleles (individuals, 2, sites) of the biallelic SNPs, by cyvcf2."""
    from cyvcf2 import VCF

    found = []
    for record in VCF(str(path)):
        if len(record.ALT) == 1:
            codes = [row[:-1] if len(row) == 3 else [row[0], -1] for row in record.genotypes]
            found.append(np.where(np.array(codes) < 0, MISSING, codes))
    return np.array(found).transpose(1, 2, 0)


@pytest.mark.parametrize("name", ["a.vcf", "a.vcf.gz"])
@pytest.mark.parametrize(
    "cells",
    [
        ("0|0", "0|1", "1|0", "1|1"),
        ("0|0", "0|1", "1|1", ".|.", "0|.", ".|1"),
        ("0/0", "0/1", "./.", "1/1"),
        ("0|0", "0", "1", "1|1", "."),
        ("0|0:35:9", "0|1:1:10", ".|.:.:.", "1|0:3"),
    ],
)
def test_genotypes_equal_cyvcf2(make_vcf, monkeypatch, name, cells):
    monkeypatch.setattr(module, "CHUNK", 2000)
    form = "GT:DP:GQ" if ":" in cells[0] else "GT"
    path = make_vcf(random_variants(cells=cells), name, samples=names(), form=form)
    panel = read_panel(path, policy=Policy(phase="ignore"))
    assert panel.allele.dtype == np.uint8
    assert (panel.allele == oracle(path, 7)).all()
    assert panel.sites.position.tolist() == [i * 10 + 5 for i in range(300)]


def test_windows_line_ends_and_no_newline_at_the_end(make_vcf):
    path = make_vcf(SIMPLE, "a.vcf")
    expected = read_panel(path)
    text = path.read_bytes()
    for changed in (text.replace(b"\n", b"\r\n"), text[:-1]):
        path.write_bytes(changed)
        assert (read_panel(path).allele == expected.allele).all()


def test_plain_gzip_is_read(make_vcf):
    path = make_vcf(SIMPLE, "a.vcf")
    packed = path.with_name("b.vcf.gz")
    packed.write_bytes(gzip.compress(path.read_bytes()))
    assert (read_panel(packed).allele == read_panel(path).allele).all()


def test_bcf_and_indexed_region_through_cyvcf2(shared_data):
    path = shared_data("1kg_phase1_chr22", "1kg_phase1_chr22.phased.vcf.gz")
    whole = read_panel(path)
    part = read_panel(path, region="chr22:20,000,000-20,200,000")
    inside = (whole.sites.position >= 20_000_000) & (whole.sites.position <= 20_200_000)
    assert inside.sum() > 20
    assert (part.allele == whole.at(inside).allele).all()
    assert (part.sites.alt == whole.sites.alt[inside]).all()


def test_bcf(make_vcf, tmp_path):
    from cyvcf2 import VCF, Writer

    path = make_vcf([*SIMPLE, "22 300 C G 0|. .|. 1|0"])
    reader = VCF(str(path))
    writer = Writer(str(tmp_path / "a.bcf"), reader, mode="wb")
    for record in reader:
        writer.write_record(record)
    writer.close()
    counts = Counts()
    assert (read_panel(tmp_path / "a.bcf", counts=counts).allele == read_panel(path).allele).all()
    assert (counts.half, counts.missing) == (1, 1)


@pytest.fixture
def zarr_folder(tmp_path):
    """Two chromosomes as vcf2zarr lays them out."""
    import zarr

    path = tmp_path / "a.vcz"
    group = zarr.open_group(str(path), mode="w", zarr_format=2)
    genotype = np.array(
        [[[0, 1], [1, -1]], [[0, 2], [1, 1]], [[1, -2], [0, 0]], [[-1, -1], [1, 0]]], dtype=np.int8
    )  # fmt: skip
    arrays = {
        "variant_contig": np.array([0, 0, 1, 1], np.int8), "variant_position": np.array([5, 7, 2, 9], np.int32),
        "call_genotype": genotype, "call_genotype_phased": np.ones((4, 2), bool),
        "contig_length": np.array([48129895, 51304566]),
        "variant_allele": np.array([["A", "C", ""], ["G", "T", "C"], ["A", "T", ""], ["C", "G", ""]]),
        "sample_id": np.array(["a", "b"]), "contig_id": np.array(["21", "chr22"]),
    }  # fmt: skip
    for name, array in arrays.items():
        group.create_array(name, data=array)
    return path


def test_vcf_zarr(zarr_folder):
    file = VariantFile(zarr_folder)
    assert file.samples == ["a", "b"]
    assert file.header.build == "GRCh37"
    first = read_panel(zarr_folder, region="21")
    assert first.sites.position.tolist() == [5]
    assert first.allele[:, :, 0].tolist() == [[0, 1], [1, 2]]
    counts = Counts()
    second = read_panel(zarr_folder, region="22:1-100", counts=counts)
    assert second.sites.position.tolist() == [2, 9]
    assert second.sites.alt.tolist() == [b"T", b"G"]
    assert second.allele.tolist() == [[[1, 2], [2, 2]], [[0, 1], [0, 0]]]
    assert (counts.haploid, counts.missing, counts.half) == (1, 1, 0)
    assert read_panel(zarr_folder, region="22:3-9").sites.position.tolist() == [9]
    with pytest.raises(InputError, match="chromosomes 21 and chr22"):
        read_panel(zarr_folder)


def test_folders_that_are_no_vcf_zarr(tmp_path):
    import zarr

    zarr.open_group(str(tmp_path / "b.zarr"), mode="w")
    with pytest.raises(InputError, match="no array 'sample_id'; expected VCF Zarr"):
        VariantFile(tmp_path / "b.zarr")
    with pytest.raises(InputError, match="is a folder; expected a file"):
        VariantFile(tmp_path)


def test_region_of_a_file_without_index(make_vcf):
    path = make_vcf(["21 7 A C 0|0 0|0 0|1", *SIMPLE])
    assert read_panel(path, region="chr22:150-200").sites.position.tolist() == [200]
    assert read_panel(path, region="21").sites.position.tolist() == [7]
    with pytest.raises(InputError, match="chromosomes 21 and 22; name the one"):
        read_panel(path)
    with pytest.raises(InputError, match=r"no variants in X:.*named as in the file"):
        read_panel(path, region="X")


def test_missing_is_never_reference(make_vcf):
    counts = Counts()
    path = make_vcf(["22 5 A C .|. 0|. .|1", "22 6 A C . 1 0|1"])
    panel = read_panel(path, counts=counts)
    assert panel.allele[:, :, 0].tolist() == [[2, 2], [0, 2], [2, 1]]
    assert panel.allele[:, :, 1].tolist() == [[2, 2], [1, 2], [0, 1]]
    assert (counts.missing, counts.half, counts.haploid, counts.heterozygous) == (2, 2, 1, 1)
    assert panel.phased


def test_policies_for_sites(make_vcf):
    path = make_vcf(
        [
            "22 1 a c 0|1 0|0 0|0",
            "22 2 A C,G 0|1 1|2 .|2",
            "22 3 AT A 0|1 0|0 0|0",
            "22 4 A . 0|0 0|0 0|0",
            "22 5 A <DEL> 0|1 0|0 0|0",
            "22 6 A G,T,C,AA,AC,AG,AT,CA,CC,CG,CT 0|11 10|1 3|3",
        ]
    )
    counts = Counts()
    assert read_panel(path, counts=counts).sites.position.tolist() == [1]
    assert (counts.sites, counts.kept, counts.multiallelic, counts.not_snps, counts.symbolic) == (
        6,
        1,
        2,
        1,
        2,
    )
    split = read_panel(path, policy=Policy(multiallelic="split"))
    assert split.sites.position.tolist() == [1, 2, 2, 6, 6, 6]
    assert split.sites.alt.tolist() == [b"C", b"C", b"G", b"G", b"T", b"C"]
    assert split.allele[:, :, 1].tolist() == [[0, 1], [1, 2], [2, 2]]
    assert split.allele[:, :, 2].tolist() == [[0, 2], [2, 1], [2, 1]]
    everything = read_panel(path, policy=EVERY)
    assert everything.sites.position.tolist() == [1, 2, 2, 3, *[6] * 11]
    assert everything.sites.ref[3] == b"AT"
    assert everything.allele[:, :, 13].tolist() == [[0, 2], [1, 2], [2, 2]]
    assert everything.allele[:, :, 14].tolist() == [[0, 1], [2, 2], [2, 2]]


def test_maf_counts_known_alleles_of_the_people_chosen(make_vcf):
    path = make_vcf(["22 1 A C 0|1 .|. .|.", "22 2 A C 0|1 0|0 0|0", "22 3 A C 1|1 1|1 1|1"])
    assert read_panel(path, policy=Policy(maf=0.2)).sites.position.tolist() == [1]
    assert read_panel(path, policy=Policy(maf=1 / 6)).sites.position.tolist() == [1, 2]
    only = read_panel(path, policy=Policy(maf=0.2), individuals=["b", "a"])
    assert only.samples.name.tolist() == ["b", "a"]
    assert only.sites.position.tolist() == [1, 2]
    assert only.allele[:, :, 1].tolist() == [[0, 0], [0, 1]]


def test_unphased_is_marked_and_mixture_stops(make_vcf):
    unphased = make_vcf(["22 1 A C 0/1 1/1 0/0", "22 2 A C 0/1 0/1 ./."], "u.vcf")
    assert not read_panel(unphased).phased
    with pytest.raises(InputError, match=r"u\.vcf: 3 of 3 heterozygous .* expected phased .*SHAPEIT5"):
        read_panel(unphased, policy=Policy(phase="require"))
    mixed = make_vcf(["22 1 A C 0/1 1/1 0/0", "22 2 A C 0|1 0|1 0|0"], "m.vcf")
    with pytest.raises(InputError, match=r"1 of 3 heterozygous genotypes are unphased .* `phase` ignore"):
        read_panel(mixed)
    assert not read_panel(mixed, policy=Policy(phase="ignore")).phased
    harmless = make_vcf(["22 1 A C 0/0 1/1 ./.", "22 2 A C 0|1 0|1 0|0"], "h.vcf")
    assert read_panel(harmless).phased


@pytest.mark.parametrize(
    ("variants", "message"),
    [
        (["22 9 A C 0|0 0|0 0|0", "22 8 A C 0|0 0|0 0|1"], "position 22:8 comes after 9; .* bcftools sort"),
        (["22 9 A C 0|0 0|0 0|1", "22 12 A C 0|0 0|0"], r"line 6: 11 columns, expected 12"),
        (["22 9 A C 0|0 0|0 0|1", "22 12 A C 0|0 x|0 0|0"], r"line 6: genotype 'x\|0', expected alleles"),
        (["22 9 A C 0|0 0|1|1 0|1"], r"line 5: genotype '0\|1\|1'"),
        (["22 x A C 0|0 0|1 0|1"], "line 5: found 'x' in column POS"),
        (["22 9 A C,G 0|1 1|2 0|0"], "none of 1 sites kept: 1 have several alternatives"),
        ([], "no variants; expected at least one"),
    ],
)
def test_what_is_wrong_in_lines(make_vcf, variants, message):
    with pytest.raises(InputError, match=message):
        read_panel(make_vcf(variants))


def test_a_chromosome_that_comes_back(make_vcf):
    file = VariantFile(make_vcf([*SIMPLE, "21 8 A C 0|0 0|0 0|1", "22 300 A C 0|0 0|0 0|1"]))
    with pytest.raises(InputError, match="chromosome 22 comes back after 21"):
        list(file.blocks(Policy()))


def test_what_is_wrong_in_headers(make_vcf, tmp_path):
    path = tmp_path / "x.vcf"
    for text, message in [
        ("hello\n", "line 1: found 'hello'; expected a VCF"),
        ("##fileformat=VCFv4.2\n22\t1\n", "line 2: no line '#CHROM"),
        ("##fileformat=VCFv4.2\n#CHROM\tPOS\tID\tREF\tALT\tQUAL\tFILTER\tINFO\n", "line 2: no genotypes"),
    ]:
        path.write_text(text)
        with pytest.raises(InputError, match=message):
            VariantFile(path)
    with pytest.raises(InputError, match="sample a has 2 columns"):
        VariantFile(make_vcf(SIMPLE, samples=("a", "b", "a")))
    with pytest.raises(InputError, match=r"FORMAT is 'DP:GT'; expected GT first"):
        read_panel(make_vcf(SIMPLE, form="DP:GT"))
    with pytest.raises(InputError, match="no such file"):
        VariantFile(tmp_path / "none.vcf.gz")


@pytest.mark.parametrize("lost", [28, 40, 2000])
def test_truncated_bgzip(make_vcf, lost):
    path = make_vcf(random_variants(4000), samples=names())
    path.write_bytes(path.read_bytes()[:-lost])
    with pytest.raises(InputError, match="truncated"):
        read_panel(path)


def test_a_spooled_panel_is_the_same(make_vcf, tmp_path, monkeypatch):
    path = make_vcf(random_variants(4000), samples=names())
    monkeypatch.setattr("crocuta.variants.vcf.CHUNK", 20_000)  # several blocks
    whole, spooled = read_panel(path), read_panel(path, spool=tmp_path / "alleles.npy")
    assert isinstance(spooled.allele, np.memmap)
    np.testing.assert_array_equal(spooled.allele, whole.allele)
    assert spooled.phased == whole.phased
    assert {found.name for found in tmp_path.glob("*.npy*")} == {"alleles.npy"}
    np.testing.assert_array_equal(
        spooled.individuals(slice(1, 2)).haplotypes, whole.individuals([1]).haplotypes
    )


def test_build_from_lengths_or_names(make_vcf):
    for extra, build in [
        ("##contig=<ID=chr22,length=50818468>\n", "GRCh38"),
        ("##contig=<ID=22,length=51304566>\n##contig=<ID=21,length=48129895>\n", "GRCh37"),
        ("##reference=file:///data/hs37d5.fa\n", "GRCh37"),
        ("##contig=<ID=22,assembly=hg38>\n", "GRCh38"),
        ("##contig=<ID=22>\n", ""),
    ]:
        assert VariantFile(make_vcf(SIMPLE, extra=extra)).header.build == build


@pytest.mark.parametrize("change", [{"maf": 0.6}, {"phase": "maybe"}, {"multiallelic": "join"}])
def test_policies_that_do_not_exist(change):
    with pytest.raises(InputError):
        Policy(**change)
