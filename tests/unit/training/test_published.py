from __future__ import annotations

import gzip
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

from ogive.core.errors import MissingData
from ogive.training.data import load
from ogive.training.published import read_idx

CIFAR10_NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


def test_cifar10_is_read_from_its_official_layout(cifar10_folder: Path) -> None:
    data = load("cifar10", folder=cifar10_folder.parent)
    assert (len(data.train), len(data.val), len(data.test)) == (40_000, 10_000, 10_000)
    assert data.shape == (3, 32, 32)
    assert data.classes == tuple(CIFAR10_NAMES)
    assert data.val.labels.bincount().tolist() == [1000] * 10
    # The first record of the test file: its label, then red, green and blue, row by row.
    record = np.fromfile(cifar10_folder / "test_batch.bin", np.uint8, 3073)
    assert data.test.labels[0] == record[0]
    for channel, row, column in ((0, 0, 0), (1, 3, 5), (2, 31, 31)):
        assert data.test.images[0, channel, row, column] == record[1 + 1024 * channel + 32 * row + column]


def test_cifar10_may_lie_in_the_folder_itself_and_be_limited(cifar10_folder: Path) -> None:
    data = load("cifar10", folder=cifar10_folder, limit=100)
    assert (len(data.train), len(data.val), len(data.test)) == (100, 100, 100)
    assert data.augmentation.flip


def test_fashion_mnist_is_read_from_its_idx_files(fashion_mnist_folder: Path) -> None:
    data = load("fashion-mnist", folder=fashion_mnist_folder)
    assert (len(data.train), len(data.val), len(data.test)) == (48_000, 12_000, 10_000)
    assert data.shape == (1, 28, 28)
    assert data.classes[9] == "Ankle boot"
    assert data.test.labels[0] == 9  # the first test image shows an ankle boot


def test_cifar100_takes_the_fine_label(tmp_path: Path) -> None:
    write_cifar100(tmp_path / "cifar-100-binary")
    data = load("cifar100", folder=tmp_path, limit=100)
    assert data.classes[42] == "class42"
    assert data.test.labels.bincount().tolist() == [1] * 100
    assert data.test.images[7, :, 0, 0].tolist() == [7, 7, 7]


def write_cifar100(folder: Path) -> None:
    """Records of a coarse label 200, a fine label and pixels of that value."""
    folder.mkdir(parents=True)
    for file, count in (("train.bin", 50_000), ("test.bin", 10_000)):
        rows = np.zeros((count, 3074), np.uint8)
        fine = np.arange(count) % 100
        rows[:, 0], rows[:, 1], rows[:, 2:] = 200, fine, fine[:, None]
        rows.tofile(folder / file)
    (folder / "fine_label_names.txt").write_text("\n".join(f"class{i}" for i in range(100)) + "\n\n")


@pytest.mark.parametrize("name", ["cifar10", "cifar100", "fashion-mnist"])
def test_what_is_not_there_is_refused_with_the_exact_command(name: str, tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=f"`ogive data get {name}` .*`ogive data get {name} --from FOLDER`"):
        load(name, folder=tmp_path)


def test_data_is_looked_for_in_the_home(cifar10_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    with pytest.raises(MissingData, match=r"CIFAR-10 is not in .*cifar10"):
        load("cifar10")
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "cifar10").symlink_to(cifar10_folder)
    assert len(load("cifar10", limit=20).test) == 20


def test_a_missing_file_is_named(cifar10_folder: Path, tmp_path: Path) -> None:
    for path in cifar10_folder.glob("*.bin"):
        (tmp_path / path.name).symlink_to(path)
    (tmp_path / "data_batch_3.bin").unlink()
    with pytest.raises(MissingData, match=r"data_batch_3\.bin is missing: run `ogive data get cifar10`"):
        load("cifar10", folder=tmp_path)


def test_a_truncated_batch_is_named_with_both_sizes(cifar10_folder: Path, tmp_path: Path) -> None:
    for path in cifar10_folder.glob("*.bin"):
        (tmp_path / path.name).symlink_to(path)
    whole = (tmp_path / "test_batch.bin").read_bytes()
    (tmp_path / "test_batch.bin").unlink()
    (tmp_path / "test_batch.bin").write_bytes(whole[:-5])
    with pytest.raises(MissingData, match=r"test_batch\.bin must hold .* 30730000 in all, but has 30729995"):
        load("cifar10", folder=tmp_path)


def test_a_label_beyond_the_classes_is_refused(cifar10_folder: Path, tmp_path: Path) -> None:
    for path in cifar10_folder.glob("*.bin"):
        (tmp_path / path.name).symlink_to(path)
    content = bytearray((tmp_path / "data_batch_1.bin").read_bytes())
    content[0] = 10
    (tmp_path / "data_batch_1.bin").unlink()
    (tmp_path / "data_batch_1.bin").write_bytes(content)
    with pytest.raises(MissingData, match=r"data_batch_1\.bin has the label 10, but cifar10 has 10 classes"):
        load("cifar10", folder=tmp_path)


def idx(shape: tuple[int, ...], content: bytes, kind: int = 8) -> bytes:
    return bytes((0, 0, kind, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + content


def test_an_idx_file_is_read_packed_or_not(tmp_path: Path) -> None:
    content = idx((2, 2, 3), bytes(range(12)))
    (tmp_path / "x-ubyte").write_bytes(content)
    (tmp_path / "x-ubyte.gz").write_bytes(gzip.compress(content))
    for name in ("x-ubyte", "x-ubyte.gz"):
        found = read_idx(tmp_path / name, dimensions=3)
        assert found.tolist() == np.arange(12).reshape(2, 2, 3).tolist()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no idx file"),
        (idx((2, 2, 3), bytes(11)), "announces 2x2x3 bytes but has 11"),
        (idx((12,), bytes(12)), "no idx file of bytes in 3 dimensions"),
        (idx((2, 2, 3), bytes(12), kind=13), "no idx file of bytes"),
    ],
)
def test_a_wrong_idx_file_is_refused_with_its_name(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x-ubyte").write_bytes(content)
    with pytest.raises(MissingData, match=f"x-ubyte .*{message}|x-ubyte is {message}"):
        read_idx(tmp_path / "x-ubyte", dimensions=3)


@pytest.mark.parametrize("kept", [0.1, 0.6, 0.99])
def test_a_truncated_gz_file_is_refused_with_its_name(fashion_mnist_folder: Path, tmp_path: Path, kept: float) -> None:
    for path in fashion_mnist_folder.glob("*.gz"):
        shutil.copyfile(path, tmp_path / path.name)
    path = tmp_path / "t10k-labels-idx1-ubyte.gz"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(MissingData, match=r"t10k-labels-idx1-ubyte\.gz is damaged or truncated"):
        load("fashion-mnist", folder=tmp_path)
