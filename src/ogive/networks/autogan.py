"""The generators of AutoGAN, one or many in one with shared weights, and the discriminator that they learn from.

Gong et al., ICCV 2019, section 3.1; VITA-Group/AutoGAN, models_search/building_blocks_search.py and shared_gan.py.
Shapes: N images, L numbers of noise, C channels, H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.parametrizations import spectral_norm

from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError
from ogive.networks.build import drawing_from, image_shape
from ogive.spaces.autogan import CELLS, CONVS, DECISIONS, NAME, NORMS, UPS, autogan, sources

__all__ = [
    "Choices",
    "Discriminator",
    "Generator",
    "GeneratorSize",
    "SharedGenerator",
    "check_critic",
    "discriminator",
    "generator",
    "whole_choices",
]

# For each variable of the space the numbers that it may have.
Choices = tuple[tuple[int, ...], ...]

Value = TypeVar("Value")

BATCH = NORMS.index("batch")
DECONV = UPS.index("deconv")
GROWTH = 2**CELLS


@dataclass(frozen=True, slots=True)
class GeneratorSize:
    """What a generator's architecture leaves open; the defaults are those of the published final trainings.

    `side`: of its images, in pixels; `outputs`: channels of its images; `latent`: numbers of noise an image is made of.
    """

    channels: int = 256  # VITA-Group/AutoGAN, exps/derive.sh, as are the next two
    latent: int = 128
    side: int = 32
    outputs: int = 3

    def __post_init__(self) -> None:
        for name, least in (("channels", 1), ("latent", 1), ("outputs", 1)):
            if getattr(self, name) < least:
                raise SpecError(f"The {name} of a generator must be at least {least}, but got {getattr(self, name)}.")
        # Instance normalisation of a single pixel is no number.
        if self.side % GROWTH or self.side < 2 * GROWTH:
            raise SpecError(
                f"A generator of {NAME} doubles the side of its image {CELLS} times and begins with 2×2 or more, so "
                f"that images have a side of 16, 24, 32, ... pixels, but got {self.side}."
            )

    @classmethod
    def fitted(cls, shape: tuple[int, ...], channels: int) -> GeneratorSize:
        """The size for images (C, H, W); SpecError unless they are square."""
        outputs, rows, columns = image_shape(shape, NAME)
        if rows != columns:
            raise SpecError(f"A generator of {NAME} makes square images, but these have {rows}×{columns} pixels.")
        return cls(channels=channels, side=rows, outputs=outputs)


def whole_choices() -> Choices:
    """Every option of every variable."""
    return tuple(tuple(range(len(variable.options))) for variable in autogan().variables)  # type: ignore[union-attr]


class ConvBlock(nn.Module):
    """A 3×3 convolution with upsampling before it if it is the first of a cell; "pre" normalises and activates before.

    Without its own `deconv` and `norm` a block has no weights but those of the convolution.
    """

    def __init__(self, channels: int, pre: bool, batch: bool, deconv: bool) -> None:
        super().__init__()
        self.pre = pre
        self.convolution = nn.Conv2d(channels, channels, 3, padding=1)
        self.norm = nn.BatchNorm2d(channels) if batch else None
        self.deconv = _deconv(channels) if deconv else None

    def forward(self, x: Tensor, norm: int, up: int | None) -> Tensor:
        if self.pre:
            return self._convolved(F.relu(self._normalised(x, norm)), up)
        return F.relu(self._normalised(self._convolved(x, up), norm))

    def _convolved(self, x: Tensor, up: int | None) -> Tensor:
        convolved: Tensor = self.convolution(x if up is None else _doubled(x, up, self.deconv))
        return convolved

    def _normalised(self, x: Tensor, norm: int) -> Tensor:
        if norm == BATCH:
            assert self.norm is not None
            normalised: Tensor = self.norm(x)
            return normalised
        return F.instance_norm(x) if NORMS[norm] == "instance" else x


class GeneratorCell(nn.Module):
    """Two blocks, a shortcut around them, and what is added between them; it holds what its choices may need.

    `choices` are the numbers that each decision may have, `number` counts cells from 1. Names of weights do not depend
    on the choices, so that cells with fewer of them can take over those of others.
    """

    def __init__(self, channels: int, choices: Mapping[str, tuple[int, ...]], number: int) -> None:
        super().__init__()
        self.number = number
        batch, deconv = BATCH in choices["norm"], DECONV in choices["up"]
        self.first, self.second = nn.ModuleDict(), nn.ModuleDict()
        for conv in choices["conv"]:
            pre = CONVS[conv] == "pre"
            self.first[CONVS[conv]] = ConvBlock(channels, pre, batch, deconv)
            self.second[CONVS[conv]] = ConvBlock(channels, pre, batch, deconv=False)
        shortcut = 1 in choices["shortcut"]
        self.shortcut = nn.Conv2d(channels, channels, 1) if shortcut else None
        self.shortcut_deconv = _deconv(channels) if shortcut and deconv else None
        found = sorted({source for number_of in choices["skips"] for source in sources(number, number_of)})
        self.skips = nn.ModuleDict({str(source): nn.Conv2d(channels, channels, 1) for source in found})
        # One upsampling for each distance between cells, as published, shared by what comes from there.
        self.skip_deconvs = nn.ModuleDict(
            {
                str(number - source): nn.Sequential(*(_deconv(channels) for _ in range(number - source)))
                for source in found
                if deconv
            }
        )

    def forward(self, x: Tensor, before: Sequence[Tensor], decisions: Mapping[str, int]) -> tuple[Tensor, Tensor]:
        """What later cells may add, (N, C, 2 H, 2 W), and what the next one reads, of the same shape."""
        conv, norm, up = CONVS[decisions["conv"]], decisions["norm"], decisions["up"]
        h = self.first[conv](x, norm, up)
        for source in sources(self.number, decisions["skips"]):
            h = h + self.skips[str(source)](self._brought(before[source - 1], self.number - source, up))
        out = self.second[conv](h, norm, None)
        if decisions["shortcut"]:
            assert self.shortcut is not None
            out = out + self.shortcut(_doubled(x, up, self.shortcut_deconv))
        return h, out

    def _brought(self, x: Tensor, distance: int, up: int) -> Tensor:
        """The output of an earlier cell in the size of this one."""
        if up == DECONV:
            brought: Tensor = self.skip_deconvs[str(distance)](x)
            return brought
        return F.interpolate(x, scale_factor=2.0**distance, mode=UPS[up])


class Generator(nn.Module):
    """Images from noise through three cells that hold what some `choices` leave, for one path at a time.

    It needs nothing but torch: as it is, it can be written as source.
    """

    def __init__(self, choices: Choices, *, channels: int, latent: int, side: int, outputs: int) -> None:
        super().__init__()
        shape = {"channels": channels, "latent": latent, "side": side, "outputs": outputs}
        self.recipe = {"choices": choices, **shape}
        self.choices, self.latent, self.outputs = choices, latent, outputs
        self.bottom = side // GROWTH
        self.linear = nn.Linear(latent, channels * self.bottom**2)
        self.cells = nn.ModuleList(
            GeneratorCell(channels, options, number) for number, options in enumerate(_by_cell(choices, (0,)), start=1)
        )
        self.last = nn.Sequential(
            nn.BatchNorm2d(channels), nn.ReLU(), nn.Conv2d(channels, outputs, 3, padding=1), nn.Tanh()
        )
        _initialise(self)

    def forward(self, z_NL: Tensor, path: Sequence[int] | None = None) -> Tensor:
        """Images (N, outputs, side, side) with values in [-1, 1], by the first choices unless a path is given."""
        path = [row[0] for row in self.choices] if path is None else path
        x = self.linear(z_NL).unflatten(1, (-1, self.bottom, self.bottom))
        before: list[Tensor] = []
        for cell, decisions in zip(self.cells, _by_cell(path, 0), strict=True):
            h, x = cell(x, before, decisions)
            before.append(h)
        image: Tensor = self.last(x)
        return image


class SharedGenerator(Generator):
    """The same for one architecture or for all that some choices leave, as a source of weights.

    With a choice, forward takes the `path` to run, the numbers of an architecture; without, there is one path.
    `network` gives the generator of an architecture with the weights of this one.
    """

    def __init__(self, choices: Choices, size: GeneratorSize) -> None:
        super().__init__(choices, **asdict(size))
        self.size = size

    def forward(self, z_NL: Tensor, path: Sequence[int] | None = None) -> Tensor:
        """As without choices; SpecError for a path that is no choice."""
        return super().forward(z_NL, self._checked(path))

    def _checked(self, path: Sequence[int] | None) -> tuple[int, ...]:
        if path is None:
            if any(len(row) > 1 for row in self.choices):
                raise SpecError("A generator of several architectures needs the path that it shall run.")
            return tuple(row[0] for row in self.choices)
        wrong = [place for place, (row, value) in enumerate(zip(self.choices, path, strict=True)) if value not in row]
        if wrong:
            name = autogan().variables[wrong[0]].name
            raise SpecError(
                f"This generator holds {self.choices[wrong[0]]} as {name}, but the path has {path[wrong[0]]}."
            )
        return tuple(path)

    def path(self, arch: Architecture) -> tuple[int, ...]:
        """The path of an architecture; SpecError if it is not among the choices."""
        return self._checked(tuple(int(choice) for choice in autogan().admit(arch).choices))

    def network(self, arch: Architecture) -> SharedGenerator:
        """The generator of an architecture, whose weights are this one's own; see `restricted`."""
        return self.restricted(tuple((value,) for value in self.path(arch)))

    def restricted(self, choices: Choices, *, copied: bool = False) -> SharedGenerator:
        """The part that fewer choices leave.

        The weights are the same tensors, so that who trains one trains the other, or copies. Running statistics are
        always copies.
        """
        with torch.device("meta"):
            part = SharedGenerator(choices, self.size)
        own = self.state_dict(keep_vars=True)
        given = {}
        for name in part.state_dict():
            tensor = own[name]
            if not isinstance(tensor, nn.Parameter):
                given[name] = tensor.clone()
            else:
                given[name] = nn.Parameter(tensor.detach().clone(), tensor.requires_grad) if copied else tensor
        part.load_state_dict(given, assign=True)
        return part.train(self.training)


