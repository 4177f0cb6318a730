"""Published data sets in the layout of their authors: digits, Fashion-MNIST, CIFAR-10 and CIFAR-100."""

from __future__ import annotations

import functools
import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from ogive.archives import read_gzip
from ogive.core.errors import MissingData
from ogive.training.pictures import Array, Labelled, Source

__all__ = ["PUBLISHED", "Published", "read_digits", "read_idx", "read_published"]

CIFAR10_CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
FASHION_CLASSES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag")


@dataclass(frozen=True)
class Published:
    """Where a data set comes from and what its files are called.

    `addresses` maps what is downloaded to its MD5; `files` are the files that are needed, with the MD5 of what is in
    them where it is known (of the unpacked bytes for .gz); `inside` is the folder that its archive makes.
    """

    title: str
    addresses: dict[str, str]
    files: dict[str, str | None]
    inside: str = "."
    megabytes: int = 0


PUBLISHED = {
    "cifar10": Published(
        "CIFAR-10",
        {"https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz": "c32a1d4ab5d03f1284b67883e8d87530"},
        {
            "data_batch_1.bin": "5dd7e06a14cb22eb9f671a540d1b7c25",
            "data_batch_2.bin": "5ea93a67294ea407fff1d09f752e9692",
            "data_batch_3.bin": "942cd6a4bcdd0dd3c604fbe906cb4421",
            "data_batch_4.bin": "ae636b3ba5c66a11e91e8cb52e771fcb",
            "data_batch_5.bin": "53f37980c15c3d472c316c40844f3f0d",
            "test_batch.bin": "803d5f7f4d78ea53de84dbe85f74fb6d",
        },
        "cifar-10-batches-bin",
        170,
    ),
    "cifar100": Published(
        "CIFAR-100",
        {"https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz": "03b5dce01913d631647c71ecec9e9cb8"},
        {"train.bin": None, "test.bin": None, "fine_label_names.txt": None},
        "cifar-100-binary",
        169,
    ),
    "fashion-mnist": Published(
        "Fashion-MNIST",
        {
            f"http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{name}.gz": digest
            for name, digest in {
                "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
                "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
                "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
                "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
            }.items()
        },
        # Of the unpacked bytes, since Debian's dataset-fashion-mnist packs them anew.
        {
            "train-images-idx3-ubyte.gz": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
            "train-labels-idx1-ubyte.gz": "9018921c3c673c538a1fc5bad174d6f9",
            "t10k-images-idx3-ubyte.gz": "8181f5470baa50b63fa0f6fddb340f0a",
            "t10k-labels-idx1-ubyte.gz": "15d484375f8d13e6eb1aabb0c3f46965",
        },
        megabytes=31,
    ),
}


def read_digits() -> Source:
    """The 1,797 handwritten digits of scikit-learn, 1 x 8 x 8; their 17 grey levels are spread over 0..255."""
    images, labels = _digits()
    return Source(Labelled(images.copy(), labels.copy()), tuple("0123456789"))


