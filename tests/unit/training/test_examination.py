"""What a classifier answers on its test inputs: tallies, confusion and the mistakes of which it is surest."""

from __future__ import annotations

import io
from dataclasses import replace

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from ogive.png import png
from ogive.training.data import PREVIEW, Data, Split, load
from ogive.training.examination import MISTAKES, answered


class Given(nn.Module):
    """Says of the test images, in their order, what it was told to."""

    def __init__(self, logits: Tensor) -> None:
        super().__init__()
        self.logits, self.weight = logits, nn.Parameter(torch.ones(()))

    def forward(self, x: Tensor) -> Tensor:
        return self.logits[: len(x)] * self.weight


def few() -> Data:
    digits = load("digits", limit=3)
    kept = Split(digits.test.images[:6], torch.tensor([0, 0, 1, 1, 2, 2]))
    return replace(digits, test=kept, classes=("a", "b", "c"))


def test_every_answer_is_counted_and_the_surest_mistakes_come_first() -> None:
    data = few()
    said = torch.tensor([0, 1, 1, 1, 0, 2])
    sure = torch.tensor([9.0, 1.0, 9.0, 9.0, 4.0, 9.0])
    logits = torch.zeros(6, 3)
    logits[torch.arange(6), said] = sure
    found = answered(Given(logits), data)
    assert [(one.name, one.count, one.found, one.said) for one in found.tallies] == [
        ("a", 2, 1, 2),
        ("b", 2, 2, 3),
        ("c", 2, 1, 1),
    ]
    assert found.confusion is not None
    assert sorted(found.confusion) == [(0, 0, 1), (0, 1, 1), (1, 1, 2), (2, 0, 1), (2, 2, 1)]
    assert found.confusion[0] == (1, 1, 2)
    # Of three logits, two of them 0: e to the logit over itself and 2.
    assert [(one.truth, one.said, round(one.share, 3)) for one in found.mistakes] == [
        ("c", "a", 0.965),
        ("a", "b", 0.576),
    ]
    seen = np.asarray(Image.open(io.BytesIO(found.mistakes[0].shown.picture)))
    assert np.array_equal(seen, data.test.images[4, 0].numpy())


def test_large_colour_images_are_shown_small_and_not_too_many() -> None:
    rng = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (30, 3, 100, 50), dtype=torch.uint8, generator=rng)
    data = replace(few(), test=Split(images, torch.zeros(30, dtype=torch.int64)), mean=(0.5,) * 3, std=(1.0,) * 3)
    data = replace(data, train=Split(images, torch.zeros(30, dtype=torch.int64)))
    found = answered(Given(torch.tensor([[0.0, 1.0, 0.0]]).expand(30, 3)), data)
    assert len(found.mistakes) == MISTAKES
    assert Image.open(io.BytesIO(found.mistakes[0].shown.picture)).size == (PREVIEW // 2, PREVIEW)
    assert sum(len(one.shown.picture) for one in found.mistakes) < 200_000


def test_images_of_numbers_are_shown_from_their_darkest_to_their_brightest() -> None:
    ramp = torch.linspace(-3, 5, 64).reshape(1, 1, 8, 8).expand(6, 1, 8, 8)
    shown = replace(few(), test=Split(ramp, torch.zeros(6, dtype=torch.int64))).shown(0)
    seen = np.asarray(Image.open(io.BytesIO(shown.picture)))
    assert (seen.min(), seen.max()) == (0, 255)


def test_a_png_holds_the_pixels_it_was_made_of() -> None:
    rng = np.random.default_rng(0)
    for shape in ((3, 5), (4, 2, 3)):
        pixels = rng.integers(0, 256, shape, dtype=np.uint8)
        assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(pixels)))), pixels)
