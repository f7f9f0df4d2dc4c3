"""Golden numbers are whole, and are those that were written."""

import hashlib


def test_files_are_those_that_were_written(golden):
    folder = golden("")
    lines = (folder / "SHA256SUMS").read_text().splitlines()
    expected = {name: digest for digest, name in (line.split() for line in lines)}
    files = [path for path in folder.rglob("*") if path.suffix in {".npz", ".safetensors", ".json"}]
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in files
    }
    assert found == expected
