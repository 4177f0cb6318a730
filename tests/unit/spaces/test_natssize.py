from __future__ import annotations

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.natssize import natssize, widths_of


def test_the_space_has_five_layers_of_eight_widths() -> None:
    assert len(natssize()) == 32_768


def test_the_published_string_is_read_and_written() -> None:
    arch = natssize().parse("8:64:24:32:40")
    assert arch == Architecture("natssize", (0, 7, 2, 3, 4))
    assert widths_of(arch) == (8, 64, 24, 32, 40)
    assert natssize().format(arch) == "8:64:24:32:40"


@pytest.mark.parametrize("text", ["", "8:16:24:32", "8:16:24:32:40:48", "8:16:24:32:41", "8;16;24;32;40", "a:b:c:d:e"])
def test_a_string_that_is_no_network_is_refused(text: str) -> None:
    with pytest.raises(InvalidArchitecture, match="such as 8:16:24:32:40"):
        natssize().read(text)  # type: ignore[misc]


def test_the_drawing_is_a_chain_with_the_widths_in_it() -> None:
    graph = natssize().draw(Architecture("natssize", (0, 1, 2, 3, 4)))
    assert graph.ops == ("input", "stem_8", "cell_8", "reduction_16", "cell_24", "reduction_32", "cell_40", "output")
    assert graph.edges == {(node, node + 1) for node in range(7)}
