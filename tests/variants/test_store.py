"""A cohort's store: the same alleles as the file's, by window; whole or absent; resumed; bounded memory."""

import json
import pickle

import h5py
import numpy as np
import pytest

from crocuta.errors import InputError
from crocuta.variants import MISSING, Counts, Policy, read_panel, store_writer
from crocuta.variants import build as build_module
from crocuta.variants.build import build_store
from crocuta.variants.cache import PackedCohort, PanelCohort, pack
from crocuta.variants.store import Cohort

INDIVIDUALS = ["a", "b", "c", "d"]
TABLE = ["sample pop super_pop family", "a X AFR f", "b X AFR f", "c Y EUR c", "d Y EUR d"]


def variants(chromosome, n=700, seed=0, cells=("0|0", "0|1", "1|1", "1|0", ".|.", "0|.")):
    random = np.random.default_rng(seed)
    nucleotides = [("A", "C"), ("G", "T"), ("T", "A")]
    rows = []
    for i in range(n):
        ref, alt = nucleotides[random.integers(3)]
        rows.append(f"{chromosome} {10 * i + 7} {ref} {alt} " + " ".join(random.choice(cells, 4)))
    return rows


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch):
    monkeypatch.setattr(store_writer, "CHUNK", 64)
    monkeypatch.setattr(store_writer, "BUFFER", 64 * 2 * 4 * 3)


@pytest.fixture
def files(make_vcf, make_table):
    first = make_vcf(
        variants("2", seed=1) + variants("1", 300),
        "a.vcf.gz",
        samples=INDIVIDUALS,
        extra="##contig=<ID=1>\n##contig=<ID=2>\n",
    )
    second = make_vcf(
        variants("chrX", 130, seed=2, cells=("0|0", "0", "1", "1|1")), "b.vcf.gz", samples=INDIVIDUALS
    )
    return [first, second], make_table(TABLE), make_table(["pos chr cM", "1 1 0", "9999 1 5", "1 2 0", "9 2 1",
                                                            "1 X 3", "2 X 4"], "m.txt")  # fmt: skip


@pytest.fixture
def store(files, tmp_path):
    paths, table, genetic_map = files
    build_store(paths, tmp_path / "cohort.h5", table, genetic_map, build="GRCh38")
    return tmp_path / "cohort.h5"


@pytest.mark.parametrize("form", ["store", "packed", "memory"])
def test_every_form_gives_the_panel_of_the_file(store, files, form):
    paths, table, genetic_map = files
    panels = [
        read_panel(paths[i], table, genetic_map=genetic_map, region=name)
        for i, name in ((0, "1"), (0, "2"), (1, "X"))
    ]
    cohort = Cohort(store)
    cohort = {"store": cohort, "packed": pack(cohort), "memory": PanelCohort(panels, "GRCh38")}[form]
    assert cohort.chromosomes == ("1", "2", "chrX")
    assert cohort.build == "GRCh38"
    for panel in panels:
        name = panel.sites.chromosome.removeprefix("chr")
        found = cohort.panel(name)
        assert found.allele.dtype == np.uint8
        assert (found.allele == panel.allele).all()
        assert found.phased == panel.phased
        for field in ("position", "ref", "alt", "cm"):
            assert (getattr(found.sites, field) == getattr(panel.sites, field)).all()
        for field in ("name", "population", "group", "family"):
            assert getattr(found.samples, field).dtype.kind == "U"
            assert (getattr(found.samples, field) == getattr(panel.samples, field)).all()
        for start, stop in [(0, 5), (3, 130), (61, 67), (100, 101), (7, 7)]:
            part = cohort.panel(name, np.array([2, 0]), start, stop)
            assert (part.allele == panel.allele[[2, 0], :, start:stop]).all()
            assert part.samples.name.tolist() == ["c", "a"]
            assert len(part.sites) == stop - start
    assert (cohort.panel("2").allele == MISSING).any()
    assert cohort.panel("1", np.array([False, True, False, False])).samples.name.tolist() == ["b"]
    with pytest.raises(InputError, match="no chromosome 7 in the cohort; it holds 1, 2, chrX"):
        cohort.panel("7")


