"""Genomes from FASTA files: read once into a file of token ids next to them, then mapped into memory."""

import hashlib
import json
import os
import shutil
import struct
import weakref
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from os import PathLike
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Any, NamedTuple, Protocol

import numpy as np

from crocuta.data.encoding import NUCLEOTIDES, VOCABULARY, reverse_complement
from crocuta.data.text import read_blocks
from crocuta.errors import InputError
from crocuta.files import replacing

MAGIC = b"CROCUTA-GENOME-1"
SUFFIX = ".crocuta"
BLOCK = 1 << 22
OTHER, FOREIGN = len(VOCABULARY), len(VOCABULARY) + 1  # another IUPAC letter; no letter at all
BLANKS = b" \t\r\n\v\f"


def _table() -> bytes:
    table = bytearray([FOREIGN]) * 256
    for byte in range(256):
        if chr(byte).isascii() and chr(byte).isalpha():
            nucleotide = chr(byte).upper()
            table[byte] = VOCABULARY[nucleotide] if nucleotide in NUCLEOTIDES else OTHER
    return bytes(table)


_TO_IDS = _table()


class Located(Protocol):
    """What `Genome.sequence` needs to know of an interval."""

    @property
    def contig(self) -> str: ...
    @property
    def start(self) -> int: ...
    @property
    def end(self) -> int: ...
    @property
    def strand(self) -> str: ...


class Genome:
    """The sequences of a FASTA file (plain, gzip or bgzip) as token ids, read by position.

    The first opening writes the ids, a byte each, to `<file>.crocuta` next to the file, or where that folder is
    read-only to `~/.cache/crocuta` (`$XDG_CACHE_HOME/crocuta`); later ones map it into memory. A FASTA file that
    has changed since is read again. No index (`.fai`, `.gzi`) is needed.

    Attributes:
        names: contigs in the order of the file, each the first word of its header.
        lengths: nucleotides of each contig.
        others: number of nucleotides that are not A, C, G, T or N in either case; they are kept as N.

    Args:
        path: the FASTA file.
        cache: folder to keep the ids in, in place of the two above.
        progress: hears how many bytes of text were read since the last call, while the file is read.
        keep: False: leave no file of ids behind that was not there before.

    Raises:
        InputError: the file is missing, broken or no FASTA, or no folder takes the ids.
    """

    def __init__(
        self,
        path: str | PathLike,
        cache: str | PathLike | None = None,
        progress: Callable[[int], None] = lambda count: None,
        keep: bool = True,
    ):
        self.path, self._cache = Path(path), cache
        places = [Path(cache)] if cache is not None else [self.path.parent, cache_folder()]
        files = [_cache_file(self.path, folder) for folder in places]
        stamp = _stamp(self.path)
        found = next(((file, head) for file in files if (head := _read_head(file, stamp))), None)
        if not found and not keep:
            folder = mkdtemp(prefix="crocuta-")
            weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
            files = [Path(folder) / "ids"]
        file, head = found or _build(self.path, files, stamp, progress)
        self.names: list[str] = head["names"]
        self.lengths: dict[str, int] = dict(zip(self.names, head["lengths"], strict=True))
        self.others: int = head["others"]
        offsets = np.cumsum([0, *head["lengths"]])
        self._offsets = dict(zip(self.names, offsets.tolist(), strict=False))
        self._ids = np.memmap(file, np.uint8, "r", shape=(int(offsets[-1]),))

    def fetch(self, name: str, start: int = 0, end: int | None = None) -> np.ndarray:
        """Token ids uint8 (end - start,) of positions start to end of a contig, counted from 0, `end` excluded.

        Raises:
            InputError: no such contig; the positions do not lie in it.
        """
        length = self.length(name)
        end = length if end is None else end
        if not 0 <= start <= end <= length:
            raise InputError(
                f"{self.path}: {name}:{start:,}-{end:,} does not lie in {name}, which has {length:,} nucleotides"
            )
        offset = self._offsets[name]
        return np.array(self._ids[offset + start : offset + end])

    def sequence(self, interval: Located) -> np.ndarray:
        """Token ids of an interval, reverse-complemented where its strand is "-"; raises as `fetch` does."""
        ids = self.fetch(interval.contig, interval.start, interval.end)
        return reverse_complement(ids) if interval.strand == "-" else ids

    def length(self, name: str) -> int:
        """Nucleotides of a contig.

        Raises:
            InputError: no such contig; the message says which name was perhaps meant.
        """
        if name not in self.lengths:
            raise InputError(f"{self.path}: {unknown_contig(name, self.names)}")
        return self.lengths[name]

    def __len__(self) -> int:
        return len(self._ids)

    def __enter__(self) -> "Genome":
        return self

    def __exit__(self, *error) -> None:
        self.close()

    def __reduce__(self):
        return Genome, (self.path, self._cache)

    def close(self) -> None:
        """Lets go of the file of ids."""
        self._ids = np.empty(0, np.uint8)


