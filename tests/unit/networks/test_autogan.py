from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.networks.autogan import Generator, GeneratorSize, SharedGenerator, discriminator, generator, whole_choices
from ogive.networks.build import drawing_from
from ogive.networks.count import macs, parameters
from ogive.spaces.autogan import autogan, cells_of

pytestmark = pytest.mark.usefixtures("one_thread")

PUBLISHED = autogan().parse("1 0 1 1 1 0 0 1 1 1 0 1 0 3")
SMALL = GeneratorSize(channels=4, latent=6, side=16)
ARCHS = [autogan().sample(np.random.default_rng(seed)) for seed in range(12)]


def noise(count: int, size: GeneratorSize = SMALL) -> Tensor:
    return torch.randn(count, size.latent, generator=torch.Generator().manual_seed(0))


def whole(size: GeneratorSize = SMALL, seed: int = 0) -> SharedGenerator:
    with drawing_from(seed):
        return SharedGenerator(whole_choices(), size)


def by_formula(network: Generator, arch: Architecture, z: Tensor) -> Tensor:  # noqa: C901 - the definition is
    """The generator in training mode, written once more with functions of torch only, from the published definition."""
    weights = dict(network.named_parameters())

    def conv(x: Tensor, name: str) -> Tensor:
        weight = weights[f"{name}.weight"]
        return F.conv2d(x, weight, weights[f"{name}.bias"], padding=weight.shape[-1] // 2)

    def deconv(x: Tensor, name: str) -> Tensor:
        return F.conv_transpose2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=2)

    def norm(x: Tensor, kind: str, name: str) -> Tensor:
        if kind == "none":
            return x
        dims = (0, 2, 3) if kind == "batch" else (2, 3)
        x = (x - x.mean(dims, keepdim=True)) / (x.var(dims, keepdim=True, unbiased=False) + 1e-5).sqrt()
        if kind == "instance":
            return x
        return x * weights[f"{name}.weight"][:, None, None] + weights[f"{name}.bias"][:, None, None]

    def doubled(x: Tensor, up: str, name: str) -> Tensor:
        if up == "nearest":
            return x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        return deconv(x, name) if up == "deconv" else F.interpolate(x, scale_factor=2, mode="bilinear")

    side = network.bottom
    x = (z @ weights["linear.weight"].T + weights["linear.bias"]).reshape(len(z), -1, side, side)
    kept: list[Tensor] = []
    for number, cell in enumerate(cells_of(arch)):
        top = f"cells.{number}"
        first, second = f"{top}.first.{cell.conv}", f"{top}.second.{cell.conv}"
        if cell.conv == "pre":
            h = torch.relu(norm(x, cell.norm, f"{first}.norm"))
            h = conv(doubled(h, cell.up, f"{first}.deconv"), f"{first}.convolution")
        else:
            h = conv(doubled(x, cell.up, f"{first}.deconv"), f"{first}.convolution")
            h = torch.relu(norm(h, cell.norm, f"{first}.norm"))
        for source in cell.skips:
            brought, distance = kept[source - 1], number + 1 - source
            if cell.up == "bilinear":
                brought = F.interpolate(brought, size=h.shape[2:], mode="bilinear")
            else:
                for step in range(distance):
                    brought = doubled(brought, cell.up, f"{top}.skip_deconvs.{distance}.{step}")
            h = h + conv(brought, f"{top}.skips.{source}")
        kept.append(h)
        if cell.conv == "pre":
            out = conv(torch.relu(norm(h, cell.norm, f"{second}.norm")), f"{second}.convolution")
        else:
            out = torch.relu(norm(conv(h, f"{second}.convolution"), cell.norm, f"{second}.norm"))
        if cell.shortcut:
            out = out + conv(doubled(x, cell.up, f"{top}.shortcut_deconv"), f"{top}.shortcut")
        x = out
    return torch.tanh(conv(torch.relu(norm(x, "batch", "last.0")), "last.2"))


