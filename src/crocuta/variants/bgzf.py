"""Blocked gzip (BGZF), as samtools' bgzip writes it: a gzip file of many small members that tabix can index.

Source: SAM/BAM format specification, section 4.1.
"""

import struct
import zlib
from pathlib import Path
from typing import IO

from crocuta.errors import InputError

BLOCK = 65280  # bytes of text in a block, so that the worst case still fits 64 KiB packed
HEADER = struct.pack("<4BI2BH2BHH", 31, 139, 8, 4, 0, 0, 255, 6, 66, 67, 2, 0)[:-2]
END = HEADER + struct.pack("<H", 27) + b"\x03\x00" + bytes(8)  # an empty block: the file is whole


class BgzfWriter:
    """Packs bytes into blocks of a binary file; `close` ends the last block, and `finish` marks the file as whole.

    Files of blocks may be joined end to end; only the last one is finished.
    """

    def __init__(self, file: IO[bytes], level: int = 4) -> None:
        self.file = file
        self.level = level
        self.pending = bytearray()

    def write(self, data: bytes) -> None:
        self.pending += data
        whole = len(self.pending) // BLOCK * BLOCK
        for start in range(0, whole, BLOCK):
            self._block(bytes(self.pending[start : start + BLOCK]))
        del self.pending[:whole]

    def close(self) -> None:
        if self.pending:
            self._block(bytes(self.pending))
            self.pending.clear()

    def finish(self) -> None:
        self.close()
        self.file.write(END)

    def _block(self, data: bytes) -> None:
        packer = zlib.compressobj(self.level, zlib.DEFLATED, -15)
        packed = packer.compress(data) + packer.flush()
        size = struct.pack("<H", len(packed) + len(HEADER) + 2 + 8 - 1)
        self.file.write(HEADER + size + packed + struct.pack("<II", zlib.crc32(data), len(data)))


def check_whole(path: Path) -> None:
    """Raises InputError if a file packed in blocks lacks the empty block at its end; other files pass."""
    with open(path, "rb") as file:
        start = file.read(18)
        if start[:4] != HEADER[:4] or start[12:14] != b"BC":
            return
        file.seek(-min(len(END), path.stat().st_size), 2)
        end = file.read()
    if end != END:
        raise InputError(
            f"{path}: truncated bgzip, its end-of-file block is missing; copy or download the file again"
        )