def unknown_contig(name: str, names: Iterable[str]) -> str:
    """Says that a contig is not among `names`, and which of them was perhaps meant (`chr1` and `1`, `chrM` and `MT`).

    >>> unknown_contig("chr1", ["1", "2"])
    "no contig 'chr1'; this genome calls it '1'"
    """

    def plain(contig: str) -> str:
        short = contig.lower().removeprefix("chr")
        return "m" if short in ("m", "mt", "mito") else short

    names = list(names)
    meant = next((known for known in names if plain(known) == plain(name)), None)
    if meant is not None:
        return f"no contig {name!r}; this genome calls it {meant!r}"
    shown = ", ".join(names[:6]) + (f", ... ({len(names):,} contigs)" if len(names) > 6 else "")
    return f"no contig {name!r}; it holds {shown}"


def cache_folder() -> Path:
    """Where ids are kept for files in read-only folders."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "crocuta"


def _cache_file(path: Path, folder: Path) -> Path:
    if folder == path.parent:
        return path.with_name(path.name + SUFFIX)
    digest = hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:12]
    return folder / f"{path.name}-{digest}{SUFFIX}"


def _stamp(path: Path) -> dict[str, Any]:
    """What tells that a file is still the one that was read: size, time, and a digest of its start."""
    start = next(read_blocks(path, 1 << 16), b"")
    status = path.stat()
    return {
        "bytes": status.st_size,
        "modified": status.st_mtime_ns,
        "start": hashlib.sha256(start).hexdigest(),
    }


def _read_head(file: Path, stamp: dict[str, Any]) -> dict[str, Any] | None:
    """The description at the end of a file of ids, if it is whole and belongs to the FASTA file as it is now."""
    tail = struct.Struct(f"<Q{len(MAGIC)}s")
    try:
        with open(file, "rb") as stream:
            stream.seek(-tail.size, os.SEEK_END)
            size, magic = tail.unpack(stream.read())
            if magic != MAGIC:
                return None
            stream.seek(-tail.size - size, os.SEEK_END)
            head = json.loads(stream.read(size))
    except (OSError, ValueError):
        return None
    return head if head["source"] == stamp else None


def _build(
    path: Path, files: list[Path], stamp: dict[str, Any], progress: Callable[[int], None]
) -> tuple[Path, dict[str, Any]]:
    """Reads the FASTA file into the first of `files` that can be written."""
    refused: OSError | None = None
    for file in files:
        try:
            if _marked_read_only(file.parent):
                raise PermissionError(f"{file.parent} is read-only")
            with replacing(file, "wb") as stream:
                head = _write_ids(path, stream, progress) | {"source": stamp}
                text = json.dumps(head).encode()
                stream.write(text + struct.pack("<Q", len(text)) + MAGIC)
            return file, head
        except OSError as error:
            refused = error
    places = " nor ".join(str(file.parent) for file in files)
    raise InputError(
        f"{path}: its ids ({stamp['bytes']:,} bytes or more) cannot be written to {places}"
        f" ({refused}); set XDG_CACHE_HOME to a folder that can be written to (or give `cache`)"
    ) from refused


def _marked_read_only(folder: Path) -> bool:
    """Whether nobody may write there; the operating system lets an administrator, we do not."""
    return folder.is_dir() and not folder.stat().st_mode & 0o222


class _Piece(NamedTuple):
    """Part of a FASTA file: a whole header, or some nucleotides."""

    text: bytes
    is_header: bool


def _pieces(blocks: Iterator[bytes]) -> Iterator[_Piece]:
    """Splits a FASTA file into headers (without ">") and nucleotides, with the blanks in them."""
    rest, at_start = b"", True
    for block in blocks:
        block = rest + block
        rest, position = b"", 0
        while position < len(block):
            if at_start and block[position] == ord(">"):
                stop = block.find(b"\n", position)
                if stop < 0:
                    rest = block[position:]
                    break
                yield _Piece(block[position + 1 : stop], True)
                position = stop + 1
                continue
            found = block.find(b"\n>", position)
            stop = found + 1 if found >= 0 else len(block)
            yield _Piece(block[position:stop], False)
            position, at_start = stop, block[stop - 1] == ord("\n")
    if rest:
        yield _Piece(rest[1:], True)


def _write_ids(path: Path, stream: IO[bytes], progress: Callable[[int], None]) -> dict[str, Any]:
    """Writes the ids of all contigs, one after the other; returns their names, lengths, and other nucleotides."""
    names: list[str] = []
    lengths: list[int] = []
    others = 0
    for text, is_header in _pieces(read_blocks(path, BLOCK)):
        progress(len(text))
        if is_header:
            _check_contig(path, names, lengths)
            names.append(_name(path, text, len(names) + 1))
            lengths.append(0)
            continue
        ids = np.frombuffer(bytearray(text).translate(_TO_IDS, BLANKS), np.uint8)
        if not names and len(ids):
            raise InputError(f"{path}: a FASTA file must begin with '>', found {text[:40].strip()!r}")
        if len(ids):
            others += _settle(path, names, lengths, ids, partial(_found, text))
            stream.write(ids.data)
            lengths[-1] += len(ids)
    if not names:
        raise InputError(f"{path}: the file is empty; expected FASTA")
    _check_contig(path, names, lengths)
    name, count = Counter(names).most_common(1)[0]
    if count > 1:
        raise InputError(f"{path}: contig {name!r} appears {count:,} times; give each its own name")
    return {"names": names, "lengths": lengths, "others": others}


def _settle(
    path: Path, names: list[str], lengths: list[int], ids: np.ndarray, found: Callable[[int], str]
) -> int:
    """Turns other nucleotides into N, in place, and returns their number; refuses what is no nucleotide."""
    largest = ids.max()
    if largest == FOREIGN:
        at = int(np.argmax(ids == FOREIGN))
        raise InputError(
            f"{path}: character {found(at)!r} at position {lengths[-1] + at + 1:,} of {names[-1]!r}"
            " is not a nucleotide; expected A, C, G, T, N or another IUPAC letter"
        )
    if largest < OTHER:
        return 0
    places = ids == OTHER
    ids[places] = VOCABULARY["N"]
    return int(np.count_nonzero(places))


def _found(text: bytes, at: int) -> str:
    return chr(text.translate(None, BLANKS)[at])


def _name(path: Path, text: bytes, count: int) -> str:
    words = text.decode("utf-8", "replace").split()
    if not words:
        raise InputError(f"{path}: record {count} has no name; expected '>name'")
    return words[0]


def _check_contig(path: Path, names: list[str], lengths: list[int]) -> None:
    if names and not lengths[-1]:
        raise InputError(f"{path}: record {len(names):,} ({names[-1]}) has no sequence")
