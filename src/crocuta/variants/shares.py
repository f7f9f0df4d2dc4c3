"""How much of a variant file its beginning is, by which the time of reading all of it is estimated."""

import gzip
import struct
from pathlib import Path
from typing import BinaryIO, cast

from crocuta.data.text import GZIP
from crocuta.variants.vcz import count_zarr_variants, is_zarr


def share_read(path: Path, sites: int) -> float:
    """Share of the file, by bytes, that holds its header and its first `sites` sites."""
    if is_zarr(path):
        return min(1.0, sites / max(count_zarr_variants(path), 1))
    with open(path, "rb") as raw:
        packed = raw.peek(2)[:2] == GZIP
        stream = cast(BinaryIO, gzip.GzipFile(fileobj=raw)) if packed else raw
        if ".bcf" in path.suffixes:
            _pass_records(stream, sites)
        else:
            _pass_lines(stream, sites)
        size = path.stat().st_size
        if raw.tell() == size:  # a small file is unpacked at once
            passed = stream.tell()
            return passed / (passed + len(stream.read()))
        return raw.tell() / size


def _pass_lines(stream: BinaryIO, count: int) -> None:
    """Passes the header of a VCF and some lines after it."""
    for line in stream:
        count -= not line.startswith(b"#")
        if count <= 0:
            return


def _pass_records(stream: BinaryIO, count: int) -> None:
    """Passes the header of a BCF and some records (the VCF specification, section 6.3)."""
    magic_and_length = stream.read(9)
    stream.read(struct.unpack("<I", magic_and_length[5:])[0])
    for _ in range(count):
        lengths = stream.read(8)
        if len(lengths) < 8:
            return
        stream.read(sum(struct.unpack("<II", lengths)))
