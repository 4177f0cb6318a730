from __future__ import annotations

import colorsys

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.errors import SpecError
from ogive.training.photographs import (
    AREA,
    RATIO,
    blended,
    central,
    colour_jitter,
    cropped_boxes,
    resized,
    resized_crop,
    turned,
)

pytestmark = pytest.mark.usefixtures("one_thread")


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def pictures(count: int = 8, side: int = 24) -> Tensor:
    return torch.randint(0, 256, (count, 3, side, side), generator=generator(3), dtype=torch.uint8)


def test_boxes_lie_within_the_image_with_the_areas_and_ratios_that_are_allowed() -> None:
    top, left, height, width = cropped_boxes(4000, 60, 80, generator()).double().unbind(1)
    assert torch.minimum(top, left).min() >= 0
    assert (top + height).max() <= 60
    assert (left + width).max() <= 80
    area, ratio = height * width / (60 * 80), width / height
    assert area.min() > AREA[0] * 0.9
    assert area.max() <= AREA[1]
    assert ratio.min() > RATIO[0] * 0.9
    assert ratio.max() < RATIO[1] * 1.1
    assert 0.3 < area.mean() < 0.55  # uniform would have a mean of 0.54, of which the largest do not fit


def test_a_part_is_brought_to_its_size_as_torch_resizes_it_alone() -> None:
    images, boxes = pictures(), cropped_boxes(8, 24, 24, generator(1))
    found = resized(images, boxes, 16)
    for image, (top, left, height, width), one in zip(images, boxes.tolist(), found, strict=True):
        part = image[None, :, top : top + height, left : left + width].float()
        alone = F.interpolate(part, (16, 16), mode="bilinear", align_corners=False)[0]
        assert (one.float() - alone).abs().max() <= 0.51  # rounded to bytes


def test_the_whole_image_at_its_own_size_is_the_image() -> None:
    images = pictures()
    boxes = torch.tensor([[0, 0, 24, 24]] * 8)
    assert torch.equal(resized(images, boxes, 24), images)


def test_every_image_has_a_box_of_its_own_and_equal_draws_give_equal_parts() -> None:
    image = pictures(1).expand(8, -1, -1, -1)
    first, second = (resized_crop(image, 12, generator(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (8, 3, 12, 12)
    assert not any(torch.equal(first[0], other) for other in first[1:])


def test_the_middle_is_where_published_evaluations_look() -> None:
    images = pictures(2, 32)
    assert torch.equal(central(images, 28), images[:, :, 2:30, 2:30])
    with pytest.raises(SpecError, match="The middle 40×40 pixels of images of 32×32 do not exist"):
        central(images, 40)


def test_a_turn_of_the_hue_is_that_of_hsv() -> None:
    images = pictures(4, 6)
    shares = torch.tensor([0.2, -0.2, 0.5, 0.0])
    found = turned(images, shares)
    assert torch.equal(found[3], images[3])
    for image, share, one in zip(images, shares.tolist(), found, strict=True):
        for (red, green, blue), seen in zip(image.flatten(1).T.tolist(), one.flatten(1).T.tolist(), strict=True):
            hue, saturation, value = colorsys.rgb_to_hsv(red / 255, green / 255, blue / 255)
            wanted = [255 * part for part in colorsys.hsv_to_rgb((hue + share) % 1, saturation, value)]
            assert max(abs(a - b) for a, b in zip(seen, wanted, strict=True)) < 0.51


@pytest.mark.parametrize("kind", [0, 1, 2])
def test_factors_act_as_those_of_pillow(kind: int) -> None:
    enhance = pytest.importorskip("PIL.ImageEnhance", reason="compared with Pillow: pip install 'ogive[images]'")
    from PIL import Image

    images = pictures(2)
    found = blended(images, kind, torch.tensor([1.4, 0.6]))
    made = (enhance.Brightness, enhance.Contrast, enhance.Color)[kind]
    for image, factor, one in zip(images, (1.4, 0.6), found, strict=True):
        wanted = made(Image.fromarray(image.permute(1, 2, 0).numpy())).enhance(factor)
        difference = one.permute(1, 2, 0).int() - torch.tensor(list(wanted.get_flattened_data())).view(24, 24, 3)
        assert difference.abs().max() <= 1


def test_jitter_of_zero_changes_nothing_and_any_other_changes_each_image_in_its_own_way() -> None:
    images = pictures(1).expand(6, -1, -1, -1)
    assert torch.equal(colour_jitter(images, 0.0, 0.0, generator()), images)
    changed = colour_jitter(images, 0.4, 0.2, generator())
    assert not any(torch.equal(changed[0], other) for other in (*changed[1:], images[0]))
    assert torch.equal(changed, colour_jitter(images, 0.4, 0.2, generator()))
    grey = colour_jitter(images[:, :1], 0.4, 0.2, generator())
    assert grey.shape == (6, 1, 24, 24)
    with pytest.raises(SpecError, match="images of bytes"):
        colour_jitter(images.float(), 0.4, 0.2, generator())
