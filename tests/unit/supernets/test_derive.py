from __future__ import annotations

import torch

from ogive.spaces.darts import OPS, cell_of
from ogive.spaces.ddarts import ddarts, genotype_of
from ogive.supernets.derive import open_gates, ranking, strongest
from ogive.supernets.plan import DARTS, NASBENCH201


def test_an_edge_of_nasbench201_holds_its_strongest_operation_none_included() -> None:
    strengths = torch.tensor([[0.5, 0.1, 0.1, 0.1, 0.2], [0.1, 0.1, 0.1, 0.6, 0.1], [0.2, 0.2, 0.2, 0.2, 0.2]] * 2)
    assert strongest(strengths) == (0, 3, 0, 0, 3, 0)
    assert NASBENCH201.derive([strengths]).choices == (0, 3, 0, 0, 3, 0)


def test_the_derived_architecture_of_darts_has_both_cells() -> None:
    strengths = torch.zeros(14, 8)
    strengths[:, OPS.index("sep_conv_3x3")] = 1.0
    other = torch.zeros(14, 8)
    other[:, OPS.index("skip_connect")] = 1.0
    arch = DARTS.derive([strengths, other])
    assert {name for name, _ in cell_of(arch, "normal")} == {"sep_conv_3x3"}
    assert {name for name, _ in cell_of(arch, "reduce")} == {"skip_connect"}


def test_what_an_architecture_says_about_its_cells_is_derived_back() -> None:
    strengths = [torch.rand(14, 8, generator=torch.Generator().manual_seed(seed)) for seed in range(2)]
    arch = DARTS.derive(strengths)
    choices = DARTS.choices(arch)
    assert all(sum(map(len, choices[kind])) == 8 for kind in DARTS.kinds)
    again = [torch.zeros(14, 8) for _ in DARTS.kinds]
    for matrix, kind in zip(again, DARTS.kinds, strict=True):
        for edge, ops in enumerate(choices[kind]):
            for op in ops:
                matrix[edge, op] = 1.0
    assert DARTS.derive(again) == arch


def test_fair_darts_keeps_the_open_gates_of_the_two_strongest_edges_of_a_node() -> None:
    normal, reduce = torch.full((14, 8), 0.2), torch.full((14, 8), 0.9)
    # Node 2: both edges are open; node 3: one; node 4: three, of which the strongest two count; node 5: none.
    for source, target, op, value in (
        (0, 2, "sep_conv_3x3", 0.9), (1, 2, "skip_connect", 0.85), (2, 3, "dil_conv_5x5", 0.95),
        (0, 4, "max_pool_3x3", 0.86), (1, 4, "sep_conv_5x5", 0.97), (3, 4, "skip_connect", 0.99), (4, 5, "none", 0.99),
    ):  # fmt: skip
        normal[DARTS.edges.index((source, target)), OPS.index(op)] = value
    arch = open_gates([normal, reduce], ("normal", "reduce", "normal"), 0.85)
    cells = genotype_of(arch).cells
    assert arch.space == "ddarts"
    assert set(cells[0]) == {
        ("sep_conv_3x3", 2, 0), ("skip_connect", 2, 1), ("dil_conv_5x5", 3, 2), ("sep_conv_5x5", 4, 1),
        ("skip_connect", 4, 3),
    }  # fmt: skip
    assert cells[0] == cells[2]
    assert len(cells[1]) == 8
    assert {op for op, _, _ in cells[1]} == {"max_pool_3x3"}  # the first of equals


def test_a_cell_without_an_open_gate_is_a_cell_all_the_same() -> None:
    shut = [torch.full((14, 8), 0.1) for _ in DARTS.kinds]
    arch = open_gates(shut, ("normal", "reduce"), 0.85)
    assert ddarts(distinct=2).is_legal(arch.choices)
    assert all(cell for cell in genotype_of(arch).cells)


def test_a_ranking_is_that_of_the_operations_with_weights() -> None:
    strengths = torch.tensor([[0.9, 0.8, 0.7, 0.6, 0.1, 0.3, 0.2, 0.3]])
    convolutions = [OPS.index(name) for name in ("sep_conv_5x5", "dil_conv_5x5", "dil_conv_3x3", "sep_conv_3x3")]
    assert ranking([strengths], OPS) == tuple(convolutions)
    other = strengths.clone()
    other[0, :4] = 0.0  # neither skip connections nor pools have weights
    assert ranking([other], OPS) == ranking([strengths], OPS)
