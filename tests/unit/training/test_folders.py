from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from ogive.core.errors import MissingData, SpecError
from ogive.core.rng import Seed
from ogive.training.augment import Augmentation
from ogive.training.data import load


def picture(path: Path, value: int, *, size: tuple[int, int] = (8, 6), mode: str = "RGB") -> None:
    """A picture of one colour, with a dot so that no two are the same."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.new(mode, size, value if mode in ("L", "1") else (value, 0, 255 - value, 255)[: len(mode)])
    image.save(path)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Ten red and ten blue pictures of 8 x 6 pixels."""
    for index in range(10):
        picture(tmp_path / "red" / f"{index}.png", 255 - index)
        picture(tmp_path / "blue" / "deeper" / f"{index}.PNG", index)
    (tmp_path / "red" / "notes.txt").write_text("no image")
    (tmp_path / ".cache").mkdir()
    return tmp_path


def test_a_folder_of_class_folders_becomes_data(folder: Path) -> None:
    data = load(f"images:{folder}")
    assert data.classes == ("blue", "red")
    assert data.shape == (3, 6, 8)
    assert (len(data.train), len(data.val), len(data.test)) == (13, 3, 4)
    for split in (data.train, data.val, data.test):
        red = split.images[:, 0, 0, 0] > 128
        assert torch.equal(red.long(), split.labels)
    assert data.augmentation == Augmentation(padding=0, flip=True)


def test_the_division_does_not_depend_on_the_order_of_the_file_system(folder: Path, tmp_path: Path) -> None:
    first = load(f"images:{folder}")
    for index in reversed(range(10)):  # the files are made anew, in another order
        path = folder / "red" / f"{index}.png"
        content = path.read_bytes()
        path.unlink()
        path.write_bytes(content)
    assert load(f"images:{folder}").digest == first.digest
    assert load(f"images:{folder}", seed=Seed(1)).digest != first.digest


def test_the_parts_of_a_folder_are_kept(tmp_path: Path) -> None:
    for part, count in (("train", 6), ("valid", 3), ("test", 2)):
        for index in range(count):
            picture(tmp_path / part / "red" / f"{index}.png", 255 - index)
            picture(tmp_path / part / "blue" / f"{index}.png", index)
    data = load(f"images:{tmp_path}")
    assert (len(data.train), len(data.val), len(data.test)) == (12, 6, 4)


def test_images_of_several_sizes_are_brought_to_one(folder: Path) -> None:
    picture(folder / "red" / "large.png", 200, size=(40, 20))
    assert load(f"images:{folder}").shape == (3, 64, 64)
    small = load(f"images:{folder}", size=16)
    assert small.shape == (3, 16, 16)
    assert small.augmentation.padding == 2


def test_an_image_is_cropped_at_the_middle_of_its_long_side(tmp_path: Path) -> None:
    for name, colour in (("a", 60), ("b", 120)):
        for index in range(3):
            values = np.zeros((10, 30, 3), np.uint8)
            values[:, 10:20] = colour + index
            (tmp_path / name).mkdir(exist_ok=True)
            Image.fromarray(values).save(tmp_path / name / f"{index}.png")
    data = load(f"images:{tmp_path}", size=10)
    assert data.joined().train.images.min() >= 60


def test_grey_images_have_one_channel_and_others_can_be_made_so(folder: Path, tmp_path: Path) -> None:
    assert load(f"images:{folder}", channels=1).shape == (1, 6, 8)
    grey = tmp_path / "grey"
    for index in range(3):
        for name in ("a", "b"):
            picture(grey / name / f"{index}.png", 40 * index, mode="L")
    assert load(f"images:{grey}").shape == (1, 6, 8)
    assert load(f"images:{grey}", channels=3).shape == (3, 6, 8)


def test_transparency_is_dropped_and_sixteen_bits_are_scaled(tmp_path: Path) -> None:
    for index in range(3):
        picture(tmp_path / "rgba" / "a" / f"{index}.png", 250 + index, mode="RGBA")
        picture(tmp_path / "rgba" / "b" / f"{index}.png", index, mode="RGBA")
        for name, level in (("a", 65535), ("b", 0)):
            path = tmp_path / "deep" / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((4, 4), level, np.uint16)).save(path)
    assert load(f"images:{tmp_path / 'rgba'}").shape == (3, 6, 8)
    deep = load(f"images:{tmp_path / 'deep'}")
    assert deep.shape == (1, 4, 4)
    assert deep.joined().train.images.unique().tolist() == [0, 255]