def test_layout_on_disk(store):
    with h5py.File(store) as file:
        allele, position = file["c/1/allele"], file["c/1/position"]
        assert allele.shape == (2, 300)
        assert allele.dtype == np.uint8
        assert allele.chunks == (2, 64)
        assert allele.compression == "gzip"
        assert position.dtype == np.int32
        assert position == file["a/1/position"] == file["_sites/1/position"]
        assert dict(file["b"].attrs) == {"population": "X", "group": "AFR", "family": "f"}
        assert file.attrs["build"] == "GRCh38"
        assert file.attrs["software"].startswith("crocuta ")
        assert file.attrs["samples"].split("\n")[:2] == ["name\tpopulation\tgroup\tfamily", "a\tX\tAFR\tf"]
        assert [path[-8:] for path in json.loads(file.attrs["source"])] == ["a.vcf.gz", "b.vcf.gz"]
        about = dict(file["_sites/chrX"].attrs)
    assert about["source"].endswith("b.vcf.gz")
    assert len(about["sha256"]) == 64
    assert about["genetic_map"].endswith("m.txt")
    counts = Counts(**json.loads(about["counts"]))
    assert counts.kept == 130
    assert counts.haploid > 50
    assert Cohort(store).about("X")["counts"]["kept"] == 130


def test_contigs_are_shared_out_by_length():
    contigs = {"1": 10, "2": 9, "3": 8, "X": 4, "MT": 0}
    left = build_module.shared_out(contigs, 3)
    read = [set(contigs) - skip for skip in left]
    assert read == [{"1"}, {"2", "MT"}, {"3", "X"}]
    assert build_module.shared_out(contigs, 1) == [frozenset()]
    assert build_module.shared_out({}, 4) == [frozenset()]
    assert len(build_module.shared_out({"1": 0}, 4)) == 1


def test_store_and_cache_go_to_other_processes(store):
    cohort = Cohort(store)
    expected = cohort.panel("1", start=3, stop=90).allele
    for form in (cohort, pack(cohort)):
        assert (pickle.loads(pickle.dumps(form)).panel("1", start=3, stop=90).allele == expected).all()


def test_cache_is_made_once_and_again_for_another_store(store, files, tmp_path):
    pack(Cohort(store))
    manifest = tmp_path / "cohort.h5.packed" / "manifest.json"
    before = manifest.stat().st_mtime_ns
    pack(Cohort(store))
    assert manifest.stat().st_mtime_ns == before
    store.unlink()
    build_store(files[0][:1], store, files[1])
    assert pack(Cohort(store)).chromosomes == ("1", "2")
    assert not (manifest.parent / "X.position.npy").exists()


def test_files_that_disagree(make_vcf, make_table, tmp_path):
    rows = variants("1", 5)
    one = make_vcf(rows, "one.vcf", samples=INDIVIDUALS, extra="##contig=<ID=1,length=249250621>\n")
    other = make_vcf(rows, "other.vcf", samples=INDIVIDUALS, extra="##contig=<ID=1,length=248956422>\n")
    same = make_vcf(rows, "same.vcf", samples=INDIVIDUALS)
    prefixed = make_vcf(variants("chr1", 5), "prefixed.vcf", samples=INDIVIDUALS)
    fewer = make_vcf([row.rsplit(" ", 1)[0] for row in rows], "fewer.vcf", samples=INDIVIDUALS[:3])
    output = tmp_path / "c.h5"
    for paths, message in [
        ([one, other], r"one\.vcf is on GRCh37 and .*other\.vcf on GRCh38; expected one"),
        ([one, same], r"same\.vcf: chromosome 1 is in .*one\.vcf too"),
        ([one, prefixed], r"prefixed\.vcf: chromosome chr1 is in .*one\.vcf too"),
        ([one, fewer], r"fewer\.vcf: no sample d"),
    ]:
        with pytest.raises(InputError, match=message):
            build_store(paths, output)
        assert not output.exists()
    sites = make_vcf(rows, "sites.vcf", samples=["_sites", "c", "d", "e"])
    with pytest.raises(InputError, match="sample '_sites': a store keeps this name"):
        build_store([sites], output)
    with pytest.raises(InputError, match=r"none of 5 sites kept: .* 5 are too rare"):
        build_store([make_vcf([f"1 {i} A C 0|0 0|0 0|0 0|0" for i in range(5)], samples=INDIVIDUALS)], output,
                    policy=Policy(maf=0.1))  # fmt: skip


