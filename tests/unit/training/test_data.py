from __future__ import annotations

import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.data import Data, from_dataset, from_loaders, load
from ogive.training.pictures import first_of_each, stratified


def rows(data: Data) -> list[bytes]:
    """Every image of the three splits, as bytes."""
    return [image.numpy().tobytes() for split in (data.train, data.val, data.test) for image in split.images]


@pytest.fixture(scope="module")
def digits() -> Data:
    return load("digits")


def test_digits_are_divided_once_and_for_all(digits: Data) -> None:
    assert (len(digits.train), len(digits.val), len(digits.test)) == (1010, 337, 450)
    assert digits.shape == (1, 8, 8)
    assert digits.classes == tuple("0123456789")
    assert digits.digest == load("digits").digest
    assert load("digits", seed=Seed(1)).digest != digits.digest


def test_the_splits_of_digits_share_no_image_and_leave_none_out(digits: Data) -> None:
    from sklearn.datasets import load_digits

    original = [np.rint(image * 255 / 16).astype(np.uint8).tobytes() for image in load_digits().images]
    assert sorted(rows(digits)) == sorted(original)


def test_every_split_has_every_class_by_its_share(digits: Data) -> None:
    whole = sum(split.labels.bincount() for split in (digits.train, digits.val, digits.test))
    for split in (digits.train, digits.val, digits.test):
        share = len(split) / 1797
        assert (split.labels.bincount() - share * whole).abs().max() <= 1


def test_digits_are_shifted_but_never_mirrored(digits: Data) -> None:
    assert digits.augmentation == Augmentation(padding=1, flip=False)


def test_digits_grow_to_the_size_asked_for(digits: Data) -> None:
    large = load("digits", size=16)
    assert large.shape == (1, 16, 16)
    assert large.train.images.dtype == torch.uint8
    assert large.augmentation.padding == 2
    assert torch.equal(large.train.labels, digits.train.labels)
    means = large.train.images.float().mean((1, 2, 3)) - digits.train.images.float().mean((1, 2, 3))
    assert means.abs().max() < 8  # the same pictures, of 255 grey levels


def test_normalised_training_images_have_mean_0_and_standard_deviation_1(digits: Data) -> None:
    pixels = digits.normalised(digits.train.images, torch.float64)
    assert pixels.mean().item() == pytest.approx(0, abs=1e-12)
    assert pixels.std(correction=0).item() == pytest.approx(1, abs=1e-12)
    assert digits.normalised(digits.train.images[:2]).dtype == torch.float32


def test_a_limit_keeps_so_many_images_of_each_split_in_balance() -> None:
    small = load("digits", limit=50)
    assert (len(small.train), len(small.val), len(small.test)) == (50, 50, 50)
    assert small.train.labels.bincount().tolist() == [5] * 10


def test_joined_data_trains_on_the_validation_images_too(digits: Data) -> None:
    joined = digits.joined()
    assert len(joined.train) == 1347
    assert torch.equal(joined.train.images[1010:], digits.val.images)
    assert joined.test is digits.test


def test_data_travels_to_another_process_by_value(digits: Data) -> None:
    copy = pickle.loads(pickle.dumps(digits))
    assert copy.digest == digits.digest
    assert torch.equal(copy.val.images, digits.val.images)


def test_the_digest_sees_pixels_labels_and_order(digits: Data) -> None:
    turned = replace(digits.train, labels=digits.train.labels.flip(0))
    assert replace(digits, train=turned).digest != digits.digest
    brighter = replace(digits.test, images=digits.test.images + 1)
    assert replace(digits, test=brighter).digest != digits.digest


def test_an_unknown_data_set_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'cifar10'"):
        load("cifar-10")
    with pytest.raises(UnknownName, match="no data set named 'images:'"):
        load("images:")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 0}, "size must be at least 1, but got 0"),
        ({"size": 100_000}, "size must be at most 4096 pixels a side, but got 100000"),
        ({"limit": -1}, "limit must be at least 1, but got -1"),
        ({"validation": 1.0}, "between 0 and 1, but got 1.0"),
    ],
)
def test_nonsense_is_refused(options: dict[str, float], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load("digits", **options)  # type: ignore[arg-type]


def test_images_that_do_not_fit_into_memory_are_refused_before_they_are_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 1_000_000, "SC_PAGE_SIZE": 1}.__getitem__)
    # 1,797 images of 24 x 24 bytes are 1.04 million; of 23 x 23 they are 0.95 million.
    with pytest.raises(SpecError, match=r"digits at size=24 \(1797×1×24×24\) would take .*give a smaller size"):
        load("digits", size=24)
    assert load("digits", size=23).shape == (1, 23, 23)
    assert load("digits", size=24, limit=10).shape == (1, 24, 24)


