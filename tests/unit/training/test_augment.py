from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from ogive.core.errors import SpecError
from ogive.training import augment


def stream(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_a_crop_moves_the_whole_image_by_at_most_the_padding_and_fills_with_zeros() -> None:
    images = torch.arange(1, 1 + 200 * 2 * 5 * 5, dtype=torch.int32).reshape(200, 2, 5, 5)
    moved = augment.crop(images, 2, stream())
    seen = set()
    for before, after in zip(images, moved, strict=True):
        padded = torch.nn.functional.pad(before, (2, 2, 2, 2))
        windows = {(y, x): padded[:, y : y + 5, x : x + 5] for y in range(5) for x in range(5)}
        fits = [place for place, window in windows.items() if torch.equal(window, after)]
        assert len(fits) == 1
        seen.add(fits[0])
    assert seen == {(y, x) for y in range(5) for x in range(5)}


def test_a_crop_without_padding_changes_nothing() -> None:
    images = torch.rand(3, 1, 4, 4, generator=stream())
    assert torch.equal(augment.crop(images, 0, stream()), images)


def test_a_flip_mirrors_about_half_of_the_images_and_leaves_the_others() -> None:
    images = torch.rand(1000, 1, 2, 3, generator=stream())
    flipped = augment.flip(images, stream(1))
    same = (flipped == images).flatten(1).all(1)
    mirrored = (flipped == images.flip(3)).flatten(1).all(1)
    assert (same ^ mirrored).all()
    assert 430 < int(mirrored.sum()) < 570  # more than four standard deviations


def test_cutout_blanks_one_square_clipped_at_the_border_in_every_channel() -> None:
    images = torch.ones(500, 2, 8, 8)
    cut = augment.cutout(images, 4, stream())
    areas = set()
    for image in cut:
        assert torch.equal(image[0], image[1])
        rows, columns = (image[0] == 0).any(1), (image[0] == 0).any(0)
        assert torch.equal(image[0] == 0, rows[:, None] & columns[None])
        areas.add((int(rows.sum()), int(columns.sum())))
    # A square of side 4 around pixel y covers rows y-2 .. y+1 of 0 .. 7.
    assert areas == {(a, b) for a in (2, 3, 4) for b in (2, 3, 4)}


def test_cutout_of_odd_side_is_that_wide() -> None:
    kept = augment.uncovered(400, 9, 9, 3, stream())
    assert int((~kept).sum((1, 2)).max()) == 9


def test_mixing_weights_have_the_moments_of_a_beta_distribution() -> None:
    generator = stream()
    for alpha in (0.2, 1.0):
        draws = torch.tensor([augment.mixing_weight(alpha, generator) for _ in range(4000)], dtype=torch.float64)
        assert ((draws >= 0) & (draws <= 1)).all()
        assert draws.mean().item() == pytest.approx(0.5, abs=0.03)
        # The variance of Beta(a, a) is 1 / (4 (2 a + 1)).
        assert draws.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.06)


def test_a_mixup_beyond_its_range_is_refused() -> None:
    with pytest.raises(SpecError, match=r"mixup must be in \(0, 1\], but got 2"):
        augment.mixing_weight(2, stream())


def test_equal_streams_change_images_equally() -> None:
    images = torch.rand(20, 3, 8, 8, generator=stream())
    changes: list[Callable[[torch.Generator], torch.Tensor]] = [
        lambda generator: augment.crop(images, 2, generator),
        lambda generator: augment.flip(images, generator),
        lambda generator: augment.cutout(images, 4, generator),
    ]
    for change in changes:
        assert torch.equal(change(stream(5)), change(stream(5)))
        assert not torch.equal(change(stream(5)), change(stream(6)))