def generator(arch: Architecture, size: GeneratorSize, *, seed: int | None = None) -> Generator:
    """The generator of one architecture; with a `seed` its weights depend on it alone, else on torch's global state."""
    choices = tuple((int(choice),) for choice in autogan().admit(arch).choices)
    with drawing_from(seed):
        return Generator(choices, **asdict(size))


# -- the discriminator ------------------------------------------------------------------------------------------------


class DiscriminatorBlock(nn.Module):
    """Two 3×3 convolutions and a 1×1 convolution around them, with averages of 2×2 pixels at the end if it `halves`.

    The `first` block of a network has no activation before its convolutions.
    """

    def __init__(self, inputs: int, width: int, *, halves: bool, first: bool = False) -> None:
        super().__init__()
        self.halves, self.first = halves, first
        self.convolution1 = _spectral(nn.Conv2d(inputs, width, 3, padding=1))
        self.convolution2 = _spectral(nn.Conv2d(width, width, 3, padding=1))
        self.shortcut = _spectral(nn.Conv2d(inputs, width, 1)) if halves or inputs != width else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        h = self.convolution1(x if self.first else F.relu(x))
        h = self.convolution2(F.relu(h))
        if not self.halves:
            summed: Tensor = h + self.shortcut(x)
            return summed
        # A 1×1 convolution and an average commute, and fewer pixels cost less.
        halved: Tensor = F.avg_pool2d(h, 2) + self.shortcut(F.avg_pool2d(x, 2))
        return halved


