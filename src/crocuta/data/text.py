"""Lines of text files that users bring: plain or gzip, any line ending, and never a traceback."""

import gzip
import io
import zlib
from collections.abc import Callable, Generator, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import BinaryIO, NamedTuple, cast

from crocuta.errors import InputError

GZIP = b"\x1f\x8b"
FOREIGN = {
    b"PK\x03\x04": "a ZIP archive or an Excel workbook (.xlsx); export it as CSV",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls); export it as CSV",
    b"BZh": "bzip2; decompress it, or use gzip",
    b"\xfd7zXZ": "xz; decompress it, or use gzip",
    b"\x28\xb5\x2f\xfd": "zstandard; decompress it, or use gzip",
    b"\x89HDF": "HDF5",
    b"PAR1": "Parquet; export it as CSV",
    b"%PDF": "PDF",
    b"BAM\x01": "BAM; convert it to FASTA",
    b"CRAM": "CRAM; convert it to FASTA",
    b"BCF": "BCF",
    b"\xff\xfe": "UTF-16 text; save it as UTF-8",
    b"\xfe\xff": "UTF-16 text; save it as UTF-8",
    GZIP: "gzip inside gzip; decompress it once",
}


class Line(NamedTuple):
    """A line without its ending, and its number from 1."""

    number: int
    text: str


@contextmanager
def open_lines(path: Path) -> Iterator[Iterator[Line]]:
    """The lines of a UTF-8 file, plain or gzip by content, streamed.

    Raises:
        InputError: the file is missing, unreadable, truncated, binary, or not UTF-8.
    """
    with _opened(path) as file, closing(_lines(path, file)) as lines:
        yield lines


def read_blocks(path: Path, size: int) -> Iterator[bytes]:
    """The bytes of a text file, plain or gzip by content, in blocks of up to `size`.

    Raises:
        InputError: the file is missing, unreadable, truncated or binary.
    """
    done = 0
    with _opened(path) as file, _explained(path, lambda: f"{done:,} bytes of text"):
        stream = _unpacked(path, file)
        while block := stream.read(size):
            yield block
            done += len(block)


def _opened(path: Path) -> io.BufferedReader:
    with _explained(path, lambda: "line 0"):
        return open(path, "rb")


def _unpacked(path: Path, file: io.BufferedReader) -> BinaryIO:
    packed = file.peek(2)[:2] == GZIP
    stream = io.BufferedReader(gzip.GzipFile(fileobj=file)) if packed else file  # type: ignore[arg-type]
    _check_text(path, stream.peek(512)[:4096])
    return cast(BinaryIO, stream)


@contextmanager
def _explained(path: Path, place: Callable[[], str]) -> Iterator[None]:
    """Turns what the operating system and gzip raise into an InputError that says how far the reading came."""
    try:
        yield
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        fault = "truncated" if isinstance(error, EOFError) else "corrupt"
        raise InputError(
            f"{path}: {fault} gzip after {place()} ({error}); copy or download the file again"
        ) from error
    except OSError as error:
        raise InputError(f"{path}: {_reason(path, error)}") from error


def _reason(path: Path, error: OSError) -> str:
    if path.is_dir():
        return "is a folder; expected a file"
    return "no such file" if isinstance(error, FileNotFoundError) else f"cannot be read ({error.strerror})"


def _lines(path: Path, file: io.BufferedReader) -> Generator[Line, None, None]:
    number = 0
    with (
        _explained(path, lambda: f"line {number}"),
        io.TextIOWrapper(_unpacked(path, file), "utf-8-sig", errors="surrogateescape") as text,
    ):
        for number, line in enumerate(text, 1):
            if not line.isascii():
                _check_utf8(path, number, line)
            yield Line(number, line.rstrip("\n"))


def _check_text(path: Path, start: bytes) -> None:
    looks = next((what for magic, what in FOREIGN.items() if start.startswith(magic)), None)
    if looks is None and b"\0" in start:
        looks = "a binary file"
    if looks:
        raise InputError(f"{path}: not text, this looks like {looks}")


def _check_utf8(path: Path, number: int, line: str) -> None:
    position = next((i for i, character in enumerate(line, 1) if "\udc80" <= character <= "\udcff"), None)
    if position:
        byte = ord(line[position - 1]) - 0xDC00
        raise InputError(
            f"{path}, line {number}: byte 0x{byte:02x} at position {position} is not UTF-8;"
            " save the file as UTF-8"
        )
