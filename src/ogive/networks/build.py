"""From an architecture and a skeleton to a network: the one door, which checks what the modules take on trust.

Long, since it has a builder of some lines for every space, and the checks that they share.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import torch
from torch import nn

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, Oversized, SpecError, UnknownName
from ogive.core.space import SearchSpace
from ogive.networks.blocks import BlockNetwork, network_widths
from ogive.networks.darts import DARTS_OPERATIONS, DartsNetwork
from ogive.networks.deepnets import DeepNet
from ogive.networks.genotypes import Entries, Genotype
from ogive.networks.hnag import GeneratedNetwork
from ogive.networks.mlp import Perceptron
from ogive.networks.mnasnet import PUBLISHED_MOBILE, STEM, MnasNetwork
from ogive.networks.mobile import MobileNetworkV3
from ogive.networks.nasbench101 import NasBench101Network
from ogive.networks.nasbench201 import NasBench201Network
from ogive.networks.natssize import NatsSizeNetwork
from ogive.networks.nested import NestedNetwork
from ogive.networks.own import OwnOperation, own_operation
from ogive.networks.residual import ResidualNetwork
from ogive.networks.sequences import SentenceTransformer, SignalConvolutions, TextConvolutions
from ogive.spaces import nds, nds_residual
from ogive.spaces.autogan import NAME as GENERATORS
from ogive.spaces.blockqnn import CONVOLUTIONS, IRLAS_MOBILE, architecture, blockqnn, blockqnn_separable
from ogive.spaces.blockqnn import layers_of as block_of
from ogive.spaces.conv1d import CONV1D, conv1d, signal_of
from ogive.spaces.darts import CHOOSABLE, CONCAT, cell_of, darts
from ogive.spaces.darts_rnn import NAME as RECURRENT
from ogive.spaces.ddarts import OPERATIONS as NESTED_OPERATIONS
from ogive.spaces.ddarts import dartopti, ddarts, genotype_of
from ogive.spaces.deepnets import NAME as DEEPNETS
from ogive.spaces.deepnets import deepnets, design_of, nodes_of
from ogive.spaces.extended import ExtendedSpace, base_of, own_operations
from ogive.spaces.hnag import HNAG, drawn_of, generator_of, generator_space
from ogive.spaces.hnag_size import fitted_size
from ogive.spaces.mlp import NAME as PERCEPTRONS
from ogive.spaces.mlp import layers_of, mlp
from ogive.spaces.mnasnet import NAME as MNASNET
from ogive.spaces.mnasnet import blocks_of, mnasnet
from ogive.spaces.nasbench101 import OPS as NASBENCH101_OPERATIONS
from ogive.spaces.nasbench101 import nasbench101, pruned_cell
from ogive.spaces.nasbench201 import OPS as NASBENCH201_OPERATIONS
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize, widths_of
from ogive.spaces.nested import NestedGenotype, deepened, reductions_of
from ogive.spaces.ofa_mobilenetv3 import NAME as MOBILE
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3, units_of
from ogive.spaces.sentences import SENTENCES, TEXTCNN, TRANSFORMER, attentive_of, convolutional_of, textcnn, transformer
from ogive.spaces.unrestricted import UNRESTRICTED, outline_of_architecture

__all__ = [
    "Skeleton",
    "WeightSource",
    "build",
    "build_genotype",
    "build_irlas_mobile",
    "build_mobile",
    "build_nested",
    "default_skeleton",
    "drawing_from",
    "image_shape",
    "refuse_unbuildable",
    "smallest_image",
]

Style = Literal["cifar", "imagenet"]
STYLES = ("cifar", "imagenet")
# No published network comes near; building larger ones takes minutes and ends without memory.
LARGEST = {"channels": 65_536, "cells": 1_000}
# The auxiliary head pools 5×5 windows and then looks at 2×2 of them, so that its maps have a least side.
AUXILIARY_MAP = {"cifar": 8, "imagenet": 7}
# Mobile networks halve the sides of images five times, which those of CIFAR and its like are too small for.
LARGE_IMAGE = 96
# Blocks that concatenate several copies of their input widen from one to the next; then training ends without memory.
WIDEST_BLOCK = 8192
# A space of which none of so many random architectures is small enough is refused before a search.
TRIED = 20
# What networks of these spaces read.
SEQUENTIAL = {CONV1D: "signals", **dict.fromkeys(SENTENCES, "sentences")}


@dataclass(frozen=True, slots=True)
class Skeleton:
    """What an architecture leaves open: how wide and deep its network is, and for which inputs and classes.

    * `channels`: width of the first stage (ofa_mobilenetv3 and mnasnet: of the stem, 16 and 32 times the width
      multiplier); 0 where architectures hold their widths (natssize, mlp, NDS), or a budget (hnag and its kin);
    * `cells`: cells in a stage (nasbench201, nasbench101, natssize; of blockqnn for large images in the third of four
      stages only, whose others have one) or in the network (darts; for ddarts and its kin,
      whose architectures are cells, as many or more: then cells are repeated); 0 where architectures hold their depths,
      as those of mlp, NDS, deepnets and dartopti_from do. Another width or depth replaces those of all cell networks
      of NDS;
    * `classes`, `inputs`: number of outputs, and of channels of an image or signal, of numbers of what mlp reads, or of
      words that networks of sentences know;
    * `style`: "imagenet" gives darts, its kin and the cells of NDS the stem that halves large images three times, and
      ofa_mobilenetv3 and mnasnet their published strides, of which three are left out otherwise, deepnets, hnag
      and its kin their larger stems, and blockqnn the stages of IRLAS-mobile;
    * `auxiliary`, `drop_path`: the second head, and the final drop-path probability, of the same;
    * `size`: the least side of the images in pixels, if known; then `build` refuses a network that cannot take them. Of
      signals their points, and of sentences the words that are read, which transformers need.
    """

    channels: int
    cells: int
    classes: int = 10
    inputs: int = 3
    style: Style = "cifar"
    auxiliary: bool = False
    drop_path: float = 0.0
    size: int | None = None

    def __post_init__(self) -> None:
        least = {"channels": 0, "cells": 0, "classes": 1, "inputs": 1, "size": 1}
        for name, bound in least.items():
            value = getattr(self, name)
            if value is not None and value < bound:
                raise SpecError(f"The {name} of a skeleton must be at least {bound}, but got {value}.")
        for name, bound in LARGEST.items():
            value = getattr(self, name)
            if value > bound:
                raise SpecError(
                    f"The {name} of a skeleton must be at most {bound:,}, but got {value:,}: that is larger than any "
                    "published network."
                )
        if self.style not in STYLES:
            raise UnknownName("style of skeleton", self.style, STYLES)
        if not 0.0 <= self.drop_path < 1.0:
            raise SpecError(f"0 <= drop_path < 1 must hold, but got {self.drop_path}.")


@runtime_checkable
class WeightSource(Protocol):
    """Who supplies weights: a supernet, a hypernetwork, or a store of trained networks."""

    def network(self, arch: Architecture) -> nn.Module:
        """The network of an architecture with the weights of this source."""
        ...


def default_skeleton(space: str, **overrides: object) -> Skeleton:
    """The published size of the networks of a space, with some fields replaced.

    For darts, ``style="imagenet"`` gives the size that the paper uses there.
    """
    space = base_of(space)
    _refuse_other(space, DEFAULTS)
    known = [field.name for field in dataclasses.fields(Skeleton)]
    for name in overrides:
        if name not in known:
            raise UnknownName("field of a skeleton", name, known)
    default = DARTS_IMAGENET if space == "darts" and overrides.get("style") == "imagenet" else DEFAULTS[space]
    found: Skeleton = dataclasses.replace(default, **overrides)  # type: ignore[arg-type]  # checked in __post_init__
    if default.cells and not found.cells:
        raise SpecError(f"The cells of a skeleton of {space} must be at least 1, but got 0.")
    return found


def fitted_skeleton(
    space: str,
    shape: tuple[int, ...],
    classes: int,
    *,
    channels: int | None = None,
    cells: int | None = None,
    **overrides: object,
) -> Skeleton:
    """The skeleton for images of a shape (channels, height, width), or rows (numbers,), and so many classes.

    `channels` and `cells` are the size of the network, by default the published one of the space; `overrides` are other
    fields of the skeleton. SpecError for rows where networks of the space read images.
    """
    chosen = {name: value for name, value in (("channels", channels), ("cells", cells)) if value is not None}
    if space == PERCEPTRONS:
        return default_skeleton(space, **chosen, **overrides, classes=classes, inputs=math.prod(shape))
    if space in SEQUENTIAL:
        wanted = 1 if space in SENTENCES else 2
        if len(shape) != wanted:
            raise SpecError(f"Networks of {space} read {SEQUENTIAL[space]}, and not inputs of the shape {shape}.")
        own = {"inputs": shape[0], **overrides}
        return default_skeleton(space, **chosen, **own, classes=classes, size=shape[-1])
    inputs, *sides = image_shape(shape, space)
    if space in (MOBILE, MNASNET, DEEPNETS, *CONVOLUTIONS, *HNAG) and min(sides) >= LARGE_IMAGE:
        overrides = {"style": "imagenet", **overrides}
    return default_skeleton(space, **chosen, **overrides, classes=classes, inputs=inputs, size=min(sides))


def image_shape(shape: tuple[int, ...], space: str) -> tuple[int, int, int]:
    """Channels, rows and columns of an image; SpecError for anything else."""
    if len(shape) != 3:
        raise SpecError(f"Networks of {space} read images, and not rows of {shape[0]} numbers: give --space mlp.")
    channels, rows, columns = shape
    return channels, rows, columns


def build(
    arch: Architecture, skeleton: Skeleton, *, seed: int | None = None, space: SearchSpace | None = None
) -> nn.Module:
    """The network of an architecture, freshly initialised as torch does by default.

    A `space` is needed where that has operations of one's own. With a `seed` the weights depend on it alone and torch's
    global random state stays as it is; without one they are drawn from that state. Raises InvalidArchitecture or
    SpecError.
    """
    if isinstance(space, ExtendedSpace):
        with drawing_from(seed):
            return EXTENDED[space.base](arch, skeleton, space)
    if base_of(arch.space) != arch.space:
        raise SpecError(f"The network of {arch} has an operation of one's own: its space must be given as an object.")
    _refuse_other(arch.space, BUILDERS)
    with drawing_from(seed):
        return BUILDERS[arch.space](arch, skeleton)


def refuse_unbuildable(space: SearchSpace, skeleton: Skeleton, rng: np.random.Generator) -> None:
    """SpecError for a size of which no network of a space is built, found out before a search by random ones.

    Oversized if none of some is small enough.
    """
    for left in reversed(range(TRIED)):
        try:
            with torch.device("meta"):  # shapes without weights
                build(space.sample(rng), skeleton, space=space)
        except Oversized:
            if not left:
                raise
        else:
            return


def build_genotype(genotype: Genotype, skeleton: Skeleton, *, seed: int | None = None) -> DartsNetwork:
    """The evaluation network of any pair of DARTS-like cells, with any number of nodes; `seed` as in `build`."""
    _check_cell(genotype.normal, genotype.normal_concat)
    _check_cell(genotype.reduce, genotype.reduce_concat)
    _check_width(skeleton, "darts")
    _check_depth(skeleton, "darts")
    _check_stem(skeleton)
    _check_size(skeleton, "darts", smallest_image("darts", skeleton))
    with drawing_from(seed):
        return DartsNetwork(
            normal=genotype.normal,
            normal_concat=genotype.normal_concat,
            reduce=genotype.reduce,
            reduce_concat=genotype.reduce_concat,
            channels=skeleton.channels,
            layers=skeleton.cells,
            classes=skeleton.classes,
            inputs=skeleton.inputs,
            style=skeleton.style,
            auxiliary=skeleton.auxiliary,
            drop_path=skeleton.drop_path,
        )


def build_nested(genotype: NestedGenotype, skeleton: Skeleton, *, seed: int | None = None) -> NestedNetwork:
    """The evaluation network of cells that all differ; `seed` as in `build`.

    With the skeleton's `cells` equal to the layers of the genotype, or 0, its own reductions are kept; with more it is
    deepened first (see `deepened`). Raises SpecError.
    """
    if skeleton.cells not in (0, len(genotype.layers)):
        genotype = deepened(genotype, skeleton.cells)
    name = "nested cells"
    _check_width(skeleton, name)
    _check_stem(skeleton)
    _check_size(skeleton, name, _smallest(skeleton, len(genotype.halving)))
    with drawing_from(seed):
        return NestedNetwork(
            cells=genotype.cells,
            layers=genotype.layers,
            reductions=genotype.halving,
            channels=skeleton.channels,
            classes=skeleton.classes,
            inputs=skeleton.inputs,
            style=skeleton.style,
            auxiliary=skeleton.auxiliary,
            drop_path=skeleton.drop_path,
        )


def build_mobile(
    name: str,
    *,
    multiplier: float = 1.0,
    classes: int = 1000,
    inputs: int = 3,
    halved: bool = True,
    same: bool = False,
    momentum: float = 0.01,  # MnasNet, section 5: 0.99 as TensorFlow counts it
    seed: int | None = None,
) -> MnasNetwork:
    """A network of ``PUBLISHED_MOBILE``, such as mnasnet_a1; the options are those of `MnasNetwork`, `seed` of `build`.

    `same` gives it the padding of TensorFlow, in which it was trained. Raises UnknownName and SpecError.
    """
    if name not in PUBLISHED_MOBILE:
        raise UnknownName("published mobile network", name, PUBLISHED_MOBILE)
    if not 0 < multiplier <= 16:  # 512 channels of a stem: no published network comes near
        raise SpecError(f"The width multiplier of a mobile network is in (0, 16], but got {multiplier}.")
    published = PUBLISHED_MOBILE[name]
    with drawing_from(seed):
        return MnasNetwork(
            published.blocks,
            stem=published.stem,
            multiplier=multiplier,
            classes=classes,
            inputs=inputs,
            halved=halved,
            same=same,
            dropout=published.dropout,
            activation=published.activation,
            momentum=momentum,
            scales_head=published.scales_head,
        )


def build_irlas_mobile(*, classes: int = 1000, inputs: int = 3, seed: int | None = None) -> BlockNetwork:
    """IRLAS-mobile, as published in gmh14/IRLAS: 9,962,600 parameters for 1000 classes; `seed` as in `build`."""
    arch = architecture(IRLAS_MOBILE, space="blockqnn_separable")
    skeleton = default_skeleton(arch.space, style="imagenet", classes=classes, inputs=inputs)
    network = build(arch, skeleton, seed=seed)
    assert isinstance(network, BlockNetwork)
    return network


def smallest_image(space: str, skeleton: Skeleton) -> int:
    """The least side of an image, in pixels, that the networks of a space with this skeleton can take."""
    if space not in ("darts", "ddarts_dense") and space not in nds.FAMILIES and space not in NESTED_OPERATIONS:
        return 1
    # Without a number of cells, any of NDS: they all have two that reduce.
    return _smallest(skeleton, len(reductions_of(skeleton.cells or nds.DEPTHS[0])))


def _smallest(skeleton: Skeleton, reductions: int) -> int:
    stem = (3 if reductions <= 2 else 2) if skeleton.style == "imagenet" else 0
    if skeleton.auxiliary:
        return (AUXILIARY_MAP[skeleton.style] - 1) * (1 << (reductions + stem)) + 1
    return 1 << (reductions + stem)


# -- one builder for each space ---------------------------------------------------------------------------------------


def _nasbench201(arch: Architecture, skeleton: Skeleton, space: ExtendedSpace | None = None) -> nn.Module:
    choices = (space or nasbench201()).admit(arch).choices
    _check_plain(skeleton, "nasbench201")
    _check_depth(skeleton, "nasbench201")
    _check_width(skeleton, "nasbench201")
    known: list[Any] = [*NASBENCH201_OPERATIONS, *_own(space, skeleton)]
    return NasBench201Network(
        operations=[known[int(choice)] for choice in choices],
        channels=skeleton.channels,
        cells=skeleton.cells,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
    )


def _own(space: ExtendedSpace | None, skeleton: Skeleton) -> list[OwnOperation]:
    """Operations of one's own, checked at the three widths of a network."""
    widths = [skeleton.channels << stage for stage in range(3)]
    return [own_operation(one, widths) for one in own_operations(space)]


