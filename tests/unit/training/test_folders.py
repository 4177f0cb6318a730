from __future__ import annotations

import os
import re
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


def pair(folder: Path, image: Image.Image, ending: str = "png", **options: object) -> tuple[int, ...]:
    """The first pixel of an image as it is read from a folder that holds nothing else."""
    for name in ("a", "b"):
        for index in range(3):
            path = folder / name / f"{index}.{ending}"
            path.parent.mkdir(parents=True, exist_ok=True)
            image.save(path, **options)
    return tuple(load(f"images:{folder}").train.images[0, :, 0, 0].tolist())


@pytest.mark.parametrize(
    ("mode", "colour", "seen"),
    [
        ("RGBA", (200, 0, 0, 255), (200, 0, 0)),
        ("RGBA", (200, 0, 0, 0), (255, 255, 255)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),  # a fifth of black on white
        ("LA", (100, 0), (255,)),
        ("LA", (0, 51), (204,)),
    ],
)
def test_transparent_images_lie_on_white(
    tmp_path: Path, mode: str, colour: tuple[int, ...], seen: tuple[int, ...]
) -> None:
    assert pair(tmp_path, Image.new(mode, (4, 4), colour)) == seen


def test_a_palette_with_a_transparent_colour_lies_on_white_too(tmp_path: Path) -> None:
    image = Image.new("P", (4, 4), 1)
    image.putpalette([0, 0, 0, 10, 20, 30])
    assert pair(tmp_path / "opaque", image) == (10, 20, 30)
    assert pair(tmp_path / "clear", image, transparency=1) == (255, 255, 255)


@pytest.mark.parametrize(("level", "seen"), [(65535, 255), (0, 0), (32896, 128), (128, 0), (25700, 100)])
def test_sixteen_bits_are_scaled_to_eight(tmp_path: Path, level: int, seen: int) -> None:
    assert pair(tmp_path, Image.fromarray(np.full((4, 4), level, np.uint16))) == (seen,)
    assert pair(tmp_path / "tif", Image.fromarray(np.full((4, 4), level / 65535, np.float32)), "tif") == (seen,)


@pytest.mark.parametrize(
    ("inks", "seen"), [((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 0), (255, 255, 255)), ((0, 0, 0, 255), (0, 0, 0))]
)
def test_inks_become_the_colours_that_they_print(tmp_path: Path, inks: tuple[int, ...], seen: tuple[int, ...]) -> None:
    assert pair(tmp_path / "tif", Image.new("CMYK", (8, 8), inks), "tif") == seen
    read = pair(tmp_path / "jpg", Image.new("CMYK", (8, 8), inks), "jpg", quality=100)
    assert read == pytest.approx(seen, abs=3)


def test_of_an_animation_the_first_picture_is_taken_and_that_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = (Image.new("RGB", (4, 4), colour) for colour in ((250, 0, 0), (0, 250, 0)))
    assert pair(tmp_path, first, "gif", save_all=True, append_images=[second]) == (250, 0, 0)
    assert "6 of 6 images are animated: the first picture of each is taken." in caplog.text


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
    with pytest.raises(MissingData, match=r"nowhere: there is no such folder"):
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
def test_all_broken_images_are_named_or_skipped_and_counted(
    folder: Path, content: bytes | None, size: int | None, caplog: pytest.LogCaptureFixture
) -> None:
    broken = [folder / "red" / "3.png", folder / "blue" / "deeper" / "0.PNG"]
    for path in broken:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) // 2] if content is None else content)
    with pytest.raises(SpecError, match=r"^2 of 20 images cannot be read: .*0\.PNG \(.*; .*3\.png \(.*--skip-broken"):
        load(f"images:{folder}", size=size)
    data = load(f"images:{folder}", size=size, skip_broken=True)
    assert len(data.train) + len(data.val) + len(data.test) == 18
    for split in (data.train, data.val, data.test):
        assert torch.equal((split.images[:, 0, 0, 0] > 128).long(), split.labels)
    assert "2 of 20 images cannot be read and are left out" in caplog.text
    for path in (folder / "red").glob("*.png"):
        path.write_bytes(b"")
    with pytest.raises(SpecError, match="Nothing is left of the class 'red' without its broken images"):
        load(f"images:{folder}", size=size, skip_broken=True)


def test_grey_and_coloured_images_together_are_coloured_and_that_is_said_once(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    picture(folder / "red" / "grey.png", 7, mode="L")
    picture(folder / "blue" / "a_grey_one_first.png", 9, mode="L")
    data = load(f"images:{folder}")
    assert data.shape == (3, 6, 8)
    everything = torch.cat([data.train.images, data.val.images, data.test.images])
    grey = (everything == everything[:, :1]).all(dim=1).all(dim=(1, 2))
    assert sorted(everything[grey][:, 2, 0, 0].tolist()) == [7, 9]
    told = [record.message for record in caplog.records]
    assert told == ["2 of 22 images are grey: all are taken as RGB (channels=1 for grey)."]
    assert load(f"images:{folder}", channels=1).shape == (1, 6, 8)


def test_a_class_may_be_called_train(folder: Path) -> None:
    for index in range(10):
        picture(folder / "train" / f"{index}.png", 100 + index)
    assert load(f"images:{folder}").classes == ("blue", "red", "train")


def test_parts_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    for part in ("train", "test"):
        picture(tmp_path / part / "1.png", 3)
    with pytest.raises(SpecError, match="train holds no images: every class needs a sub-folder"):
        load(f"images:{tmp_path}")


def test_a_path_alone_suggests_what_it_may_be(tmp_path: Path, folder: Path) -> None:
    for name, suggested in (
        (f"{folder}/", f"images:{folder}/"),
        ("t.csv", "csv:t.csv(target=COLUMN)"),
        ("x.npz", "arrays:x.npz"),
    ):
        with pytest.raises(SpecError, match=f"did you mean {re.escape(suggested)}\\?"):
            load(name)
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "ptb.train.txt").touch()
    with pytest.raises(SpecError, match="did you mean text:"):
        load(str(tmp_path / "texts"))
    with pytest.raises(SpecError, match=r"Only files of images:FOLDER can be skipped"):
        load("digits", skip_broken=True)


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
