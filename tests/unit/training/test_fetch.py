"""Getting data without a network: from folders, from archives, and from file:// addresses."""

from __future__ import annotations

import gzip
import hashlib
import io
import resource
import tarfile
import urllib.error
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import IO

import numpy as np
import pytest

from ogive.core.errors import MissingData, UnknownName
from ogive.training.data import get, load
from ogive.training.published import PUBLISHED


@pytest.fixture(scope="module")
def cifar100(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive in the layout of CIFAR-100, with files in it that nobody asked for."""
    folder = tmp_path_factory.mktemp("archive") / "cifar-100-binary"
    folder.mkdir()
    for file, count in (("train.bin", 50_000), ("test.bin", 10_000)):
        rows = np.zeros((count, 3074), np.uint8)
        rows[:, 1] = np.arange(count) % 100
        rows.tofile(folder / file)
    (folder / "fine_label_names.txt").write_text("\n".join(f"class{i}" for i in range(100)))
    archive = folder.parent / "cifar-100-binary.tar.gz"
    with tarfile.open(archive, "w:gz", compresslevel=1) as tar:
        tar.add(folder, "cifar-100-binary")
        stray = tarfile.TarInfo("../../outside.txt")
        stray.size = 4
        tar.addfile(stray, io.BytesIO(b"evil"))
        link = tarfile.TarInfo("cifar-100-binary/link/train.bin")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return archive


def official(monkeypatch: pytest.MonkeyPatch, name: str, address: str, digest: str) -> None:
    monkeypatch.setitem(PUBLISHED, name, replace(PUBLISHED[name], addresses={address: digest}))


def md5(path: Path) -> str:
    return hashlib.md5(path.read_bytes()).hexdigest()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


CIFAR100_FILES = ["fine_label_names.txt", "test.bin", "train.bin"]


def test_data_comes_from_a_folder_into_the_home(
    fashion_mnist_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OGIVE_HOME", str(tmp_path))
    place = get("fashion-mnist", source=fashion_mnist_folder)
    assert place == tmp_path / "data" / "fashion-mnist"
    assert names(tmp_path) == sorted(PUBLISHED["fashion-mnist"].files)
    assert len(load("fashion-mnist", limit=30).train) == 30


def test_data_that_is_there_is_left_alone_and_damaged_data_is_replaced(
    fashion_mnist_folder: Path, tmp_path: Path
) -> None:
    target = tmp_path / "data"
    get("fashion-mnist", source=fashion_mnist_folder, folder=target)
    before = target.stat().st_ino
    get("fashion-mnist", source=tmp_path / "nowhere", folder=target)
    assert target.stat().st_ino == before
    damaged = target / "train-labels-idx1-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:1000])
    get("fashion-mnist", source=fashion_mnist_folder, folder=target)
    assert len(load("fashion-mnist", folder=target, limit=30).train) == 30
    assert names(tmp_path) == sorted(PUBLISHED["fashion-mnist"].files)


def test_unpacked_idx_files_will_do(fashion_mnist_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "unpacked"
    source.mkdir()
    for path in fashion_mnist_folder.glob("*.gz"):
        (source / path.stem).write_bytes(gzip.decompress(path.read_bytes()))
    get("fashion-mnist", source=source, folder=tmp_path / "data")
    assert len(load("fashion-mnist", folder=tmp_path / "data", limit=30).test) == 30


@pytest.mark.parametrize("inside", [False, True])
def test_cifar10_comes_from_its_folder_or_the_one_above(cifar10_folder: Path, tmp_path: Path, inside: bool) -> None:
    get("cifar10", source=cifar10_folder if inside else cifar10_folder.parent, folder=tmp_path / "data")
    assert names(tmp_path) == sorted(PUBLISHED["cifar10"].files)


def test_a_file_with_another_digest_is_refused_and_nothing_is_kept(cifar10_folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for path in cifar10_folder.glob("*.bin"):
        (source / path.name).symlink_to(path)
    content = bytearray((source / "data_batch_5.bin").read_bytes())
    content[-1] ^= 1
    (source / "data_batch_5.bin").unlink()
    (source / "data_batch_5.bin").write_bytes(content)
    with pytest.raises(MissingData, match=r"data_batch_5\.bin has the MD5 .* but 53f37980c15c3d472c316c40844f3f0d was"):
        get("cifar10", source=source, folder=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


@pytest.mark.parametrize("beside", [False, True])
def test_an_archive_is_unpacked_without_leaving_its_place(cifar100: Path, tmp_path: Path, beside: bool) -> None:
    target = tmp_path / "deep" / "data"
    get("cifar100", source=cifar100.parent if beside else cifar100, folder=target)
    assert names(tmp_path) == CIFAR100_FILES
    assert not any(path.is_symlink() for path in tmp_path.rglob("*"))
    assert (target / "train.bin").stat().st_size == 50_000 * 3074


def test_a_download_is_checked_unpacked_and_put_in_place(
    cifar100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official(monkeypatch, "cifar100", cifar100.as_uri(), md5(cifar100))
    seen: list[tuple[int, int]] = []
    get("cifar100", folder=tmp_path / "data", progress=lambda done, total: seen.append((done, total)))
    assert names(tmp_path) == CIFAR100_FILES
    assert seen[-1][0] == cifar100.stat().st_size


def test_a_download_with_another_digest_is_refused_and_nothing_is_kept(
    cifar100: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    official(monkeypatch, "cifar100", cifar100.as_uri(), "0" * 32)
    with pytest.raises(MissingData, match=f"MD5 {md5(cifar100)}, but {'0' * 32} was expected"):
        get("cifar100", folder=tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_without_a_network_the_other_way_is_named(tmp_path: Path) -> None:
    def unreachable(address: str) -> AbstractContextManager[IO[bytes]]:
        raise urllib.error.URLError(f"no route to {address}")

    message = "could not be downloaded .*run `ogive data get cifar10 --from cifar-10-binary.tar.gz`"
    with pytest.raises(MissingData, match=message):
        get("cifar10", folder=tmp_path / "data", opener=unreachable)
    assert list(tmp_path.iterdir()) == []


def test_the_official_addresses_and_digests_are_asked_for(tmp_path: Path) -> None:
    # The addresses and MD5s that the authors publish beside the files.
    asked: list[str] = []

    def empty(address: str) -> io.BytesIO:
        asked.append(address)
        return io.BytesIO(b"")

    with pytest.raises(MissingData, match="c32a1d4ab5d03f1284b67883e8d87530 was expected"):
        get("cifar10", folder=tmp_path / "data", opener=empty)
    with pytest.raises(MissingData, match="03b5dce01913d631647c71ecec9e9cb8 was expected"):
        get("cifar100", folder=tmp_path / "data", opener=empty)
    with pytest.raises(MissingData, match="8d4fb7e6c68d591d4c3dfef9ec88bf0d was expected"):
        get("fashion-mnist", folder=tmp_path / "data", opener=empty)
    assert asked == [
        "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-binary.tar.gz",
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/train-images-idx3-ubyte.gz",
    ]


@pytest.mark.parametrize("kept", [0, 100, 100_000])
def test_a_truncated_archive_is_refused(cifar100: Path, tmp_path: Path, kept: int) -> None:
    archive = tmp_path / "cifar-100-binary.tar.gz"
    archive.write_bytes(cifar100.read_bytes()[:kept])
    with pytest.raises(MissingData, match=r"cifar-100-binary\.tar\.gz is no complete archive of CIFAR-100"):
        get("cifar100", source=archive, folder=tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == [archive.name]


def test_an_archive_without_the_files_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "other.tar"
    with tarfile.open(archive, "w") as tar:
        tar.addfile(tarfile.TarInfo("readme.txt"), io.BytesIO(b""))
    with pytest.raises(MissingData, match=r"CIFAR-100 needs train\.bin, which is not there"):
        get("cifar100", source=archive, folder=tmp_path / "data")


def test_a_folder_without_the_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MissingData, match=r"holds neither data_batch_1.bin.* nor the archive of CIFAR-10"):
        get("cifar10", source=tmp_path, folder=tmp_path / "data")


def test_only_published_data_can_be_got(tmp_path: Path) -> None:
    with pytest.raises(UnknownName, match=r"no data set to get named 'cifar'. Did you mean 'cifar10'"):
        get("cifar", folder=tmp_path)


def test_a_full_disk_is_an_error_that_says_so_and_nothing_is_kept(fashion_mnist_folder: Path, tmp_path: Path) -> None:
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))  # no file may grow beyond 100 kB
    try:
        with pytest.raises(MissingData, match=r"Fashion-MNIST could not be written to .*make room there"):
            get("fashion-mnist", source=fashion_mnist_folder, folder=tmp_path / "data")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert list(tmp_path.iterdir()) == []