# -- dividing ----------------------------------------------------------------------------------------------------------


def test_a_division_gives_each_class_its_share_and_leaves_one_of_each() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 2])
    kept, off = stratified(labels, 20, Seed(0).numpy("x"))
    assert len(off) == 20
    assert sorted([*kept, *off]) == list(range(92))
    assert np.bincount(labels[off]).tolist() == [13, 6, 1]
    assert np.bincount(labels[kept])[2] == 1


def test_the_first_of_each_class_are_kept_in_order() -> None:
    labels = np.array([0, 0, 0, 1, 0, 1, 1, 0])
    assert first_of_each(labels, 5).tolist() == [0, 1, 2, 3, 5]
    assert first_of_each(labels, 100).tolist() == list(range(8))


# -- from Python -------------------------------------------------------------------------------------------------------


class Pairs:
    """A dataset in torch's sense, with names for its classes."""

    classes = ("cat", "dog")

    def __init__(self, count: int, form: str = "tensor") -> None:
        rng = Seed(0).numpy("pairs")
        self.images = rng.integers(0, 256, (count, 5, 7, 3)).astype(np.uint8)
        self.form = form

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[object, int]:
        image = self.images[index]
        if self.form == "tensor":
            return torch.from_numpy(image).permute(2, 0, 1), index % 2
        if self.form == "pillow":
            from PIL import Image

            return Image.fromarray(image), index % 2
        return image, index % 2


@pytest.mark.parametrize("form", ["tensor", "array", "pillow"])
def test_a_dataset_of_tensors_arrays_or_pillow_images_is_held_in_memory(form: str) -> None:
    data = from_dataset(Pairs(50, form), Pairs(10, form))
    assert data.shape == (3, 5, 7)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (40, 10, 10)
    expected = torch.from_numpy(Pairs(50).images).permute(0, 3, 1, 2)
    whole = {image.numpy().tobytes() for image in expected}
    assert {image.numpy().tobytes() for image in data.joined().train.images} == whole


def test_a_dataset_without_a_test_part_is_divided_into_three() -> None:
    data = from_dataset(Pairs(50))
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 10)
    assert len(set(rows(data))) == 50


def test_images_of_several_sizes_are_refused() -> None:
    class Uneven(Pairs):
        def __getitem__(self, index: int) -> tuple[object, int]:
            return torch.zeros(3, 5, 5 + index % 2), index % 2

    with pytest.raises(SpecError, match=r"one shape .* has \(3, 5, 5\) and \(3, 5, 6\): resize them"):
        from_dataset(Uneven(10))


def loader(count: int, classes: int = 2) -> DataLoader[tuple[torch.Tensor, ...]]:
    images = torch.rand(count, 1, 4, 4, generator=torch.Generator().manual_seed(count))
    return DataLoader(TensorDataset(images, torch.arange(count) % classes), batch_size=7)


def test_loaders_are_run_through_once_and_held_as_they_are() -> None:
    data = from_loaders(loader(40), loader(10), loader(20), classes=("a", "b"))
    assert (len(data.train), len(data.val), len(data.test)) == (40, 10, 20)
    images = torch.cat([batch[0] for batch in loader(40)])
    assert torch.equal(data.train.images, images)
    assert data.classes == ("a", "b")


def test_loaders_without_a_test_part_set_a_fifth_of_the_training_images_aside() -> None:
    data = from_loaders(loader(40), loader(10))
    assert (len(data.train), len(data.val), len(data.test)) == (32, 10, 8)


def test_an_empty_loader_is_refused() -> None:
    def nothing() -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        yield from ()

    with pytest.raises(SpecError, match=r"loaders \(val\) holds no images"):
        from_loaders(loader(40), nothing())


def test_a_label_that_only_the_validation_part_has_is_refused() -> None:
    with pytest.raises(SpecError, match="val part of loaders has the label 2, which no training image has"):
        from_loaders(loader(40), loader(10, classes=3))


