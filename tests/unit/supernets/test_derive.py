from __future__ import annotations

import torch

from ogive.spaces.darts import OPS, cell_of
from ogive.supernets.derive import strongest
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
