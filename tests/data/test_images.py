"""Readers of images, on small files of each format, whole and broken."""

import gzip
import pickle
import struct

import numpy as np
import pytest
import torch

from crocuta.data.images import read_idx, read_images
from crocuta.errors import InputError
from crocuta.vision.jitter import Jitter


def write_idx(path, array):
    header = struct.pack(f">I{array.ndim}I", 0x800 + array.ndim, *array.shape)
    content = header + array.astype(np.uint8).tobytes()
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)


def pixels(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_idx_pair(tmp_path, suffix):
    images, labels = pixels(6, 5, 4), np.array([0, 2, 1, 2, 0, 1])
    write_idx(tmp_path / f"train-images-idx3-ubyte{suffix}", images)
    write_idx(tmp_path / "train-labels-idx1-ubyte", labels)
    found = read_images(tmp_path / f"train-images-idx3-ubyte{suffix}").train
    assert (found.pixels[:, 0] == images).all()
    assert (found.labels == labels).all()
    assert found.classes == ("0", "1", "2")
    assert (found.take(found.labels == 2).pixels[:, 0] == images[[1, 3]]).all()
    assert read_images(tmp_path).test is None


def test_idx_folder_with_both_parts(tmp_path):
    for name, n in (("train", 6), ("t10k", 3)):
        write_idx(tmp_path / f"{name}-images-idx3-ubyte", pixels(n, 5, 4))
        write_idx(tmp_path / f"{name}-labels-idx1-ubyte", np.arange(n) % 3)
    parts = read_images(tmp_path)
    assert (len(parts.train), len(parts.test)) == (6, 3)


def test_mnist(shared_data):
    found = read_images(shared_data("images", "mnist_t10k")).train
    assert found.pixels.shape == (10_000, 1, 28, 28)
    assert np.bincount(found.labels).tolist() == [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009]


def test_idx_that_is_broken(tmp_path):
    images, labels = tmp_path / "a-images-idx3-ubyte", tmp_path / "a-labels-idx1-ubyte"
    write_idx(images, pixels(6, 5, 4))
    with pytest.raises(InputError, match="labels are missing; expected a-labels-idx1-ubyte"):
        read_images(images)
    write_idx(labels, np.zeros(5))
    with pytest.raises(InputError, match=r"5 labels, but .* has 6 images"):
        read_images(images)
    with pytest.raises(InputError, match="begins with 00000803, expected 00000801: an idx file of labels"):
        read_idx(images, images)
    images.write_bytes(images.read_bytes()[:-1])
    with pytest.raises(
        InputError, match=r"119 bytes after the header, expected 120 for 6 x 5 x 4; .* truncated"
    ):
        read_images(images)
    packed = tmp_path / "b-images-idx3-ubyte.gz"
    write_idx(packed, pixels(6, 5, 4))
    packed.write_bytes(packed.read_bytes()[:-9])
    write_idx(tmp_path / "b-labels-idx1-ubyte", np.zeros(6))
    with pytest.raises(InputError, match="truncated or damaged"):
        read_images(packed)


def test_cifar10_binary(tmp_path):
    images, labels = pixels(4, 3, 32, 32), np.array([3, 0, 9, 1], np.uint8)
    records = np.concatenate([labels[:, None], images.reshape(4, -1)], axis=1)
    for i in (1, 2):
        (tmp_path / f"data_batch_{i}.bin").write_bytes(records[2 * i - 2 : 2 * i].tobytes())
    (tmp_path / "test_batch.bin").write_bytes(records[:3].tobytes())
    parts = read_images(tmp_path)
    assert (parts.train.pixels == images).all()
    assert (parts.train.labels == labels).all()
    assert [parts.train.classes[i] for i in parts.test.labels] == ["cat", "airplane", "truck"]
    assert (read_images(tmp_path / "test_batch.bin").train.pixels == images[:3]).all()


def test_cifar10_that_is_broken(tmp_path):
    batch = tmp_path / "data_batch_1.bin"
    batch.write_bytes(bytes(3073)[:-1])
    with pytest.raises(InputError, match="3,072 bytes, expected a multiple of 3,073"):
        read_images(batch)
    batch.write_bytes(bytes(3073) + b"\x0a" + bytes(3072))
    with pytest.raises(InputError, match="record 2 has label 10, expected 0 to 9"):
        read_images(batch)


class Harmful:
    """Says so when it is unpickled."""

    def __reduce__(self):
        return (pytest.fail, ("the pickle was opened",))


def test_pickled_cifar10_is_not_opened(tmp_path):
    (tmp_path / "data_batch_1").write_bytes(pickle.dumps({b"data": Harmful()}))
    with pytest.raises(InputError, match=r"cifar-10-binary\.tar\.gz"):
        read_images(tmp_path)


def write_pictures(folder, colours, size=(6, 4)):
    image = pytest.importorskip("PIL.Image")
    for name, colour in colours.items():
        (folder / name).mkdir(parents=True)
        for i in range(2):
            image.new("RGB", size, colour).save(folder / name / f"{i}.png")


def test_folders_of_pictures(tmp_path):
    write_pictures(tmp_path / "train", {"cat": (200, 0, 0), "dog": (0, 100, 0)})
    write_pictures(tmp_path / "test", {"dog": (0, 100, 0)})
    parts = read_images(tmp_path)
    assert parts.train.pixels.shape == (4, 3, 4, 6)
    assert parts.train.pixels[0, :, 0, 0].tolist() == [200, 0, 0]
    assert parts.train.classes == parts.test.classes == ("cat", "dog")
    assert parts.test.labels.tolist() == [1, 1]
    assert read_images(tmp_path / "train", size=8).train.pixels.shape == (4, 3, 8, 8)


def test_grey_pictures_have_one_channel(tmp_path):
    write_pictures(tmp_path, {"a": (7, 7, 7), "b": (9, 9, 9)})
    found = read_images(tmp_path).train
    assert found.pixels[:, 0, 0, 0].tolist() == [7, 7, 9, 9]


def test_pictures_that_do_not_fit(tmp_path):
    write_pictures(tmp_path, {"cat": (200, 0, 0)})
    (tmp_path / "cat" / "2.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"2\.png: cannot be read as a picture"):
        read_images(tmp_path)
    (tmp_path / "cat" / "2.png").unlink()
    write_pictures(tmp_path, {"dog": (0, 100, 0)}, size=(8, 4))
    with pytest.raises(InputError, match=r"0\.png: 4 x 8 pixels, but 0\.png has 4 x 6; .*`image_size`"):
        read_images(tmp_path)
    write_pictures(tmp_path / "train", {"cat": (1, 2, 3)})
    write_pictures(tmp_path / "test", {"cow": (1, 2, 3)})
    with pytest.raises(InputError, match=r"cow: a class that training does not have \(cat\)"):
        read_images(tmp_path)


def test_nothing_to_read(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        read_images(tmp_path / "absent")
    with pytest.raises(InputError, match="no images; expected idx files"):
        read_images(tmp_path)
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(InputError, match="5 bytes, expected a multiple"):
        read_images(tmp_path / "notes.txt")


def test_jitter_moves_a_spot_by_what_it_says():
    spot = torch.zeros(64, 1, 41, 41)
    spot[:, :, 19:22, 29:32] = 1.0  # ten pixels right of the middle
    generator = torch.Generator().manual_seed(0)

    def centres(moved):
        mass = moved[:, 0] / moved[:, 0].sum((1, 2), keepdim=True)
        axis = torch.arange(41.0) - 20
        return torch.stack([(mass.sum(1) * axis).sum(1), (mass.sum(2) * axis).sum(1)], dim=1)

    shifted = centres(Jitter(shift=0.1)(spot, generator))
    assert 3.0 < (shifted - torch.tensor([10.0, 0.0])).abs().max() < 4.2
    turned = centres(Jitter(degrees=30)(spot, generator))
    torch.testing.assert_close(turned.norm(dim=1), torch.full((64,), 10.0), atol=0.15, rtol=0)
    angle = torch.rad2deg(torch.atan2(turned[:, 1], turned[:, 0])).abs().max()
    assert 25 < angle < 31
    zoomed = centres(Jitter(zoom=0.2)(spot, generator))[:, 0]
    assert 8.2 < zoomed.min() < 8.8
    assert 11.6 < zoomed.max() < 12.7
    flipped = centres(Jitter(flip=True)(spot, generator))[:, 0]
    assert set(flipped.round().tolist()) == {-10.0, 10.0}
    assert Jitter()(spot) is spot
