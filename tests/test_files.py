"""Names from the data as names of files; what libraries write follows the user's umask."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from crocuta.files import file_name, follow_umask


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o077, 0o600)])
def test_weights_follow_the_umask(tmp_path, umask, mode):
    before = os.umask(umask)
    try:
        (tmp_path / "model").mkdir()
        save_file({"a": torch.zeros(2)}, tmp_path / "model" / "a.safetensors")
        (tmp_path / "b.json").touch()
        follow_umask(tmp_path)
    finally:
        os.umask(before)
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in tmp_path.rglob("*") if path.is_file()}
    assert modes == {"a.safetensors": mode, "b.json": mode}


NAMES = [
    "", ".", "..", "%", "%25", "a b", "a/b", "a%2Fb", "../../up", "a\\b", "a\nb", "\u00e9", "e\u0301", " ",
    "_sites", "-", "A", "CON", *("x" * count for count in (150, 151, 152)), "x" * 149 + " ", "x" * 149 + "  ",
]  # fmt: skip


def test_names_from_the_data_are_names_of_files(tmp_path):
    found = [file_name(name) for name in NAMES]
    assert len(set(found)) == len(NAMES)
    for name in found:
        (tmp_path / f"{name}.safetensors").touch()
        assert (tmp_path / name).resolve().parent == tmp_path.resolve()
        assert name.isascii()
    assert len(list(tmp_path.iterdir())) == len(NAMES)
    for name in ("NA19700", "chr22", "HG00096.1", "s_1-b"):
        assert file_name(name) == name
