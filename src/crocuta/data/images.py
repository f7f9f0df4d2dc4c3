"""Labelled images: MNIST's idx files, the binary version of CIFAR-10, folders with one folder for each class."""

from __future__ import annotations

import gzip
import struct
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import NamedTuple

import numpy as np

from crocuta.errors import InputError

IDX_IMAGES, IDX_LABELS = 0x803, 0x801  # unsigned bytes in three dimensions, in one
CIFAR_SHAPE = (3, 32, 32)
CIFAR_RECORD = 1 + 3 * 32 * 32
CIFAR_CLASSES = (
    "airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck",
)  # fmt: skip
PICKLE = b"\x80"
SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".tif", ".tiff", ".webp", ".ppm", ".pgm")
TRAIN_NAMES, TEST_NAMES = ("train", "training"), ("test", "testing", "val", "valid")


@dataclass(frozen=True)
class Images:
    """Pixels (n, channels, height, width) of 8 bits, class indices (n,), names of the classes."""

    pixels: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.labels)

    def take(self, rows: np.ndarray) -> Images:
        """The images at these indices, or where a mask is true."""
        return Images(self.pixels[rows], self.labels[rows], self.classes)


class ImageParts(NamedTuple):
    """Images to train on, and those that their publisher holds out, if any."""

    train: Images
    test: Images | None


def read_images(path: str | PathLike, size: int | None = None) -> ImageParts:
    """Labelled images from a file or folder, its kind recognised by content and names.

    Args:
        path: an idx file of images, labels next to it (`images-idx3` and `labels-idx1` in the names), plain or gzip;
            a batch of CIFAR-10, binary version; a folder of such files, or of one folder of pictures for each class,
            with or without `train` and `test` around them.
        size: height and width to which pictures of a folder are brought; by default all must be of one size.

    Raises:
        InputError: a file is missing, truncated or of another kind; says which, and what was expected.
    """
    path = Path(path)
    if path.is_dir():
        return _read_folder(path, size)
    if not path.exists():
        raise InputError(f"{path}: no such file or folder; expected images in idx, CIFAR-10 or folders")
    return ImageParts(_read_file(path), None)


def files_of(path: str | PathLike) -> list[Path]:
    """Every file that belongs to images at `path`: an idx file's labels lie next to it.

    Raises:
        InputError: the labels are missing.
    """
    path = Path(path)
    return [path, _labels_beside(path)] if path.is_file() and _is_idx(path) else [path]


def read_unlabelled(path: str | PathLike, size: tuple[int, int]) -> Iterator[tuple[str, np.ndarray]]:
    """Names and pixels (channels, height, width) of images whose classes need not be known, one after the other.

    Args:
        path: an idx file, a batch of CIFAR-10, a picture, or a folder of pictures, with or without folders in it; those
            of a file are named by their number from 0, those of a folder by their path in it.
        size: height and width that pictures are brought to.

    Raises:
        InputError: there are none, or one cannot be read.
    """
    path = Path(path)
    if not path.exists():
        raise InputError(
            f"{path}: no such file or folder; expected pictures, an idx file, or CIFAR-10's batch"
        )
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        pixels = _idx(path, IDX_IMAGES)[:, None] if _is_idx(path) else read_cifar10([path]).pixels
        yield from ((str(i), each) for i, each in enumerate(pixels))
        return
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    files = [file for file in files if file.suffix.lower() in SUFFIXES and not file.name.startswith(".")]
    if not files:
        raise InputError(f"{path}: no pictures in it ({', '.join(SUFFIXES)})")
    for file in files:
        name = file.relative_to(path).as_posix() if path.is_dir() else file.name
        yield name, np.moveaxis(_picture(file, size), -1, 0)