def _natssize(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    widths = widths_of(natssize().admit(arch))
    _check_plain(skeleton, "natssize")
    _check_depth(skeleton, "natssize")
    if skeleton.channels != 0:
        raise SpecError(
            f"An architecture of natssize holds its own widths; leave the skeleton's channels at 0, not "
            f"{skeleton.channels}."
        )
    return NatsSizeNetwork(
        widths=widths,
        cells=skeleton.cells,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
    )


def _nasbench101(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    cell = pruned_cell(nasbench101().admit(arch))
    _check_plain(skeleton, "nasbench101")
    _check_depth(skeleton, "nasbench101")
    shared = max(sum(row[-1] for row in cell.matrix[1:]), 1)
    if skeleton.channels < shared:
        raise SpecError(
            f"The vertices that make the output of {arch} share its channels, so it needs at least {shared}, but got "
            f"channels={skeleton.channels}."
        )
    return NasBench101Network(
        matrix=cell.matrix,
        operations=[NASBENCH101_OPERATIONS[op] for op in cell.ops],
        channels=skeleton.channels,
        cells=skeleton.cells,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
    )


def _darts(arch: Architecture, skeleton: Skeleton, space: ExtendedSpace | None = None) -> nn.Module:
    admitted = (space or darts()).admit(arch)
    known: list[Any] = [*CHOOSABLE, *_own(space, skeleton)]
    normal, reduce = cell_of(admitted, "normal", known), cell_of(admitted, "reduce", known)
    return build_genotype(Genotype(normal, CONCAT, reduce, CONCAT), skeleton)


def _nds_cells(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    admitted = nds.whole(arch.space).admit(arch)
    width, depth = nds.size_of(admitted)
    sized = dataclasses.replace(skeleton, channels=skeleton.channels or width, cells=skeleton.cells or depth)
    return build_genotype(
        Genotype(
            nds.cell_of(admitted, "normal"),
            nds.concat_of(admitted, "normal"),
            nds.cell_of(admitted, "reduce"),
            nds.concat_of(admitted, "reduce"),
        ),
        sized,
    )


def _nds_residual(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    stages = nds_residual.stages_of(nds_residual.whole(arch.space).admit(arch))
    _check_plain(skeleton, arch.space)
    if skeleton.channels or skeleton.cells:
        raise SpecError(
            f"An architecture of {arch.space} holds its own widths and depths; leave the skeleton's channels and cells "
            f"at 0, not {skeleton.channels} and {skeleton.cells}."
        )
    return ResidualNetwork(
        depths=[stage.depth for stage in stages],
        widths=[stage.width for stage in stages],
        strides=nds_residual.STRIDES,
        middles=[stage.width // stage.ratio if stage.ratio else 0 for stage in stages],
        groups=[stage.groups for stage in stages],
        stem=nds_residual.STEM_WIDTH,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
    )


def _mobile(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    units = units_of(ofa_mobilenetv3().admit(arch))
    _check_plain(dataclasses.replace(skeleton, style="cifar"), MOBILE)
    _check_width(skeleton, MOBILE)
    if skeleton.cells:
        raise SpecError(
            f"An architecture of {MOBILE} holds its own depths; leave the skeleton's cells at 0, not {skeleton.cells}."
        )
    return MobileNetworkV3(
        kernels=units.kernels,
        expansions=units.expansions,
        stem=skeleton.channels,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
        halved=skeleton.style == "imagenet",
    )


def _mnasnet(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    blocks = blocks_of(mnasnet().admit(arch))
    _check_plain(dataclasses.replace(skeleton, style="cifar"), MNASNET)
    _check_width(skeleton, MNASNET)
    if skeleton.cells:
        raise SpecError(
            f"An architecture of {MNASNET} holds its own depths; leave the skeleton's cells at 0, not {skeleton.cells}."
        )
    return MnasNetwork(
        blocks,
        multiplier=skeleton.channels / STEM,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
        halved=skeleton.style == "imagenet",
    )


def _blocks(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    space = blockqnn if arch.space == "blockqnn" else blockqnn_separable
    # How many layers a block may have, the architecture says itself.
    layers = block_of(space(layers=max(1, len(arch.choices))).admit(arch))
    _check_plain(dataclasses.replace(skeleton, style="cifar"), arch.space)
    _check_width(skeleton, arch.space)
    _check_depth(skeleton, arch.space)
    large = skeleton.style == "imagenet"
    widest = max(network_widths(layers, skeleton.channels, skeleton.cells, large))
    if widest > WIDEST_BLOCK:
        raise SpecError(
            f"The blocks of this network would widen to {widest:,} channels, more than {WIDEST_BLOCK:,}, since their "
            f"output holds their input several times: build it with fewer cells or channels than {skeleton.cells} and "
            f"{skeleton.channels}."
        )
    return BlockNetwork(
        layers,
        separable=arch.space == "blockqnn_separable",
        channels=skeleton.channels,
        cells=skeleton.cells,
        classes=skeleton.classes,
        inputs=skeleton.inputs,
        large=large,
    )


def _deepnets(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    # How many nodes its cells may have, the architecture says itself; a space of another number has no such choices.
    design = design_of(deepnets(nodes=nodes_of(arch), cells=36).admit(arch))
    _check_plain(dataclasses.replace(skeleton, style="cifar"), DEEPNETS)
    if skeleton.cells:
        raise SpecError(
            f"An architecture of {DEEPNETS} holds its own depth; leave the skeleton's cells at 0, not {skeleton.cells}."
        )
    if skeleton.channels < 2:
        raise SpecError(f"Networks of {DEEPNETS} need at least 2 channels, but got channels={skeleton.channels}.")
    return DeepNet(design, skeleton.channels, skeleton.classes, skeleton.inputs, skeleton.style, skeleton.size)


def _mlp(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    layers = layers_of(mlp().admit(arch))
    _check_plain(skeleton, PERCEPTRONS)
    if skeleton.channels or skeleton.cells:
        raise SpecError(
            f"An architecture of {PERCEPTRONS} holds its own widths and depth; leave the skeleton's channels and cells "
            f"at 0, not {skeleton.channels} and {skeleton.cells}."
        )
    return Perceptron(
        inputs=skeleton.inputs,
        widths=layers.widths,
        classes=skeleton.classes,
        activation=layers.activation,
        normalisation=layers.normalisation,
        dropout=layers.dropout,
        residual=layers.residual,
    )


def _sequence(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    _check_plain(skeleton, arch.space)
    if skeleton.channels or skeleton.cells:
        raise SpecError(
            f"An architecture of {arch.space} holds its own width and depth; leave the skeleton's channels and cells "
            f"at 0, not {skeleton.channels} and {skeleton.cells}."
        )
    classes = skeleton.classes
    if arch.space == CONV1D:
        return SignalConvolutions(inputs=skeleton.inputs, classes=classes, **asdict(signal_of(conv1d().admit(arch))))
    if arch.space == TEXTCNN:
        found = asdict(convolutional_of(textcnn().admit(arch)))
        return TextConvolutions(words=skeleton.inputs, classes=classes, **found)
    attentive = asdict(attentive_of(transformer().admit(arch)))
    return SentenceTransformer(words=skeleton.inputs, length=skeleton.size or 1, classes=classes, **attentive)


def _generated(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    admitted = generator_space(arch.space).admit(arch)
    _check_plain(dataclasses.replace(skeleton, style="cifar"), arch.space)
    if skeleton.channels or skeleton.cells:
        raise SpecError(
            f"An architecture of {arch.space} holds its own budget and depth; leave the skeleton's channels and cells "
            f"at 0, not {skeleton.channels} and {skeleton.cells}: {arch.space}(parameters=100000) makes networks small."
        )
    steps, generator, large = drawn_of(admitted).steps, generator_of(admitted), skeleton.style == "imagenet"
    budget, outside = int(admitted.choices[0]), {"classes": skeleton.classes, "inputs": skeleton.inputs}
    size = fitted_size(steps, generator.channels, budget, large=large, **outside)
    return GeneratedNetwork(steps, size.widths, size.head, large=large, **outside)


def _nested(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    # How many cells are distinct, the architecture says itself; a space of another number has no such choices.
    space = ddarts if arch.space == "ddarts" else dartopti
    distinct = max(1, len(arch.choices) // len(space(distinct=1).variables))
    return build_nested(genotype_of(space(distinct=distinct).admit(arch)), skeleton)


def _dense(arch: Architecture, skeleton: Skeleton) -> nn.Module:
    return build_nested(outline_of_architecture(arch).genotype(arch), skeleton)


BUILDERS: Mapping[str, Callable[[Architecture, Skeleton], nn.Module]] = {
    "nasbench201": _nasbench201,
    "nasbench101": _nasbench101,
    "natssize": _natssize,
    "darts": _darts,
    "mlp": _mlp,
    **dict.fromkeys((CONV1D, TEXTCNN, TRANSFORMER), _sequence),
    MOBILE: _mobile,
    MNASNET: _mnasnet,
    **dict.fromkeys(CONVOLUTIONS, _blocks),
    **dict.fromkeys(HNAG, _generated),
    DEEPNETS: _deepnets,
    **dict.fromkeys(nds.FAMILIES, _nds_cells),
    **dict.fromkeys(nds_residual.BLOCKS, _nds_residual),
    "ddarts": _nested,
    "dartopti": _nested,
    **dict.fromkeys(UNRESTRICTED, _dense),
}
EXTENDED: Mapping[str, Callable[[Architecture, Skeleton, ExtendedSpace], nn.Module]] = {
    "nasbench201": _nasbench201,
    "darts": _darts,
}
DEFAULTS: Mapping[str, Skeleton] = {
    "nasbench201": Skeleton(channels=16, cells=5),  # NAS-Bench-201, section 2.1
    "nasbench101": Skeleton(channels=128, cells=3),  # NAS-Bench-101, section 2.1
    "natssize": Skeleton(channels=0, cells=1),  # NATS-Bench, section 3.2
    "darts": Skeleton(channels=36, cells=20),  # DARTS, section 3.2
    **dict.fromkeys(
        ("mlp", CONV1D, *SENTENCES, *nds.FAMILIES, *nds_residual.BLOCKS, *HNAG), Skeleton(channels=0, cells=0)
    ),
    DEEPNETS: Skeleton(channels=32, cells=0),  # facebookresearch/ppuda, experiments/net_generator.py
    MOBILE: Skeleton(channels=16, cells=0),  # Once-for-all, at the width multiplier 1
    MNASNET: Skeleton(channels=STEM, cells=0),  # the same of MnasNet
    **dict.fromkeys(CONVOLUTIONS, Skeleton(channels=32, cells=4)),  # elenathfgs/BlockQNN_Keras, and IRLAS-mobile's
    "ddarts": Skeleton(channels=36, cells=8),  # README and train.py of aheuillet/D-DARTS
    "dartopti": Skeleton(channels=64, cells=4),  # the same
    "ddarts_dense": Skeleton(channels=36, cells=8),  # the same
    "dartopti_from": Skeleton(channels=64, cells=0),  # the same
}
DARTS_IMAGENET = Skeleton(channels=48, cells=14, classes=1000, style="imagenet")  # DARTS, section 3.3


# -- checks -----------------------------------------------------------------------------------------------------------


def _refuse_other(space: str, known: Iterable[str]) -> None:
    if space == RECURRENT:
        raise SpecError(
            f"Networks of {space} read texts, not images: give --data text:FOLDER and the evaluator trained."
        )
    if space == GENERATORS:
        raise SpecError(
            f"Networks of {space} make images instead of reading them, so that what reads images does not take them "
            "(latency, training_free): the evaluators trained and inherited do."
        )
    if space not in known:
        raise UnknownName("space with networks", space, known)


def _check_plain(skeleton: Skeleton, space: str) -> None:
    asked = [
        name
        for name, value in (("style", "cifar"), ("auxiliary", False), ("drop_path", 0.0))
        if getattr(skeleton, name) != value
    ]
    if asked:
        raise SpecError(
            f"Networks of {space} have no {' or '.join(asked)}; only those of darts, its kin and the cells of NDS do."
        )


def _check_width(skeleton: Skeleton, space: str) -> None:
    if skeleton.channels < 1:
        raise SpecError(f"Networks of {space} need at least 1 channel, but got channels={skeleton.channels}.")


def _check_depth(skeleton: Skeleton, space: str) -> None:
    if skeleton.cells < 1:
        raise SpecError(f"Networks of {space} need at least 1 cell, but got cells={skeleton.cells}.")


def _check_stem(skeleton: Skeleton) -> None:
    if skeleton.style == "imagenet" and skeleton.channels % 2:
        raise SpecError(
            f"The stem of an imagenet network halves its channels, so they must be even, but got {skeleton.channels}."
        )


def _check_size(skeleton: Skeleton, space: str, least: int) -> None:
    if skeleton.size is not None and skeleton.size < least:
        head = " with an auxiliary head" if skeleton.auxiliary else ""
        raise SpecError(
            f"Images of {skeleton.size}×{skeleton.size} are too small for a {skeleton.style} network of {space}{head}: "
            f"it needs at least {least}×{least}."
        )


def _check_cell(entries: Entries, concat: tuple[int, ...]) -> None:
    if not entries or len(entries) % 2:
        raise InvalidArchitecture(f"A cell needs two entries for each of its nodes, but got {len(entries)} entries.")
    for place, (name, state) in enumerate(entries):
        if name not in DARTS_OPERATIONS and not callable(name):  # an operation of one's own is what makes it
            raise UnknownName("operation of a cell", name, DARTS_OPERATIONS)
        if not 0 <= state < 2 + place // 2:
            raise InvalidArchitecture(
                f"Node {2 + place // 2} of a cell reads states 0..{1 + place // 2}, but got {(name, state)}."
            )
    states = 2 + len(entries) // 2
    if not concat or not all(2 <= state < states for state in concat):
        raise InvalidArchitecture(f"The output of a cell joins some of its nodes 2..{states - 1}, but got {concat}.")


@contextmanager
def drawing_from(seed: int | None) -> Iterator[None]:
    """Let modules made inside draw their weights from a seed alone, or, without one, from torch's global state."""
    if seed is None:
        yield
        return
    with torch.random.fork_rng(devices=[]):
        # Only the generator of the CPU, where modules are initialised: torch.manual_seed would reach the GPU's too.
        torch.default_generator.manual_seed(seed)
        yield
