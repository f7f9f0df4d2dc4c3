"""A lock on an output that dies with its process: the operating system's own, so that a kill leaves none behind."""

import os
import sys
from pathlib import Path
from typing import IO

from crocuta.errors import InputError


def lock_path(output: Path) -> Path:
    """The file that is there while a command holds the output."""
    return output.with_name(f".{output.name}.lock")


class Lock:
    """Held from its making until `release`, or until the process ends in whatever way.

    Raises:
        InputError: another process holds it; the message names that process.
    """

    def __init__(self, output: Path):
        self.path = lock_path(output)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        while True:
            self._file = open(self.path, "a+", encoding="utf-8")  # noqa: SIM115 (held beyond this block)
            if not _lock(self._file):
                holder = self.path.read_text(encoding="utf-8").strip()
                self._file.close()
                raise InputError(
                    f"{output}: another command (process {holder or 'unknown'}) is writing there; wait until it has"
                    " ended, or choose another `output`"
                )
            # the one before may have removed the file between our opening and our locking it
            if self.path.exists() and os.path.samestat(os.fstat(self._file.fileno()), self.path.stat()):
                break
            self._file.close()
        self._file.truncate(0)
        self._file.write(f"{os.getpid()}\n")
        self._file.flush()

    def release(self) -> None:
        """Removes the file while it is still held, so that nobody can lock a name that is about to go."""
        if sys.platform == "win32":
            self._file.close()
            self.path.unlink(missing_ok=True)
        else:
            self.path.unlink(missing_ok=True)
            self._file.close()


def _lock(file: IO) -> bool:
    """Whether the lock could be had at once."""
    if sys.platform == "win32":
        import msvcrt

        try:
            file.seek(1 << 20)  # beyond the text, which others may read
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks (some network mounts): the rest of the claim still holds
    return True
