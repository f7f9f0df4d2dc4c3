"""Broken files: a parse or one sentence, never another exception."""

import gzip
import string
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crocuta.data.labelled import make_splits
from crocuta.data.records import Record, read_records
from crocuta.errors import InputError

limits = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.too_slow])

GOOD = [
    b"sequence,label,split\nACGT,0,train\nGGCC,1,train\nTTTT,0,test\nAAAA,1,dev\n",
    b'"name"\t"sequence"\t"label"\r\n"a"\t"ACGTN"\tx\r\n"b"\tacgt\ty\r\n',
    b">a label=0 split=train\nACGT\nAC\n>b|label=1\nNNRY\n",
]
pieces = st.sampled_from(
    [
        *"\0\t\n\r ,;|>\"=-.*@#+'",
        "sequence",
        "label=",
        "split",
        "name",
        "train",
        "\n>",
        "\r\n",
        "ACGT",
        "\ufeff",
        "é",
    ]
).map(str.encode) | st.binary(max_size=3)


@st.composite
def damaged(draw):
    """A good file with pieces inserted, cut out or overwritten; perhaps gzipped, and damaged again."""

    def damage(content, most):
        for _ in range(draw(st.integers(0, most))):
            start = draw(st.integers(0, len(content)))
            end = draw(st.integers(start, min(len(content), start + 8)))
            content = content[:start] + draw(pieces) + content[end:]
        return content[: draw(st.integers(0, len(content)))] if draw(st.booleans()) else content

    content = damage(draw(st.sampled_from(GOOD)), 4)
    return damage(gzip.compress(content, mtime=0), 2) if draw(st.booleans()) else content


def outcome(read, content, name):
    """What `read` returns, or None after an InputError of one line that names the file."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(content)
        try:
            return read(path)
        except InputError as error:
            message = str(error)
        assert message.startswith(str(path))
        assert len(message.splitlines()) == 1
        return None


def check(content, name="data.csv"):
    records = outcome(lambda path: list(read_records(path)), content, name)
    if records is not None:
        assert records
        assert all(
            record.sequence.isalpha() and record.sequence.isascii() and record.name for record in records
        )
    splits = outcome(make_splits, content, name)
    assert splits is None or min(len(splits.train), len(splits.valid), len(splits.test)) > 0


@limits
@given(damaged(), st.sampled_from(["data.csv", "data.fa", "data.tsv.gz"]))
def test_damaged_files(content, name):
    check(content, name)


@limits
@given(st.binary(max_size=200))
def test_noise(content):
    check(content)


@limits
@given(st.lists(pieces, max_size=30).map(b"".join))
def test_noise_that_resembles_the_formats(content):
    check(content)


words = st.text(string.ascii_letters + string.digits + " _\"',;:", min_size=1, max_size=8)
fields = words.map(str.strip).filter(bool)
sequences = st.text("ACGTNacgtnRYKM", min_size=1, max_size=30)


@limits
@given(
    st.lists(st.tuples(fields, sequences, fields), min_size=1, max_size=6),
    st.sampled_from(",;\t"),
    st.booleans(),
)
def test_written_tables_come_back(rows, mark, packed):
    def quoted(field):
        return '"' + field.replace('"', '""') + '"'

    lines = [mark.join(("name", "sequence", "label"))]
    lines += [mark.join((quoted(name), sequence, quoted(label))) for name, sequence, label in rows]
    content = "\n".join(lines).encode()
    read = outcome(
        lambda path: list(read_records(path)), gzip.compress(content) if packed else content, "data.csv"
    )
    assert read == [Record(name, sequence, label) for name, sequence, label in rows]


@limits
@given(
    st.lists(st.tuples(sequences, st.sampled_from(["a", "b1", "2"])), min_size=1, max_size=6),
    st.integers(1, 40),
)
def test_written_fasta_comes_back(rows, width):
    text = ""
    for i, (sequence, label) in enumerate(rows):
        folded = "\r\n".join(sequence[k : k + width] for k in range(0, len(sequence), width))
        text += f">s{i} label={label}\r\n{folded}\r\n"
    read = outcome(lambda path: list(read_records(path)), text.encode(), "data.fa")
    assert read == [Record(f"s{i}", sequence, label) for i, (sequence, label) in enumerate(rows)]


@pytest.mark.parametrize("packed", [False, True])
def test_every_cut_of_a_file(packed):
    content = gzip.compress(GOOD[0]) if packed else GOOD[0]
    for end in range(len(content)):
        check(content[:end])
        assert not packed or outcome(lambda path: list(read_records(path)), content[:end], "data.csv") is None
