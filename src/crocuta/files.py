"""Files that are either whole or absent."""

import hashlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

PARTIAL = ".partial"  # ends the name of what is being written; a later command on the same output removes it

LONGEST = 150  # characters of a file's name that come from a name in the data; suffixes and temporary names add theirs


def file_name(name: str) -> str:
    """A name from the data (a sample, a contig) as that of a file: different names stay different.

    Letters, digits and `._-` stay; all else, and a dot at the beginning, is written as in a URL. A long name is
    cut, and its digest put behind.

    >>> file_name("NA19700"), file_name("../a b"), file_name("")
    ('NA19700', '%2E.%2Fa%20b', '%')
    """
    content = name.encode(errors="surrogatepass")
    kept = re.sub(rb"^\.|[^A-Za-z0-9._-]", lambda found: b"%%%02X" % ord(found[0]), content).decode()
    if len(kept) <= LONGEST:
        return kept or "%"
    return f"{kept[:LONGEST]}%-{hashlib.sha256(content).hexdigest()[:32]}"


def partial(path: str | os.PathLike) -> Path:
    """A name beside `path` that nothing has, for what shall take the name `path` when it is whole."""
    path = Path(path)
    return path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}{PARTIAL}")


def remove(path: Path) -> None:
    """Removes a file or a folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def replacing_path(path: str | os.PathLike) -> Iterator[Path]:
    """A name to write under, which becomes `path` when the block ends without an error; otherwise nothing is left.

    What the block opens itself gets the permissions of the user's umask.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = partial(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        remove(temporary)
        raise


@contextmanager
def replacing(path: str | os.PathLike, mode: str = "w") -> Iterator[IO]:
    """A file to write to under a temporary name, which takes the name `path` when the block ends without an error."""
    with (
        replacing_path(path) as temporary,
        open(temporary, mode.replace("w", "x"), encoding=None if "b" in mode else "utf-8") as file,
    ):
        yield file


def follow_umask(folder: str | os.PathLike) -> None:
    """Gives a folder's files the permissions of the user's umask: safetensors writes for the owner alone."""
    probe = partial(Path(folder) / "umask")
    probe.touch()
    mode = probe.stat().st_mode & 0o777
    probe.unlink()
    for path in Path(folder).rglob("*"):
        if path.is_file():
            path.chmod(mode)


def write_json(path: str | os.PathLike, content: Any) -> None:
    """Writes indented JSON, atomically; NaN is not allowed."""
    with replacing(path) as file:
        json.dump(content, file, indent=1, allow_nan=False)
        file.write("\n")


def sha256(path: str | os.PathLike) -> str:
    """Hexadecimal digest of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
