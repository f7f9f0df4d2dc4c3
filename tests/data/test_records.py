"""Readers: every format that is accepted, and the sentence for every one that is not."""

import gzip
import tracemalloc

import pytest

from crocuta.data.records import Record, parse_header, read_records
from crocuta.errors import InputError


@pytest.fixture
def write(tmp_path):
    def file(content, name="data.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return file


def sentence(path):
    with pytest.raises(InputError) as caught:
        list(read_records(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message.removeprefix(str(path))


def packed(content: bytes) -> bytes:
    """Gzip without the time of packing, which would change the tests' names from one collection to the next."""
    return gzip.compress(content, mtime=0)


EXPECTED = [Record("row_1", "ACGT", "0", "train"), Record("row_2", "ggcc", "1", "test")]


@pytest.mark.parametrize("mark", [",", "\t", ";"])
@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_tables_of_every_dialect(write, mark, ending):
    lines = ["sequence,label,split", "ACGT,0,train", "", "ggcc,1,test"]
    assert list(read_records(write(ending.join(lines).replace(",", mark)))) == EXPECTED


def test_columns_are_found_by_name(write):
    table = "\ufeffLabel , extra,ID, SEQUENCE\n0,x,first, ACGT \n,y,,ggcc\n"
    assert list(read_records(write(table))) == [Record("first", "ACGT", "0"), Record("row_2", "ggcc")]


def test_quoted_fields(write):
    table = '"sequence","name","label"\n"ACGT","a ""b"", c",1\nAC,"d"e,"f,g"\n'
    assert list(read_records(write(table))) == [Record('a "b", c', "ACGT", "1"), Record('"d"e', "AC", "f,g")]


def test_fasta(write):
    text = ">a desc label=x split=test\r\nACGT\r\n\r\nacgt\r\n>b|label=y\r\nNN\r\n>\r\nA\r\n"
    assert list(read_records(write("\n" + text, "a.fa"))) == [
        Record("a", "ACGTacgt", "x", "test"),
        Record("b", "NN", "y"),
        Record("row_3", "A"),
    ]


@pytest.mark.parametrize(
    ("header", "label", "split"),
    [
        ("x label=1", "1", None),
        ("x|split=test|label=1", "1", "test"),
        ('x Label="two words";split=dev', "two words", "dev"),
        ("x mylabel=1", None, None),
        ("x label=", None, None),
    ],
)
def test_fasta_headers(header, label, split):
    head = parse_header(header)
    assert (head.name, head.label, head.split) == ("x", label, split)


def test_gzip_is_seen_by_content(write):
    table = b"sequence,label,split\nACGT,0,train\nggcc,1,test\n"
    half = len(table) // 2
    parts = packed(table[:half]) + packed(table[half:])  # as bgzip and `cat a.gz b.gz` write
    assert list(read_records(write(parts, "named_wrongly.csv"))) == EXPECTED
    assert list(read_records(write(table, "named_wrongly.gz"))) == EXPECTED


def test_long_sequences_pass(write):
    sequence = "ACGT" * 250_000
    assert next(read_records(write(f"sequence,label\n{sequence},1\n"))).sequence == sequence


def test_memory_does_not_grow_with_the_file(write):
    path = write("sequence,label\n" + ("ACGT" * 50 + ",1\n") * 30_000)
    tracemalloc.start()
    count = sum(1 for _ in read_records(path))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 30_000
    assert peak < path.stat().st_size / 10


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("", ": the file is empty; expected a table"),
        ("\n \n", ": the file is empty"),
        ("sequence,label\n", ": a header and no records"),
        ("seq,label\nACGT,0\n", ", line 1: no column 'sequence', found 'seq, label'; the first line names"),
        ("ACGTACGTAC\nACGTACGTAC\n", ", line 1: a bare sequence without a header"),
        ("sequence,label,label\nA,0,1\n", ", line 1: column 'label' appears more than once"),
        ("sequence,label\nACGT,0\nACGT\n", ", line 3: 1 fields, expected 2 ('sequence, label')"),
        ("sequence,label\nACGT,0,1\n", ", line 2: 3 fields, expected 2"),
        ("sequence,label\nACGT,0\n ,1\n", ", line 3: the sequence is blank"),
        ("sequence,label\nACG-T,0\n", ", line 2: character '-' at position 4 (a gap; remove gaps"),
        ("sequence,label\nACG.T,0\n", ", line 2: character '.' at position 4 (a gap"),
        ("sequence,label\nACG*,0\n", ", line 2: character '*' at position 4 (a stop of a protein?)"),
        ("sequence,label\n\nAC1T,0\n", ", line 3: character '1' at position 3 is not a nucleotide"),
        ("sequence,label\nAC T,0\n", ", line 2: character ' ' at position 3 (a blank)"),
        ("sequence,label\nACÄ,0\n", ", line 2: character 'Ä' at position 3 is not a nucleotide"),
        (b"sequence,label\nACGT,caf\xe9\n", ", line 2: byte 0xe9 at position 9 is not UTF-8"),
        (">a\nACGT\n>b\n>c\nA\n", ", line 3: record 2 (b) has no sequence"),
        (">a\nACGT\nAC5\n", ", line 3: character '5' at position 3"),
        (">a\n", ", line 1: record 1 (a) has no sequence"),
        ("@read\nACGT\n+\nIIII\n", ", line 1: this looks like FASTQ"),
        ("##fileformat=VCFv4.2\n", ", line 1: this looks like a VCF or GFF file"),
        (b"PK\x03\x04rest of a workbook", ": not text, this looks like a ZIP archive or an Excel workbook"),
        (b"sequence\x00,label", ": not text, this looks like a binary file"),
        ("sequence,label\nA,0\n".encode("utf-16"), ": not text, this looks like UTF-16 text"),
        (packed(packed(b"sequence\nA\n")), ": not text, this looks like gzip inside gzip"),
        (packed(b"BAM\x01"), ": not text, this looks like BAM"),
        (packed(b""), ": the file is empty"),
        (packed(b"sequence\n" + b"A\n" * 9)[:-9], ": truncated gzip after line"),
        (packed(b"sequence\nA\n")[:-8] + bytes(8), ": corrupt gzip after line"),
        (b"\x1f\x8b", ": truncated gzip after line 0"),
        (b"\x1f\x8bnot gzip at all", ": corrupt gzip after line 0"),
    ],
)
def test_bad_files_get_one_sentence(write, content, expected):
    assert sentence(write(content)).startswith(expected)


def test_fasta_by_name_must_begin_with_an_arrow(write):
    assert sentence(write("ACGT\n", "x.fasta")).startswith(
        ", line 1: a FASTA file must begin with '>', found 'ACGT'"
    )


def test_missing_files_and_folders(tmp_path):
    assert sentence(tmp_path / "absent.csv") == ": no such file"
    assert sentence(tmp_path) == ": is a folder; expected a file"


def test_real_files(shared_data):
    path = shared_data("gue", "prom", "prom_core_tata", "test.csv.gz")
    records = list(read_records(path))
    assert len(records) == 613
    assert {len(record.sequence) for record in records} == {70}
    assert {record.label for record in records} == {"0", "1"}


def test_real_fasta(shared_data):
    records = list(read_records(shared_data("transposable_elements", "Homo_sapiens.fasta.gz")))
    assert len(records) == 1613