def read_idx(images: str | PathLike, labels: str | PathLike) -> Images:
    """Images and labels of a pair of idx files, plain or gzip.

    Raises:
        InputError: a file is truncated or of another kind, or the two do not belong together.
    """
    pixels = _idx(Path(images), IDX_IMAGES)
    found = _idx(Path(labels), IDX_LABELS)
    if len(pixels) != len(found):
        raise InputError(
            f"{labels}: {len(found):,} labels, but {images} has {len(pixels):,} images; take both from one set"
        )
    classes = tuple(str(i) for i in range(int(found.max(initial=0)) + 1))
    return Images(pixels[:, None], found.astype(np.int64), classes)


def read_cifar10(paths: Sequence[str | PathLike]) -> Images:
    """Images of batches of CIFAR-10's binary version, one after another.

    Raises:
        InputError: a batch is truncated, of another kind, or of the pickled (python) version, which is not opened.
    """
    pixels, labels = zip(*(_cifar_batch(Path(path)) for path in paths), strict=True)
    return Images(np.concatenate(pixels), np.concatenate(labels).astype(np.int64), CIFAR_CLASSES)


def read_picture_folder(
    path: str | PathLike, size: int | None = None, classes: Sequence[str] | None = None
) -> Images:
    """Pictures in one folder for each class; needs Pillow. Grey pictures stay grey where all are.

    Args:
        size: height and width to which pictures are brought, bilinear; by default all must be of one size.
        classes: expected names of folders; by default those that are there.

    Raises:
        InputError: a picture cannot be read or has another size; there are none; a folder that is no known class.
    """
    path = Path(path)
    folders = sorted(child for child in path.iterdir() if child.is_dir() and not child.name.startswith("."))
    names = tuple(child.name for child in folders) if classes is None else tuple(classes)
    unknown = [child.name for child in folders if child.name not in names]
    if unknown:
        raise InputError(f"{path / unknown[0]}: a class that training does not have ({', '.join(names)})")
    files = [(file, names.index(folder.name)) for folder in folders for file in sorted(folder.iterdir())]
    files = [(file, label) for file, label in files if file.suffix.lower() in SUFFIXES]
    if not files:
        raise InputError(
            f"{path}: no images; expected idx files, CIFAR-10's binary batches, or a folder of pictures per class"
        )
    pictures = [_picture(file, size) for file, _ in files]
    expected = pictures[0].shape[:2]
    for (file, _), picture in zip(files, pictures, strict=True):
        if picture.shape[:2] != expected:
            raise InputError(
                f"{file}: {picture.shape[0]} x {picture.shape[1]} pixels, but {files[0][0].name} has"
                f" {expected[0]} x {expected[1]}; give the size to bring them to by `image_size`"
            )
    grey = all((p == p[..., :1]).all() for p in pictures)
    pixels = np.stack([np.moveaxis(p[..., :1] if grey else p, -1, 0) for p in pictures])
    return Images(pixels, np.array([label for _, label in files], np.int64), names)


def _read_folder(path: Path, size: int | None) -> ImageParts:
    files = sorted(file for file in path.iterdir() if file.is_file())
    idx = [file for file in files if "images-idx3" in file.name or "images.idx3" in file.name]
    batches = [file for file in files if file.name.startswith(("data_batch", "test_batch"))]
    if idx or batches:
        test = [file for file in idx + batches if file.name.startswith(("t10k", "test"))]
        train = [file for file in idx + batches if file not in test]
        if not train or not test:
            return ImageParts(_read_files(train or test), None)
        return ImageParts(_read_files(train), _read_files(test))
    parts = {child.name.lower(): child for child in path.iterdir() if child.is_dir()}
    train_folder = next((parts[name] for name in TRAIN_NAMES if name in parts), None)
    if train_folder is None:
        return ImageParts(read_picture_folder(path, size), None)
    train_set = read_picture_folder(train_folder, size)
    test_folder = next((parts[name] for name in TEST_NAMES if name in parts), None)
    if test_folder is None:
        return ImageParts(train_set, None)
    return ImageParts(train_set, read_picture_folder(test_folder, size, train_set.classes))