def test_an_image_is_turned_as_its_camera_noted(tmp_path: Path) -> None:
    for name in ("a", "b"):
        for index in range(3):
            path = tmp_path / name / f"{index}.jpg"
            path.parent.mkdir(exist_ok=True)
            image = Image.new("RGB", (8, 6), (index, 0, 0))
            exif = image.getexif()
            exif[0x0112] = 6  # orientation: to be turned by a quarter
            image.save(path, exif=exif)
    assert load(f"images:{tmp_path}").shape == (3, 8, 6)


def test_progress_counts_the_images(folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    load(f"images:{folder}", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 20) for done in range(1, 21)]


# -- what is wrong with a folder ---------------------------------------------------------------------------------------


def test_a_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"nowhere: there is no such folder"):
        load(f"images:{tmp_path / 'nowhere'}")


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    (tmp_path / "red").mkdir()
    with pytest.raises(SpecError, match="holds no images: every class needs a sub-folder"):
        load(f"images:{tmp_path}")


def test_images_without_class_folders_are_refused(tmp_path: Path) -> None:
    picture(tmp_path / "1.png", 3)
    with pytest.raises(SpecError, match="holds no images: every class needs a sub-folder"):
        load(f"images:{tmp_path}")


def test_a_single_class_is_refused_with_its_name(folder: Path) -> None:
    shutil.rmtree(folder / "blue")
    with pytest.raises(SpecError, match="holds one class, 'red', but two are the least"):
        load(f"images:{folder}")


def test_an_empty_class_is_refused_with_its_name(folder: Path) -> None:
    (folder / "green").mkdir()
    with pytest.raises(SpecError, match=r"The class folder .*green holds no images"):
        load(f"images:{folder}")


@pytest.mark.parametrize("content", [b"", b"no image at all", None])
@pytest.mark.parametrize("size", [None, 8])
def test_a_broken_image_is_refused_with_its_name(folder: Path, content: bytes | None, size: int | None) -> None:
    path = folder / "red" / "3.png"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(SpecError, match=r"3\.png cannot be read as an image .*remove or replace it"):
        load(f"images:{folder}", size=size)


def test_mixed_channels_are_refused_with_two_files_and_the_way_out(folder: Path) -> None:
    picture(folder / "red" / "grey.png", 7, mode="L")
    with pytest.raises(SpecError, match=r"0\.PNG has 3 and .*grey\.png has 1: convert them, or set channels="):
        load(f"images:{folder}")
    assert load(f"images:{folder}", channels=3).shape == (3, 6, 8)


def test_a_class_that_only_the_test_part_has_is_refused(folder: Path) -> None:
    for part in ("train", "test"):
        for name in ("red", "blue"):
            shutil.copytree(folder / name, folder / "parted" / part / name)
    shutil.copytree(folder / "red", folder / "parted" / "test" / "green")
    with pytest.raises(SpecError, match="green is a class that the training folder does not have"):
        load(f"images:{folder / 'parted'}")


def test_a_class_with_two_images_cannot_be_divided(folder: Path) -> None:
    for index in range(2, 10):
        (folder / "red" / f"{index}.png").unlink()
    with pytest.raises(SpecError, match=r"class 'red' .* has 2 training image"):
        load(f"images:{folder}")


def test_without_pillow_the_way_to_get_it_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MissingData, match=r"pip install 'ogive\[images\]'"):
        load(f"images:{folder}")


def test_a_folder_that_does_not_fit_into_memory_is_refused_before_it_is_decoded(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "sysconf", {"SC_PHYS_PAGES": 100_000, "SC_PAGE_SIZE": 1}.__getitem__)
    with pytest.raises(SpecError, match=r"20×1×72×72.* would take .*give a smaller size"):
        load(f"images:{folder}", size=72)
    with pytest.raises(SpecError, match=r"20×3×48×48.* would take .*give a smaller size"):
        load(f"images:{folder}", size=48)
    assert load(f"images:{folder}", size=40).shape == (3, 40, 40)
