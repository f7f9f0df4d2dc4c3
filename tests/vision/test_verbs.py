"""`crocuta lab image train` from files to its run folder."""

import json
import struct

import numpy as np
from typer.testing import CliRunner

from crocuta.cli import app


def write_set(folder):
    rng = np.random.default_rng(0)
    pixels, labels = rng.integers(0, 256, (40, 8, 8), dtype=np.uint8), (np.arange(40) % 2).astype(np.uint8)
    (folder / "a-images-idx3-ubyte").write_bytes(struct.pack(">4I", 0x803, 40, 8, 8) + pixels.tobytes())
    (folder / "a-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, 40) + labels.tobytes())
    return folder / "a-images-idx3-ubyte"


def test_image_train_end_to_end(tmp_path):
    command = [
        "lab",
        "image",
        "train",
        str(write_set(tmp_path)),
        "-o",
        str(tmp_path / "run"),
        "--epochs",
        "1",
    ]
    command += ["--dim", "8", "--layers", "1", "--heads", "1", "--seeds", "2", "--learnable"]
    result = CliRunner().invoke(app, command)
    assert result.exit_code == 0, result.output
    assert "accuracy" in result.output
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert len(metrics["seeds"]) == 2
    assert (tmp_path / "run" / "models" / "seed-1" / "preprocessor_config.json").exists()
    assert CliRunner().invoke(app, command).exit_code == 2
    assert CliRunner().invoke(app, [*command, "--resume"]).exit_code == 0


def test_image_train_names_what_is_wrong(tmp_path):
    images = write_set(tmp_path)
    for arguments, message in (
        ([str(tmp_path / "absent")], "no such file or folder"),
        ([str(images), "--patch-size", "3"], "multiple of patch_size = 3"),
        ([str(images), "--model", "vgg"], "expected a folder, or one of lvit, vit, lorentz-resnet"),
    ):
        result = CliRunner().invoke(app, ["lab", "image", "train", *arguments, "-o", str(tmp_path / "run")])
        assert result.exit_code == 2
        assert message in " ".join(result.output.split())
    assert not (tmp_path / "run" / "metrics.json").exists()


def test_help_has_examples():
    output = CliRunner().invoke(app, ["lab", "image", "train", "--help"]).output
    assert "crocuta lab image train train-images-idx3-ubyte.gz --model lvit" in " ".join(output.split())
