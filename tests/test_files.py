"""Files that libraries write follow the user's umask."""

import os
import stat

import pytest
import torch
from safetensors.torch import save_file

from crocuta.files import follow_umask


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