def _read_files(paths: Sequence[Path]) -> Images:
    if "idx3" in paths[0].name:
        return _read_file(paths[0])
    return read_cifar10(paths)


def _read_file(path: Path) -> Images:
    if _is_idx(path):
        return read_idx(path, _labels_beside(path))
    return read_cifar10([path])


def _is_idx(path: Path) -> bool:
    start = _content(path, 4)
    return start[:2] == b"\0\0" and len(start) == 4 and start[2] == 8


def _labels_beside(path: Path) -> Path:
    name = path.name.replace("images", "labels").replace("idx3", "idx1")
    stem = name.removesuffix(".gz")
    for candidate in (path.with_name(stem), path.with_name(f"{stem}.gz")):
        if candidate != path and candidate.exists():
            return candidate
    raise InputError(f"{path}: its labels are missing; expected {name} next to it")


def _content(path: Path, count: int = -1) -> bytes:
    """The bytes of a file, unpacked where it is gzip."""
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path, "rb") if packed else open(path, "rb") as file:
            return file.read(count)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(
            f"{path}: cannot be read to its end ({error}); it is truncated or damaged: fetch it again"
        ) from error


def _idx(path: Path, magic: int) -> np.ndarray:
    content, axes = _content(path), magic & 0xFF
    found = int.from_bytes(content[:4], "big")
    kind = "images (idx3)" if magic == IDX_IMAGES else "labels (idx1)"
    if len(content) < 4 + 4 * axes or found != magic:
        raise InputError(
            f"{path}: begins with {content[:4].hex() or 'nothing'}, expected {magic:08x}: an idx file of {kind}"
        )
    shape = struct.unpack(f">{axes}I", content[4 : 4 + 4 * axes])
    body = np.frombuffer(content, np.uint8, offset=4 + 4 * axes)
    if len(body) != np.prod(shape, dtype=np.int64):
        raise InputError(
            f"{path}: {len(body):,} bytes after the header, expected {np.prod(shape, dtype=np.int64):,} for"
            f" {' x '.join(map(str, shape))}; it is truncated or damaged: fetch it again"
        )
    return body.reshape(shape).copy()


def _cifar_batch(path: Path) -> tuple[np.ndarray, np.ndarray]:
    content = _content(path)
    if content[:1] == PICKLE and len(content) % CIFAR_RECORD:
        raise InputError(
            f"{path}: the pickled version of CIFAR-10 (or another pickle), which could run code when opened and is not;"
            " take the binary version, cifar-10-binary.tar.gz, from the same page"
        )
    if not content or len(content) % CIFAR_RECORD:
        raise InputError(
            f"{path}: {len(content):,} bytes, expected a multiple of {CIFAR_RECORD:,} (a batch of CIFAR-10, binary"
            " version); it is truncated or of another kind"
        )
    records = np.frombuffer(content, np.uint8).reshape(-1, CIFAR_RECORD)
    wrong = np.flatnonzero(records[:, 0] >= len(CIFAR_CLASSES))
    if len(wrong):
        raise InputError(f"{path}: record {wrong[0] + 1} has label {records[wrong[0], 0]}, expected 0 to 9")
    return records[:, 1:].reshape(-1, *CIFAR_SHAPE), records[:, 0]


def _picture(path: Path, size: int | tuple[int, int] | None) -> np.ndarray:
    """Red, green and blue (height, width, 3) of a picture, brought to a size."""
    try:
        from PIL import Image, UnidentifiedImageError
    except ImportError:
        raise InputError(f"{path}: reading pictures needs Pillow (pip install pillow)") from None
    try:
        with Image.open(path) as picture:
            picture = picture.convert("RGB")
            if size is not None:
                height, width = (size, size) if isinstance(size, int) else size
                picture = picture.resize((width, height), Image.Resampling.BILINEAR)
            return np.asarray(picture)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombError, SyntaxError) as error:
        raise InputError(
            f"{path}: cannot be read as a picture ({error}); remove it or fetch it again"
        ) from error