@pytest.mark.parametrize("arch", [PUBLISHED, *ARCHS], ids=autogan().format)
def test_a_generator_computes_the_published_formula(arch: Architecture) -> None:
    network = generator(arch, SMALL, seed=1)
    images = network(noise(5))
    assert images.shape == (5, 3, 16, 16)
    assert float(images.detach().abs().max()) <= 1
    torch.testing.assert_close(images, by_formula(network, arch, noise(5)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        whole()(noise(5), arch.choices), by_formula(whole(), arch, noise(5)), rtol=1e-4, atol=1e-5
    )


def test_the_published_generator_has_the_weights_that_its_layers_add_up_to() -> None:
    with torch.device("meta"):
        network = generator(PUBLISHED, GeneratorSize())
    c, pixels = 256, 16
    linear = 128 * c * pixels + c * pixels
    blocks, pointwise, image = 6 * (9 * c * c + c), 5 * (c * c + c), 2 * c + 9 * c * 3 + 3
    assert parameters(network) == linear + blocks + pointwise + image == 4_405_251
    # Cells make 8×8, 16×16 and 32×32 pixels; shortcuts in the first two, a skip in the second, two in the third.
    sides = (8**2, 16**2, 32**2)
    work = 128 * c * pixels + 2 * 9 * c * c * sum(sides) + c * c * (sides[0] + 2 * sides[1] + 2 * sides[2])
    assert macs(network, (128,)) == work + 9 * c * 3 * sides[2]


def test_a_transposed_convolution_is_counted_by_its_input() -> None:
    arch = Architecture("autogan", (0, 0, 2, *([0] * 11)))
    with torch.device("meta"):
        nearest = generator(Architecture("autogan", (0, 0, 1, *([0] * 11))), GeneratorSize(8))
        deconv = generator(arch, GeneratorSize(8))
    assert macs(deconv, (128,)) - macs(nearest, (128,)) == 16 * 8 * 8 * 4
    assert parameters(deconv) - parameters(nearest) == 8 * 8 * 4 + 8


def test_the_published_discriminator_has_the_weights_that_its_layers_add_up_to() -> None:
    network = discriminator(128, 3, seed=0)
    c = 128
    plain, first = 9 * c * c + c, 9 * 3 * c + c
    assert parameters(network) == first + 7 * plain + (3 * c + c) + (c * c + c) + c == 1_053_824
    assert network(torch.zeros(2, 3, 32, 32)).shape == (2,)


def test_every_layer_of_the_discriminator_has_spectral_norm_one() -> None:
    network = discriminator(6, 3, seed=0)
    for _ in range(50):  # the power iteration of the normalisation comes closer with every pass
        network(torch.zeros(2, 3, 16, 16))
    weights = [module.weight for module in network.modules() if hasattr(module, "parametrizations")]
    assert len(weights) == 11
    for weight in weights:
        assert isinstance(weight, Tensor)
        assert float(torch.linalg.matrix_norm(weight.detach().flatten(1), 2)) == pytest.approx(1, rel=0.02)


def test_equal_seeds_give_equal_weights_and_leave_the_global_state_alone() -> None:
    before = torch.random.get_rng_state()
    for make in (lambda seed: generator(PUBLISHED, SMALL, seed=seed), lambda seed: discriminator(4, 3, seed=seed)):
        first, again, other = (make(seed).state_dict() for seed in (1, 1, 2))
        assert all(torch.equal(first[name], again[name]) for name in first)
        assert not all(torch.equal(first[name], other[name]) for name in first)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("arch", ARCHS[:6], ids=autogan().format)
def test_the_network_of_an_architecture_shares_the_weights_and_not_the_statistics(arch: Architecture) -> None:
    parent = whole()
    part = parent.network(arch)
    own = dict(parent.named_parameters())
    assert all(weight is own[name] for name, weight in part.named_parameters())
    # A generator made for the architecture alone has exactly these weights.
    assert {n: t.shape for n, t in part.state_dict().items()} == {
        n: t.shape for n, t in generator(arch, SMALL).state_dict().items()
    }
    before = {name: buffer.clone() for name, buffer in parent.named_buffers()}
    assert torch.equal(part(noise(4)), by_path(parent, arch))
    assert all(torch.equal(buffer, before[name]) for name, buffer in parent.named_buffers())


def by_path(parent: SharedGenerator, arch: Architecture) -> Tensor:
    before = {name: buffer.clone() for name, buffer in parent.named_buffers()}
    images: Tensor = parent(noise(4), parent.path(arch))
    for name, buffer in parent.named_buffers():
        buffer.copy_(before[name])
    return images


@pytest.mark.parametrize("side", [4, 8, 20, 33])
def test_a_side_that_three_doublings_cannot_make_is_refused(side: int) -> None:
    with pytest.raises(SpecError, match="side of 16, 24, 32"):
        GeneratorSize(side=side)


def test_what_cannot_be_run_is_refused() -> None:
    with pytest.raises(SpecError, match="16×24"):
        GeneratorSize.fitted((3, 16, 24), 8)
    with pytest.raises(SpecError, match="at least 1"):
        GeneratorSize(channels=0)
    with pytest.raises(SpecError, match="at least 1 channel"):
        discriminator(0, 3)
    with pytest.raises(SpecError, match="needs the path"):
        whole()(noise(2))
    part = whole().restricted(tuple((0,) if place == 2 else row for place, row in enumerate(whole_choices())))
    with pytest.raises(SpecError, match=r"holds \(0,\) as up1"):
        part.network(PUBLISHED)
    with pytest.raises(InvalidArchitecture):
        whole().path(Architecture("natssize", (0,) * 14))
