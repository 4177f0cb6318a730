"""How the architectures of a space share weights: which spaces have a supernet, and how one is made.

A space of one's own gets a supernet by being a `CellSpace`, whose `Sharing` says all that strategies and evaluators
need to know: ``examples/own_supernet.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial as bound

from ogive.core.errors import SpecError, UnknownName
from ogive.core.space import SearchSpace
from ogive.networks.build import Skeleton, drawing_from, image_shape, smallest_image
from ogive.spaces.ddarts import OPERATIONS as SPARSE
from ogive.spaces.extended import ExtendedSpace
from ogive.spaces.unrestricted import UNRESTRICTED, Outline, outline_of
from ogive.supernets.nested import NestedSupernet, nested_plan
from ogive.supernets.networks import DartsSupernet, NasBench201Supernet, Supernet
from ogive.supernets.plan import DARTS, NASBENCH201, CellChoices, Plan, darts_plan, nasbench201_plan

__all__ = ["SHARED", "CellSpace", "Make", "Sharing", "nested_sharing", "sharing_of", "supernet"]

# A supernet of a size, of what its cells may hold (by kind, or cell by cell), in which 1/partial of the channels take
# part.
Make = Callable[[Skeleton, Mapping[str, CellChoices] | Sequence[CellChoices], int], Supernet]


def _one_pixel(skeleton: Skeleton) -> int:
    return 1


@dataclass(frozen=True)
class Sharing:
    """What a supernet of a space is.

    * `plan`: the cells that an architecture describes;
    * `make`: the supernet, with weights drawn from torch's global stream;
    * `skeleton`: its published size;
    * `smallest`: the least side of an image that a supernet of a size can read, in pixels;
    * `has_depth`: whether its number of cells is that of the space, which no option changes.
    """

    plan: Plan
    make: Make
    skeleton: Skeleton
    smallest: Callable[[Skeleton], int] = _one_pixel
    has_depth: bool = False

    def sized(
        self, shape: tuple[int, ...], classes: int, *, channels: int | None = None, cells: int | None = None
    ) -> Skeleton:
        """The published size, unless another is given, for images (C, H, W) of so many classes."""
        default = self.skeleton
        inputs, *sides = image_shape(shape, "a supernet")
        return replace(
            default,
            channels=default.channels if channels is None else channels,
            cells=default.cells if cells is None or self.has_depth else cells,
            classes=classes,
            inputs=inputs,
            size=min(sides),
        )

    def check(self, skeleton: Skeleton, partial: int = 1) -> None:
        """Raise SpecError for a size that a supernet cannot have."""
        if partial < 1:
            raise SpecError(f"1/partial of the channels take part, and partial is at least 1, but got {partial}.")
        if skeleton.channels < 1:
            raise SpecError(f"The channels of a supernet must be at least 1, but got channels={skeleton.channels}.")
        if skeleton.channels % partial:
            raise SpecError(
                f"The channels of a supernet must be a multiple of partial={partial}, but got "
                f"channels={skeleton.channels}."
            )
        if self.has_depth and skeleton.cells != self.skeleton.cells:
            raise SpecError(
                f"A supernet of {self.plan.space} has {self.skeleton.cells} layers, but got {skeleton.cells}."
            )
        if skeleton.cells < 1:
            raise SpecError(f"The cells of a supernet must be at least 1, but got {skeleton.cells}.")
        if skeleton.style != "cifar" or skeleton.auxiliary:
            raise SpecError("A supernet has the style cifar and no auxiliary head.")
        least = self.smallest(skeleton)
        if skeleton.size is not None and skeleton.size < least:
            raise SpecError(
                f"Images of {skeleton.size}×{skeleton.size} are too small for the reductions of a supernet of "
                f"{self.plan.space}: it needs at least {least}×{least}."
            )


@dataclass(frozen=True, eq=False, kw_only=True)
class CellSpace(SearchSpace):
    """A space that says itself how its architectures share weights."""

    sharing: Sharing


SHARED: Mapping[str, Sharing] = {
    # DARTS, section 3.1.1
    "darts": Sharing(DARTS, DartsSupernet, Skeleton(channels=16, cells=8), bound(smallest_image, "darts")),
    # NAS-Bench-201, section 2.1
    "nasbench201": Sharing(NASBENCH201, NasBench201Supernet, Skeleton(channels=16, cells=5)),
}


def sharing_of(space: SearchSpace) -> Sharing:
    """How the architectures of a space share weights; UnknownName for a space that has no supernet."""
    if isinstance(space, CellSpace):
        return space.sharing
    if isinstance(space, ExtendedSpace):
        plan = darts_plan(space) if space.base == "darts" else nasbench201_plan(space)
        kind = DartsSupernet if space.base == "darts" else NasBench201Supernet
        return replace(SHARED[space.base], plan=plan, make=bound(kind, plan=plan))
    if space.name in SPARSE or space.name in UNRESTRICTED:
        return nested_sharing(outline_of(space))
    if space.name not in SHARED:
        raise UnknownName("space with a supernet", space.name, (*SHARED, *SPARSE, *UNRESTRICTED))
    return SHARED[space.name]


def nested_sharing(outline: Outline) -> Sharing:
    """The same for nested cells: their outline says how many layers there are, and which of them are one cell."""
    return Sharing(
        plan=nested_plan(outline),
        make=lambda skeleton, choices, partial: NestedSupernet(skeleton, outline, choices, partial),
        skeleton=Skeleton(channels=16, cells=len(outline.layers)),  # aheuillet/D-DARTS, README
        smallest=lambda skeleton: 1 << len(outline.reductions),
        has_depth=True,
    )


def supernet(
    shared: Sharing | str,
    skeleton: Skeleton,
    *,
    seed: int | None = None,
    choices: Mapping[str, CellChoices] | Sequence[CellChoices] | None = None,
    partial: int = 1,
    without: Collection[str] = (),
) -> Supernet:
    """A supernet with fresh weights, drawn from `seed` alone, or from torch's global state without one.

    `shared` may be the name of a space in `SHARED`. `choices` restricts what edges may hold, for each kind of cell or
    for every cell; by default everything is allowed but the operations in `without`.
    Raises UnknownName for a space without a supernet, SpecError for a size that cannot be.
    """
    if isinstance(shared, str):
        if shared not in SHARED:
            raise UnknownName("space with a supernet", shared, SHARED)
        shared = SHARED[shared]
    shared.check(skeleton, partial)
    plan = shared.plan
    if choices is None:
        everything = tuple(tuple(op for op in row if plan.operations[op] not in without) for row in plan.everything)
        choices = dict.fromkeys(plan.kinds, everything)
    with drawing_from(seed):
        return shared.make(skeleton, choices, partial)
