from __future__ import annotations

import pickle

import pytest
import torch

from ogive.core.errors import SpecError, UnknownName
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import ddarts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.unrestricted import dartopti_from
from ogive.supernets.partition import Edge, partition
from ogive.supernets.plan import DARTS, NASBENCH201
from ogive.supernets.sharing import CellSpace, Sharing, sharing_of, supernet

pytestmark = pytest.mark.usefixtures("one_thread")


def test_published_spaces_have_their_published_sizes() -> None:
    assert sharing_of(darts()).plan is DARTS
    assert sharing_of(nasbench201()).plan is NASBENCH201
    sized = sharing_of(darts()).sized((3, 32, 32), 10)
    assert (sized.channels, sized.cells, sized.classes, sized.inputs, sized.size) == (16, 8, 10, 3, 32)
    given = Skeleton(channels=4, cells=3, classes=4, inputs=1, size=8)
    assert sharing_of(darts()).sized((1, 8, 9), 4, channels=4, cells=3) == given


def test_nested_cells_have_the_depth_of_their_space() -> None:
    shared = sharing_of(ddarts(distinct=3))
    assert shared.plan.kinds == ("cell 0", "cell 1", "cell 2")
    assert shared.sized((3, 32, 32), 10, cells=20).cells == 3
    assert sharing_of(dartopti_from(network="resnet18")).skeleton.cells == len(
        supernet(sharing_of(dartopti_from(network="resnet18")), Skeleton(2, 4)).kinds
    )
    with pytest.raises(SpecError, match="has 3 layers, but got 4"):
        supernet(shared, Skeleton(4, 4))


def test_a_space_may_bring_its_supernet_along() -> None:
    plain = nasbench201()
    shared = Sharing(NASBENCH201, sharing_of(plain).make, Skeleton(channels=3, cells=2))
    own = CellSpace("own", plain.variables, plain.draw, sharing=shared)
    assert sharing_of(own) is shared
    assert len(supernet(sharing_of(own), shared.skeleton, seed=0).mixed) == 6


def test_a_space_without_a_supernet_is_refused_by_name() -> None:
    with pytest.raises(UnknownName, match="space with a supernet named 'nasbench101'"):
        sharing_of(nasbench101())
    with pytest.raises(UnknownName, match="Did you mean 'darts'"):
        supernet("dart", Skeleton(4, 3))


def test_the_sharing_of_a_plain_space_needs_no_function_that_cannot_be_sent() -> None:
    assert pickle.loads(pickle.dumps(Sharing(DARTS.__class__, len, Skeleton(4, 1)))).skeleton == Skeleton(4, 1)  # type: ignore[arg-type]


@pytest.mark.parametrize("edge", [Edge("cell 0", 0), Edge("cell 1", 3)], ids=str)
def test_every_nested_architecture_has_one_part_that_computes_what_the_whole_computes(edge: Edge) -> None:
    space = ddarts(distinct=2)
    whole = supernet(sharing_of(space), Skeleton(channels=4, cells=2), seed=0).eval()
    parts = partition(whole, (edge,))
    assert len(parts) == 8
    rng, images = Seed(0).numpy("architectures"), torch.randn(2, 3, 8, 8)
    seen = set()
    for _ in range(20):
        arch = space.sample(rng)
        holding = [key for key, part in parts if part.holds(arch)]
        assert parts.route(arch) in holding
        seen.add(parts.route(arch))
        with torch.no_grad():
            torch.testing.assert_close(parts.network(arch)(images), whole.network(arch)(images), rtol=0, atol=0)
    assert len(seen) > 4
