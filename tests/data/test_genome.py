"""Genomes: the nucleotides that a plain reading gives, through every kind of file, cache and mistake."""

import gzip
import itertools
import os
import pickle
import shutil

import numpy as np
import pytest

from crocuta.data import genome as module
from crocuta.data.encoding import decode, encode, reverse_complement
from crocuta.data.genome import Genome, unknown_contig
from crocuta.data.intervals import Interval
from crocuta.errors import InputError

NUCLEOTIDES = {"chr1": "ACGTNacgtn" * 7 + "RYK", "chr2": "GATTACA", "chrM": "T" * 200}


def fasta(width=10, ending="\n"):
    lines = []
    for name, nucleotides in NUCLEOTIDES.items():
        lines.append(f">{name} a description > with a mark")
        lines += [nucleotides[i : i + width] for i in range(0, len(nucleotides), width)]
    return (ending.join(lines) + ending).encode()


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta())
    return path


@pytest.mark.parametrize("block", [1, 7, 64, 1 << 22])
@pytest.mark.parametrize("ending", ["\n", "\r\n"])
def test_letters_are_those_of_the_file(tmp_path, monkeypatch, block, ending):
    monkeypatch.setattr(module, "BLOCK", block)
    path = tmp_path / "genome.fa"
    path.write_bytes(fasta(ending=ending))
    with Genome(path) as genome:
        assert genome.names == list(NUCLEOTIDES)
        assert genome.lengths == {name: len(nucleotides) for name, nucleotides in NUCLEOTIDES.items()}
        assert genome.others == 3
        assert len(genome) == sum(map(len, NUCLEOTIDES.values()))
        for name, nucleotides in NUCLEOTIDES.items():
            np.testing.assert_array_equal(genome.fetch(name), encode(nucleotides))
        np.testing.assert_array_equal(genome.fetch("chr1", 3, 17), encode(NUCLEOTIDES["chr1"][3:17]))


@pytest.mark.parametrize("members", [1, 3])
def test_gzip_and_bgzip_read_as_plain(tmp_path, members):
    text = fasta()
    cuts = np.linspace(0, len(text), members + 1).astype(int)
    path = tmp_path / "genome.fa.gz"
    path.write_bytes(b"".join(gzip.compress(text[a:b]) for a, b in itertools.pairwise(cuts)))
    assert decode(Genome(path).fetch("chr2")) == "GATTACA"


def test_sequence_turns_the_minus_strand(path):
    genome = Genome(path)
    ids = genome.sequence(Interval("chr2", 1, 5, strand="-"))
    assert decode(ids) == "TAAT"
    np.testing.assert_array_equal(ids, reverse_complement(genome.sequence(Interval("chr2", 1, 5))))


def test_read_once_and_again_when_the_file_changes(path, monkeypatch):
    Genome(path).close()
    assert path.with_name("genome.fa.crocuta").exists()
    with monkeypatch.context() as patch:
        patch.setattr(module, "_build", None)
        assert decode(Genome(path).fetch("chr2")) == "GATTACA"
    path.write_bytes(fasta().replace(b"GATTACA", b"CATTACA"))
    os.utime(path, (1, 1))
    assert decode(Genome(path).fetch("chr2")) == "CATTACA"


def test_a_broken_cache_is_made_again(path):
    cache = path.with_name("genome.fa.crocuta")
    Genome(path).close()
    for content in (b"", b"nonsense", cache.read_bytes()[:-1]):
        cache.write_bytes(content)
        assert decode(Genome(path).fetch("chr2")) == "GATTACA"


def test_read_only_folder_keeps_ids_elsewhere(tmp_path, monkeypatch):
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "genome.fa").write_bytes(fasta())
    folder.chmod(0o555)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    try:
        genome = Genome(folder / "genome.fa")
        assert decode(genome.fetch("chr2")) == "GATTACA"
        assert [file.name for file in folder.iterdir()] == ["genome.fa"]
        assert len(list((tmp_path / "home" / "crocuta").iterdir())) == 1
        with pytest.raises(InputError, match=r"cannot be written to .*data.*set XDG_CACHE_HOME to a folder"):
            Genome(folder / "genome.fa", cache=folder)
        given = tmp_path / "given"
        Genome(folder / "genome.fa", cache=given)
        assert len(list(given.iterdir())) == 1
    finally:
        folder.chmod(0o755)


