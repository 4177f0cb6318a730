from __future__ import annotations

import pytest

from ogive.networks.build import build, build_genotype, default_skeleton
from ogive.networks.darts import DartsNetwork
from ogive.networks.genotypes import PUBLISHED, Genotype
from ogive.spaces.darts import darts


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_cells_build_and_are_plain_data(name: str) -> None:
    genotype = PUBLISHED[name]
    assert Genotype(*genotype) == genotype
    network = build_genotype(genotype, default_skeleton("darts", channels=4, cells=3))
    assert network.recipe["normal"] == genotype.normal
    assert network.recipe["reduce_concat"] == genotype.reduce_concat


def test_a_published_cell_and_its_architecture_build_the_same_network() -> None:
    genotype = PUBLISHED["drnas_cifar10"]
    text = (
        f"Genotype(normal={list(genotype.normal)}, normal_concat={list(genotype.normal_concat)}, "
        f"reduce={list(genotype.reduce)}, reduce_concat={list(genotype.reduce_concat)})"
    )
    skeleton = default_skeleton("darts", channels=4, cells=3)
    network = build(darts().parse(text), skeleton)
    assert isinstance(network, DartsNetwork)
    published = build_genotype(genotype, skeleton)
    for cell, other in zip(network.cells, published.cells, strict=True):
        # The order of a node's two entries may differ, what they are may not.
        pairs = [sorted(zip(map(str, part.operations), part.states, strict=True)) for part in (cell, other)]
        assert pairs[0] == pairs[1]