def test_partly_phased_leaves_no_store(make_vcf, tmp_path):
    path = make_vcf(["1 5 A C 0|1 0/1 0|0 0|0"], samples=INDIVIDUALS)
    with pytest.raises(InputError, match=r"1 of 2 heterozygous genotypes are unphased"):
        build_store([path], tmp_path / "c.h5")
    assert {path.name for path in tmp_path.iterdir()} == {"cohort.vcf.gz"}
    build_store([path], tmp_path / "c.h5", policy=Policy(phase="ignore"))
    assert not Cohort(tmp_path / "c.h5").panel("1").phased
    with pytest.raises(InputError, match="exists already"):
        build_store([path], tmp_path / "c.h5")


def test_names_of_individuals_and_chromosomes_are_no_paths(make_vcf, tmp_path):
    names, contigs = ["../../up", "a b", "a/1", "a"], ["../evil", "HLA/A", "1", "x" * 260]
    rows = [row.replace("CHROM", contig) for contig in contigs for row in variants("CHROM", 9)]
    path = make_vcf(rows, "odd.vcf", samples=INDIVIDUALS)
    path.write_text(path.read_text().replace("\t".join(INDIVIDUALS), "\t".join(names)))
    (tmp_path / "in" / "side").mkdir(parents=True)
    build_store([path], tmp_path / "in" / "side" / "c.h5")
    cohort = Cohort(tmp_path / "in" / "side" / "c.h5")
    assert sorted(cohort.chromosomes) == sorted(contigs)
    assert cohort.samples.name.tolist() == names
    cache = pack(cohort)
    for contig in contigs:
        expected = read_panel(path, region=contig) if ":" not in contig else None
        for form in (cohort, cache):
            assert (form.panel(contig).allele == expected.allele).all()
    assert {file.name for file in tmp_path.rglob("*") if file.is_file() and "packed" not in str(file)} == {
        "odd.vcf", "c.h5"
    }  # fmt: skip


def test_a_store_of_an_earlier_version_is_read(make_vcf, tmp_path):
    """0.1.0 kept names as they are."""
    path = make_vcf(variants("1", 9), "old.vcf", samples=INDIVIDUALS)
    path.write_text(path.read_text().replace("\t".join(INDIVIDUALS), "\t".join(["a b", *INDIVIDUALS[1:]])))
    build_store([path], tmp_path / "c.h5")
    with h5py.File(tmp_path / "c.h5", "a") as file:
        file.move("a%20b", "a b")
        del file.attrs["escaped"]
    assert (Cohort(tmp_path / "c.h5").panel("1").allele == read_panel(path).allele).all()


def test_a_folder_that_is_no_cache_is_not_replaced(store, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").touch()
    with pytest.raises(InputError, match="crocuta did not make it"):
        pack(Cohort(store), tmp_path / "mine")
    assert (tmp_path / "mine" / "file").exists()


def test_what_is_no_store(tmp_path):
    with pytest.raises(InputError, match="no such file; make it with crocuta ancestry build"):
        Cohort(tmp_path / "none.h5")
    (tmp_path / "x.h5").write_text("hello")
    with pytest.raises(InputError, match="not HDF5, or truncated"):
        Cohort(tmp_path / "x.h5")
    with h5py.File(tmp_path / "y.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(InputError, match="not a cohort"):
        Cohort(tmp_path / "y.h5")
    with pytest.raises(InputError, match=r"no manifest\.json"):
        PackedCohort(tmp_path)
