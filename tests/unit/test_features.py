from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.space import Choice, Draw, Real, SearchSpace
from ogive.features import (
    Adjacency,
    Layers,
    OneHot,
    Ordinal,
    Paths,
)
from ogive.spaces import nasbench201
from ogive.spaces.nasbench201 import OPS
from ogive.spaces.ofa_mobilenetv3 import ofa_mobilenetv3

DIAMOND = Graph(("input", "conv", "pool", "output"), frozenset({(0, 1), (0, 2), (1, 3), (2, 3)}))
NONE, SKIP, CONV1, CONV3, POOL = range(5)


def no_graph(_: Architecture) -> Graph:
    return Graph((), frozenset())


# -- encoders ---------------------------------------------------------------------------------------------------------

ENCODERS = (OneHot, Ordinal, Adjacency, Paths)
MIXED = SearchSpace("mixed", (Choice("op", ("a", "b", "c")), Real("rate", -1.0, 3.0), Choice("one", ("x",))), no_graph)


def test_each_option_has_a_column_and_a_real_variable_one_between_0_and_1() -> None:
    archs = [Architecture("mixed", (2, 0.0, 0)), Architecture("mixed", (0, 3.0, 0))]
    encoder = OneHot(space=MIXED)
    assert encoder.width == 5
    np.testing.assert_array_equal(encoder(archs), [[0, 0, 1, 0.25, 1], [1, 0, 0, 1, 1]])
    np.testing.assert_array_equal(Ordinal(space=MIXED)(archs), [[1, 0.25, 0], [0, 1, 0]])


def test_draws_have_no_column() -> None:
    variables = (Draw("before", 2), Choice("op", ("a", "b", "c")), Draw("draw", 9), Real("rate", -1.0, 3.0))
    space = SearchSpace("drawn", variables, no_graph)
    archs = [Architecture("drawn", (1, 2, 8, 0.0)), Architecture("drawn", (0, 2, 3, 0.0))]
    np.testing.assert_array_equal(OneHot(space=space)(archs), [[0, 0, 1, 0.25]] * 2)
    np.testing.assert_array_equal(Ordinal(space=space)(archs), [[1, 0.25]] * 2)


def test_kernels_and_then_expansions_of_layers_have_columns_and_skipped_layers_zeros() -> None:
    space = ofa_mobilenetv3()
    arch = space.parse("k57553337553773335555 e43444634434336664344 d23243")
    (row,) = Layers(space=space)([arch])
    kernels, expansions = row[:60].reshape(20, 3), row[60:].reshape(20, 3)
    assert [tuple(kind) for kind in kernels[:4].tolist()] == [(0, 1, 0), (0, 0, 1), (0, 0, 0), (0, 0, 0)]
    assert [tuple(kind) for kind in expansions[:4].tolist()] == [(0, 1, 0), (1, 0, 0), (0, 0, 0), (0, 0, 0)]
    assert row.sum() == 2 * (2 + 3 + 2 + 4 + 3)
    with pytest.raises(SpecError, match=r"by layers is one of ofa_mobilenetv3, not of darts: use one_hot"):
        Layers(space=catalog.build("space", "darts"))


def test_a_picture_becomes_its_edges_and_operations() -> None:
    space = nasbench201.nasbench201()
    encoder = Adjacency(space=space)
    assert encoder.nodes == 8
    assert encoder.operations == ("avg_pool_3x3", "input", "nor_conv_1x1", "nor_conv_3x3", "output", "skip_connect")
    assert encoder.width == 8 * 7 // 2 + 8 * 6
    (row,) = encoder([space.check((NONE, NONE, NONE, CONV3, NONE, NONE))])
    edges = np.zeros((8, 8))
    edges[0, 1] = edges[1, 2] = 1
    kinds = np.zeros((8, 6))
    kinds[[0, 1, 2], [1, 3, 4]] = 1
    np.testing.assert_array_equal(row, np.concatenate((edges[np.triu_indices(8, 1)], kinds.ravel())))


def test_the_paths_of_a_cell_are_its_columns() -> None:
    space = nasbench201.nasbench201()
    encoder = Paths(space=space)
    # Of one, two or three operations that are not none: 4 + 16 + 64.
    assert set(encoder.paths) == {path for n in (1, 2, 3) for path in product(sorted(set(OPS) - {"none"}), repeat=n)}
    (row,) = encoder([space.check((SKIP, NONE, CONV1, CONV3, POOL, NONE))])
    present = {encoder.paths[column] for column in np.flatnonzero(row)}
    # Edges 0>1 skip, 1>2 a convolution that leads nowhere, 0>3 a convolution, 1>3 a pooling.
    assert present == {("nor_conv_3x3",), ("skip_connect", "avg_pool_3x3")}
    assert Paths(space=space, columns=3).width == 3


@pytest.mark.parametrize("name", catalog.names("space"))
def test_every_space_has_encodings_of_rows_that_depend_on_their_architecture_alone(name: str) -> None:
    space = catalog.build("space", name)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(12)]
    # Which draw of something random an architecture is, no model sees.
    seen = [place for place, variable in enumerate(space.variables) if not isinstance(variable, Draw)]
    for kind in (OneHot, Ordinal):
        rows = kind(space=space)(archs)
        assert rows.dtype == np.float32
        assert rows.min() >= 0
        assert rows.max() <= 1
        assert len(np.unique(rows, axis=0)) == len({tuple(arch.choices[place] for place in seen) for arch in archs})
        np.testing.assert_array_equal(kind(space=space)(archs[::-1]), rows[::-1])


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        *((Adjacency, name) for name in ("nasbench201", "nasbench101", "natssize", "darts", "autogan", "nds_pnas")),
        *((Paths, name) for name in ("nasbench201", "nasbench101", "darts_rnn")),
    ],
)
def test_spaces_that_draw_graphs_are_encoded_by_them(kind: type[Adjacency] | type[Paths], name: str) -> None:
    space = catalog.build("space", name)
    rng = np.random.default_rng(0)
    archs = [space.sample(rng) for _ in range(12)]
    encoder, again = kind(space=space), kind(space=space)
    rows = encoder(archs)
    assert rows.shape == (12, encoder.width)
    assert len(np.unique(rows, axis=0)) > 6
    np.testing.assert_array_equal(again(archs[::-1]), rows[::-1])
    np.testing.assert_array_equal(encoder(archs), rows)


@pytest.mark.parametrize("kind", ENCODERS)
def test_an_architecture_of_another_space_is_not_encoded(kind: type[OneHot]) -> None:
    encoder = kind(space=nasbench201.nasbench201())
    assert encoder([]).shape == (0, encoder.width)
    with pytest.raises(InvalidArchitecture, match="no architecture of nasbench201"):
        encoder([Architecture("natssize", (0,) * 5)])


def test_a_space_without_such_an_encoding_is_refused_in_one_line() -> None:
    for kind in (Adjacency, Paths):
        with pytest.raises(SpecError, match="mixed are not drawn as graphs: encode them with one_hot"):
            kind(space=MIXED)
    with pytest.raises(SpecError, match=r"at most 1,000 of them through one architecture, but one of ddarts has"):
        Paths(space=catalog.build("space", "ddarts"))
    with pytest.raises(SpecError, match="Most architectures of natssize share no path"):
        Paths(space=catalog.build("space", "natssize"))
    with pytest.raises(SpecError, match="columns=0"):
        Paths(space=nasbench201.nasbench201(), columns=0)
