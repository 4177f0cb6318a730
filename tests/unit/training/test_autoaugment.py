from __future__ import annotations

import collections
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.training.autoaugment import CIFAR10_POLICY, OPERATIONS, _level, autoaugment

Image = pytest.importorskip(
    "PIL.Image", reason="The operations are compared with Pillow's: pip install 'ogive[images]'"
)
ImageEnhance = pytest.importorskip("PIL.ImageEnhance")
ImageOps = pytest.importorskip("PIL.ImageOps")
GREY = (128, 128, 128)


def pictures(count: int = 6, side: int = 32) -> Tensor:
    """Smooth random pictures of narrow range, so that stretching and equalising them has something to do."""
    draw = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, 5, 5), generator=draw)
    fine = torch.nn.functional.interpolate(coarse, size=(side, side), mode="bilinear")
    return (40 + 150 * fine + 10 * torch.rand(fine.shape, generator=draw)).to(torch.uint8)


def by_pillow(images: Tensor, change: Callable[[object], object]) -> Tensor:
    made = [np.asarray(change(Image.fromarray(image.permute(1, 2, 0).numpy()))) for image in images]
    return torch.from_numpy(np.stack(made)).permute(0, 3, 1, 2)


def moved(matrix: tuple[float, ...]) -> Callable[[object], object]:
    return lambda image: image.transform(image.size, Image.Transform.AFFINE, matrix, fillcolor=GREY)  # type: ignore[attr-defined]


EXACT = [
    ("invert", 0.0, ImageOps.invert),
    ("autocontrast", 0.0, ImageOps.autocontrast),
    ("equalize", 0.0, ImageOps.equalize),
    ("posterize", 5, lambda image: ImageOps.posterize(image, 5)),
    ("solarize", 100.0, lambda image: ImageOps.solarize(image, 100)),
    ("color", 0.7, lambda image: ImageEnhance.Color(image).enhance(1.7)),
    ("color", -0.7, lambda image: ImageEnhance.Color(image).enhance(0.3)),
    ("brightness", 0.9, lambda image: ImageEnhance.Brightness(image).enhance(1.9)),
    ("brightness", -0.4, lambda image: ImageEnhance.Brightness(image).enhance(0.6)),
    ("contrast", 0.8, lambda image: ImageEnhance.Contrast(image).enhance(1.8)),
    ("contrast", -0.8, lambda image: ImageEnhance.Contrast(image).enhance(0.2)),
    ("sharpness", 0.9, lambda image: ImageEnhance.Sharpness(image).enhance(1.9)),
    ("sharpness", -0.9, lambda image: ImageEnhance.Sharpness(image).enhance(0.1)),
    ("translate_x", 9.0, moved((1, 0, 9, 0, 1, 0))),
    ("translate_y", -14.0, moved((1, 0, 0, 0, 1, -14))),
    ("shear_x", -0.3, moved((1, -0.3, 0, 0, 1, 0))),
    ("shear_y", -0.3, moved((1, 0, 0, -0.3, 1, 0))),
    ("rotate", 20.0, lambda image: image.rotate(20, fillcolor=GREY)),
    ("rotate", -30.0, lambda image: image.rotate(-30, fillcolor=GREY)),
]


@pytest.mark.parametrize(("name", "level", "change"), EXACT, ids=[f"{name}{level:+g}" for name, level, _ in EXACT])
def test_every_operation_does_what_pillows_does(name: str, level: float, change: Callable[[object], object]) -> None:
    images = pictures()
    found, expected = OPERATIONS[name](images, level), by_pillow(images, change)
    different = (found != expected).double().mean().item()
    # Pillow computes positions and mixtures with fewer digits, which tips a value over an edge now and then.
    if name in ("shear_y", "rotate"):
        assert different < 0.01
    else:
        assert (found.int() - expected.int()).abs().max() <= 1
        assert different < 0.002


def test_flat_images_are_neither_stretched_nor_equalised() -> None:
    flat = torch.full((2, 3, 8, 8), 77, dtype=torch.uint8)
    for name in ("autocontrast", "equalize"):
        assert torch.equal(OPERATIONS[name](flat, 0.0), flat)


def test_magnitudes_mean_what_torchvision_says() -> None:
    assert _level("shear_y", 9, 32) == pytest.approx(0.3)
    assert _level("translate_y", 9, 32) == 14  # 150 / 331 of the side, cut off
    assert _level("rotate", 3, 32) == pytest.approx(10)
    assert [_level("posterize", magnitude, 32) for magnitude in range(10)] == [8, 8, 7, 7, 6, 6, 5, 5, 4, 4]
    assert _level("solarize", 0, 32) == 255
    assert _level("brightness", 9, 32) == pytest.approx(0.9)


def test_the_policy_has_twenty_five_pairs_of_known_operations() -> None:
    assert len(CIFAR10_POLICY) == 25
    for step in (step for pair in CIFAR10_POLICY for step in pair):
        assert step[0] in OPERATIONS
        assert 0 <= step[1] <= 1
        assert 0 <= step[2] <= 9
    names = collections.Counter(step[0] for pair in CIFAR10_POLICY for step in pair)
    assert names["equalize"] == 9


def test_images_are_changed_as_the_generator_says_and_the_argument_is_not() -> None:
    images = pictures(200, 16)
    before = images.clone()
    first, second, third = (autoaugment(images, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2))
    assert torch.equal(images, before)
    assert torch.equal(first, second)
    assert not torch.equal(first, third)
    assert first.dtype == torch.uint8
    # By the probabilities of the policy 22 % are left alone; of others, a few are changed into themselves.
    unchanged = (first == images).flatten(1).all(1).double().mean().item()
    assert 0.12 < unchanged < 0.4


def test_pictures_in_grey_stay_in_grey() -> None:
    images = pictures(50, 16)[:, :1]
    assert autoaugment(images, torch.Generator().manual_seed(0)).shape == images.shape


def test_what_is_not_made_of_bytes_is_refused() -> None:
    with pytest.raises(SpecError, match="images of bytes"):
        autoaugment(torch.zeros(1, 3, 8, 8), torch.Generator())
    with pytest.raises(SpecError, match="1 or 3 channels"):
        autoaugment(torch.zeros(1, 2, 8, 8, dtype=torch.uint8), torch.Generator())
