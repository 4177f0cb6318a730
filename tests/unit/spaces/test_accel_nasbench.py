from __future__ import annotations

import pytest

from ogive.core.errors import InvalidArchitecture
from ogive.spaces.accel_nasbench import accel_nasbench
from ogive.testing import check_space

TEXT = "e6k3l1s0-e6k5l2s0-e6k3l3s1-e6k5l3s0-e6k5l2s0-e1k3l2s0-e4k3l4s1"


def test_the_space_keeps_its_promises() -> None:
    check_space(accel_nasbench())


def test_seven_blocks_have_48_combinations_each() -> None:
    assert accel_nasbench().size == 48**7


def test_a_network_is_written_block_by_block() -> None:
    arch = accel_nasbench().parse(TEXT)
    assert arch.choices[:4] == (2, 0, 0, 0)
    assert arch.choices[-4:] == (1, 0, 3, 1)
    assert accel_nasbench().format(arch) == TEXT


def test_the_picture_has_every_layer() -> None:
    graph = accel_nasbench().draw(accel_nasbench().parse(TEXT))
    assert len(graph.ops) == 4 + 1 + 2 + 3 + 3 + 2 + 2 + 4
    assert graph.ops[:3] == ("input", "stem", "mbconv_e6_k3")
    assert graph.ops[-3:] == ("mbconv_e4_k3_se", "head", "output")


@pytest.mark.parametrize(
    "text", ["", TEXT[:-9], TEXT + "-e6k3l1s0", TEXT.replace("e1", "e3"), TEXT.replace("k5", "k7")]
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="written as 7 words"):
        accel_nasbench().parse(text)
