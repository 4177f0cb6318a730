from __future__ import annotations

import math

import pytest

from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture
from ogive.spaces.darts_rnn import CONCAT, OPS, PUBLISHED, architecture, cell_of, darts_rnn

# As quark0/darts, rnn/genotypes.py writes it.
DARTS_V2 = (
    "Genotype(recurrent=[('sigmoid', 0), ('relu', 1), ('relu', 1), ('identity', 1), ('tanh', 2), ('sigmoid', 5), "
    "('tanh', 3), ('relu', 5)], concat=range(1, 9))"
)


def test_the_space_has_every_wiring_of_eight_nodes_and_four_activations_on_each() -> None:
    assert darts_rnn().size == math.factorial(8) * 4**8
    assert OPS[0] == "none"
    assert all("none" not in variable.options for variable in darts_rnn().variables)


def test_a_published_cell_is_read_and_written_back() -> None:
    arch = darts_rnn().parse(DARTS_V2)
    assert cell_of(arch) == PUBLISHED["darts_v2"].recurrent
    assert architecture(cell_of(arch)) == arch
    assert darts_rnn().parse(darts_rnn().format(arch)) == arch
    assert darts_rnn().format(arch) == DARTS_V2.replace("range(1, 9)", str(list(CONCAT)))


def test_the_cell_of_enas_is_data_but_no_architecture() -> None:
    enas = PUBLISHED["enas"]
    read = {state for _, state in enas.recurrent}
    assert enas.concat == tuple(node for node in range(1, 12) if node not in read)  # the loose ends
    with pytest.raises(InvalidArchitecture, match="has 8 nodes, got 11"):
        architecture(enas.recurrent)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("('relu', 5)", "('relu', 8)", "State 8 of a darts_rnn cell reads one of the states 0..7, got 8"),
        ("('relu', 5)", "('relu', -1)", "got -1"),
        ("('relu', 5)", "('none', 5)", "cannot hold the operation 'none'"),
        ("('relu', 5)", "('rely', 5)", "Did you mean 'relu'"),
        (", ('relu', 5)", "", "a list of 8 pairs"),
        ("('relu', 5)", "('relu', '5')", "a list of 8 pairs"),
        ("range(1, 9)", "range(2, 9)", "mean of the states 1..8"),
        ("range(1, 9)", "8", "mean of the states 1..8"),
        (", concat=range(1, 9)", "", "Cannot read"),
    ],
)
def test_a_cell_of_another_space_is_refused(old: str, new: str, complaint: str) -> None:
    assert old in DARTS_V2
    with pytest.raises(InvalidArchitecture, match=complaint):
        darts_rnn().parse(DARTS_V2.replace(old, new))


def test_the_drawing_is_one_moment_of_the_cell() -> None:
    graph = darts_rnn().draw(darts_rnn().parse(DARTS_V2))
    assert graph.ops[:3] == ("input", "state_0", "sigmoid")
    assert graph.ops[-2:] == ("mean", "output")
    assert len(graph.predecessors(10)) == 8
    assert graph.predecessors(9) == [6]  # the last node reads state 5
    assert graph.pruned() == graph


def test_the_first_architecture_is_a_chain_from_state_0() -> None:
    assert cell_of(Architecture("darts_rnn", (0,) * 16)) == (("tanh", 0),) * 8