def test_pickles_without_its_nucleotides(path):
    genome = Genome(path)
    packed = pickle.dumps(genome)
    assert len(packed) < 200
    np.testing.assert_array_equal(pickle.loads(packed).fetch("chr1"), genome.fetch("chr1"))


def test_fetched_ids_are_the_callers(path):
    genome = Genome(path)
    genome.fetch("chr2")[:] = 0
    assert decode(genome.fetch("chr2")) == "GATTACA"


@pytest.mark.parametrize(
    ("name", "start", "end", "message"),
    [
        ("1", 0, 5, "no contig '1'; this genome calls it 'chr1'"),
        ("MT", 0, 5, "calls it 'chrM'"),
        ("chrX", 0, 5, r"no contig 'chrX'; it holds chr1, chr2, chrM"),
        ("chr2", 3, 8, r"chr2:3-8 does not lie in chr2, which has 7 nucleotides"),
        ("chr2", -1, 3, "does not lie"),
        ("chr2", 4, 3, "does not lie"),
    ],
)
def test_positions_outside_are_refused(path, name, start, end, message):
    with pytest.raises(InputError, match=message):
        Genome(path).fetch(name, start, end)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "the file is empty"),
        (b"ACGT\n", "must begin with '>'"),
        (b">a\n>b\nAC\n", r"record 1 \(a\) has no sequence"),
        (b">a\nAC\n>b\n", r"record 2 \(b\) has no sequence"),
        (b">a\nAC\n>b", r"record 2 \(b\) has no sequence"),
        (b">a\nAC\n>a\nGT\n", "'a' appears 2 times"),
        (b">\nAC\n", "record 1 has no name"),
        (b">a\nACGT\nAC-T\n", "character '-' at position 7 of 'a'"),
        (b"PK\x03\x04", "ZIP archive"),
        (gzip.compress(b">a\n" + b"ACGT" * 9, mtime=0)[:-9], "truncated gzip"),
    ],
)
def test_broken_files_are_named_and_leave_nothing(tmp_path, text, message):
    path = tmp_path / "genome.fa"
    path.write_bytes(text)
    with pytest.raises(InputError, match=message):
        Genome(path)
    assert [file.name for file in tmp_path.iterdir()] == ["genome.fa"]


def test_ids_need_not_stay(path, tmp_path):
    genome = Genome(path, keep=False)
    assert decode(genome.fetch("chr2")) == NUCLEOTIDES["chr2"]
    assert [file.name for file in tmp_path.iterdir()] == ["genome.fa"]
    Genome(path)
    assert Genome(path, keep=False).lengths == genome.lengths  # from the file that is there


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_ids_have_the_users_umask(path, tmp_path, umask):
    before = os.umask(umask)
    try:
        Genome(path)
    finally:
        os.umask(before)
    assert (tmp_path / "genome.fa.crocuta").stat().st_mode & 0o777 == 0o666 & ~umask


def test_missing_file(tmp_path):
    with pytest.raises(InputError, match="no such file"):
        Genome(tmp_path / "none.fa")


def test_many_contigs_are_summed_up():
    assert unknown_contig("x", [f"s{i}" for i in range(9)]).endswith("s5, ... (9 contigs)")


def test_yeast_as_pyfaidx_reads_it(shared_data, tmp_path):
    pyfaidx = pytest.importorskip("pyfaidx")
    source = next(shared_data("genomes", "yeast").glob("*.fa.gz"))
    genome = Genome(source, cache=tmp_path)
    plain = tmp_path / "yeast.fa"
    with gzip.open(source) as packed, open(plain, "wb") as file:
        shutil.copyfileobj(packed, file)
    assert len(genome) == 12_157_105
    with pyfaidx.Fasta(str(plain)) as oracle:
        assert genome.names == list(oracle.keys())
        for name in ("IV", "Mito"):
            np.testing.assert_array_equal(genome.fetch(name), encode(str(oracle[name])))