@functools.cache
def _digits() -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Read once: scikit-learn keeps them as text, which a comparison of many searches need not read for each."""
    from sklearn.datasets import load_digits

    found = load_digits()
    return np.rint(found.images * (255 / 16)).astype(np.uint8)[:, None], found.target.astype(np.int64)


def read_published(name: str, folder: Path) -> Source:
    """The official training and test images, which `ogive data get` fetches.

    They are found in `folder`, or in the folder below it that the archive of `name` makes.

    MissingData names what is missing, damaged or truncated, and the command that gets it.
    """
    published = PUBLISHED[name]
    places = (folder / published.inside, folder)
    place = next((p for p in places if any(present(p, file) for file in published.files)), None)
    if place is None:
        raise MissingData(f"{published.title} is not in {folder}: {way_out(name)}")
    return _READERS[name](place)


def present(folder: Path, file: str) -> Path | None:
    """The path of `file` in `folder`, packed or, for a name in .gz, unpacked; None where there is neither."""
    paths = (folder / file, folder / file.removesuffix(".gz"))
    return next((path for path in paths if path.is_file()), None)


def way_out(name: str) -> str:
    """The sentence that says how to get a published data set."""
    published = PUBLISHED[name]
    return (
        f"run `ogive data get {name}` (downloads {published.megabytes} MB) or, with the files at hand, "
        f"`ogive data get {name} --from FOLDER`."
    )


def _needed(folder: Path, file: str, name: str) -> Path:
    path = present(folder, file)
    if path is None:
        raise MissingData(f"{folder / file} is missing: {way_out(name)}")
    return path


def _cifar10(folder: Path) -> Source:
    batches = [_records(folder, f"data_batch_{i}.bin", "cifar10", labels=1, records=10_000) for i in range(1, 6)]
    train = Labelled(np.concatenate([b.images for b in batches]), np.concatenate([b.labels for b in batches]))
    test = _records(folder, "test_batch.bin", "cifar10", labels=1, records=10_000)
    return Source(train, CIFAR10_CLASSES, test=test)


def _cifar100(folder: Path) -> Source:
    train = _records(folder, "train.bin", "cifar100", labels=2, records=50_000)
    test = _records(folder, "test.bin", "cifar100", labels=2, records=10_000)
    names = _needed(folder, "fine_label_names.txt", "cifar100").read_text(encoding="utf-8").split()
    if len(names) != 100:
        raise MissingData(
            f"{folder / 'fine_label_names.txt'} must name 100 classes, but names {len(names)}: {way_out('cifar100')}"
        )
    return Source(train, tuple(names), test=test)


def _records(folder: Path, file: str, name: str, *, labels: int, records: int) -> Labelled:
    """Records of `labels` label bytes, the finest last, and 3 x 32 x 32 pixels: red, green, blue, row by row."""
    path = _needed(folder, file, name)
    length = labels + 3072
    if path.stat().st_size != records * length:
        raise MissingData(
            f"{path} must hold {records} records of {length} bytes, {records * length} in all, but has "
            f"{path.stat().st_size}: remove it and {way_out(name)}"
        )
    rows = np.fromfile(path, np.uint8).reshape(records, length)
    fine = rows[:, labels - 1].astype(np.int64)
    classes = {"cifar10": 10, "cifar100": 100}[name]
    if fine.max() >= classes:
        raise MissingData(f"{path} has the label {fine.max()}, but {name} has {classes} classes: {way_out(name)}")
    return Labelled(np.ascontiguousarray(rows[:, labels:]).reshape(records, 3, 32, 32), fine)


def _fashion_mnist(folder: Path) -> Source:
    parts = []
    for part in ("train", "t10k"):
        images = read_idx(_needed(folder, f"{part}-images-idx3-ubyte.gz", "fashion-mnist"), dimensions=3)
        labels = read_idx(_needed(folder, f"{part}-labels-idx1-ubyte.gz", "fashion-mnist"), dimensions=1)
        if len(images) != len(labels) or labels.max() > 9:
            raise MissingData(
                f"{folder} has {len(images)} {part} images and {len(labels)} labels up to {labels.max()}, which cannot "
                f"be Fashion-MNIST: {way_out('fashion-mnist')}"
            )
        parts.append(Labelled(images[:, None], labels.astype(np.int64)))
    return Source(parts[0], (*FASHION_CLASSES, "Ankle boot"), test=parts[1])


def read_idx(path: Path, *, dimensions: int) -> Array:
    """The bytes of an idx file (http://yann.lecun.com/exdb/mnist), packed by gzip or not, as an array of uint8.

    MissingData names a file that is damaged, truncated or something else.
    """
    try:
        content = read_gzip(path) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, ValueError) as error:
        raise MissingData(f"{path} is damaged or truncated ({error}): remove it and get it again.") from None
    head = 4 + 4 * dimensions
    # Two zero bytes, 8 for unsigned bytes, the number of dimensions, then the sizes, big-endian.
    if len(content) < head or content[:4] != bytes((0, 0, 8, dimensions)):
        raise MissingData(f"{path} is no idx file of bytes in {dimensions} dimensions: remove it and get it again.")
    shape = struct.unpack(f">{dimensions}I", content[4:head])
    if len(content) - head != int(np.prod(shape)):
        raise MissingData(
            f"{path} announces {'x'.join(map(str, shape))} bytes but has {len(content) - head}: "
            "remove it and get it again."
        )
    return np.frombuffer(content, np.uint8, offset=head).reshape(shape).copy()


_READERS: dict[str, Callable[[Path], Source]] = {
    "cifar10": _cifar10,
    "cifar100": _cifar100,
    "fashion-mnist": _fashion_mnist,
}