def test_a_class_too_small_to_be_divided_is_named() -> None:
    labels = torch.tensor([0] * 20 + [1] * 2)
    images = torch.rand(22, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(SpecError, match=r"The class '1' of dataset has 2 training image\(s\), but 3 are the least"):
        from_dataset(TensorDataset(images, labels))


# -- arrays ------------------------------------------------------------------------------------------------------------


def npz(tmp_path: Path, **arrays: object) -> str:
    np.savez(tmp_path / "x.npz", **arrays)  # type: ignore[arg-type]
    return f"arrays:{tmp_path / 'x.npz'}"


def grey(count: int) -> np.ndarray:
    return Seed(count).numpy("grey").integers(0, 256, (count, 6, 5)).astype(np.uint8)


def test_an_archive_of_x_and_y_is_divided_into_three(tmp_path: Path) -> None:
    data = load(npz(tmp_path, x=grey(50), y=np.array(["cat", "dog"] * 25)))
    assert data.shape == (1, 6, 5)
    assert data.classes == ("cat", "dog")
    assert (len(data.train), len(data.val), len(data.test)) == (32, 8, 10)
    assert data.augmentation == Augmentation()  # what the arrays show is not known


def test_the_parts_of_an_archive_are_kept(tmp_path: Path) -> None:
    parts = {"x_train": grey(20), "x_val": grey(8), "x_test": grey(4)}
    labels = {name.replace("x", "y"): np.arange(len(x)) % 2 + 5 for name, x in parts.items()}
    data = load(npz(tmp_path, **parts, **labels))
    assert data.classes == ("5", "6")
    assert torch.equal(data.val.images[:, 0], torch.from_numpy(grey(8)))
    assert data.test.labels.tolist() == [0, 1, 0, 1]


def test_channels_may_stand_last_and_pixels_may_be_floats(tmp_path: Path) -> None:
    images = np.linspace(-1, 1, 20 * 6 * 5 * 3).reshape(20, 6, 5, 3)
    data = load(npz(tmp_path, x=images, y=np.arange(20) % 2))
    assert data.shape == (3, 6, 5)
    assert data.train.images.dtype == torch.float32
    pixels = data.normalised(data.train.images, torch.float64)
    torch.testing.assert_close(pixels.mean((0, 2, 3)), torch.zeros(3, dtype=torch.float64), atol=1e-6, rtol=0)


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(9, int)}, "has 1 class"),
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(8, int)}, r"one label for each image, but y of .* \(8,\) for 9"),
        ({"x": np.zeros((9, 4)), "y": np.zeros(9, int)}, r"\(N, C, H, W\).* has \(9, 4\)"),
        ({"x": np.full((9, 4, 4), np.nan), "y": np.zeros(9, int)}, "must be finite"),
        ({"x": np.zeros((9, 4, 4)), "y": np.zeros(9) + 0.5}, "Labels must be integers or strings"),
        ({"images": np.zeros((9, 4, 4))}, "must hold x_train and y_train .* it holds images"),
        ({"x": np.zeros((9, 4, 4)), "y": np.arange(9) % 3, "x_test": np.zeros((2, 4, 4))}, "x_test and y_test without"),
        ({"x": np.array([{}, {}]), "y": np.zeros(2, int)}, "no readable .npz archive of plain arrays"),
        (
            {
                "x_train": np.zeros((9, 4, 4)),
                "y_train": np.arange(9) % 3,
                "x_test": np.zeros((9, 5, 5)),
                "y_test": np.arange(9) % 3,
            },
            r"one shape .* \(1, 4, 4\) in train and \(1, 5, 5\) in test",
        ),
    ],
)
def test_an_archive_that_makes_no_sense_is_refused(tmp_path: Path, arrays: dict[str, object], message: str) -> None:
    with pytest.raises(SpecError, match=message):
        load(npz(tmp_path, **arrays))


@pytest.mark.parametrize("kept", [0.0, 0.5, 0.99])
def test_a_truncated_archive_is_refused_with_its_name(tmp_path: Path, kept: float) -> None:
    name = npz(tmp_path, x=grey(50), y=np.arange(50) % 2)
    path = tmp_path / "x.npz"
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(SpecError, match=r"x\.npz is no readable"):
        load(name)


def test_a_single_array_is_no_archive(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", grey(5))
    with pytest.raises(SpecError, match=r"x\.npy is no readable \.npz archive"):
        load(f"arrays:{tmp_path / 'x.npy'}")


def test_an_archive_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere\.npz: there is no such file"):
        load(f"arrays:{tmp_path / 'nowhere.npz'}")