class Discriminator(nn.Module):
    """Four residual blocks, a sum over all pixels, and one number: large for what looks real. Spectrally normalised."""

    def __init__(self, channels: int = 128, inputs: int = 3) -> None:  # VITA-Group/AutoGAN, exps/derive.sh
        super().__init__()
        check_critic(channels)
        self.blocks = nn.Sequential(
            DiscriminatorBlock(inputs, channels, halves=True, first=True),
            DiscriminatorBlock(channels, channels, halves=True),
            DiscriminatorBlock(channels, channels, halves=False),
            DiscriminatorBlock(channels, channels, halves=False),
        )
        self.last = spectral_norm(nn.Linear(channels, 1, bias=False))

    def forward(self, x_NCHW: Tensor) -> Tensor:
        """One number for each image, shape (N,)."""
        judged_N1: Tensor = self.last(F.relu(self.blocks(x_NCHW)).sum((2, 3)))
        return judged_N1[:, 0]


def check_critic(channels: int) -> None:
    """SpecError for a width that a discriminator cannot have."""
    if channels < 1:
        raise SpecError(f"A discriminator has at least 1 channel, but got {channels}.")


def discriminator(channels: int, inputs: int, *, seed: int | None = None) -> Discriminator:
    """A discriminator with fresh weights; `seed` as for `generator`."""
    with drawing_from(seed):
        return Discriminator(channels, inputs)


# -- parts ------------------------------------------------------------------------------------------------------------


def _by_cell(values: Sequence[Value], none: Value) -> list[dict[str, Value]]:
    """What belongs to each cell, by decision; `none` stands for the skips that the first cell lacks."""
    first, rest = len(DECISIONS) - 1, len(DECISIONS)
    rows = [[*values[:first], none], *(values[start : start + rest] for start in range(first, len(values), rest))]
    return [dict(zip(DECISIONS, row, strict=True)) for row in rows]


def _doubled(x: Tensor, up: int, deconv: nn.Module | None) -> Tensor:
    if up == DECONV:
        assert deconv is not None
        doubled: Tensor = deconv(x)
        return doubled
    return F.interpolate(x, scale_factor=2.0, mode=UPS[up])


def _deconv(channels: int) -> nn.Module:
    return nn.ConvTranspose2d(channels, channels, 2, stride=2)


def _spectral(convolution: nn.Conv2d) -> nn.Module:
    nn.init.xavier_uniform_(convolution.weight)
    return spectral_norm(convolution)


def _initialise(network: nn.Module) -> None:
    """As published: Xavier's uniform for convolutions, normalisations near 1; torch's default for everything else."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_uniform_(module.weight)
        elif isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1.0, 0.02)
