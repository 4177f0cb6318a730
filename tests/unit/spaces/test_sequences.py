from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.space import SearchSpace
from ogive.core.tokens import TokenForm
from ogive.features import Tokens
from ogive.spaces.nasbench101 import module_hash
from ogive.spaces.nasbench201 import nasbench201
from ogive.testing import check_space

ONE_SIZE = "nds_enas(widths=[16], depths=[8])"
# Length, vocabulary and step as in the papers, where they have them.
FORMS = {
    "nasbench201": (12, 9, 2),
    "nasbench101": (27, 7, 1),
    "darts": (32, 13, 2),
    "darts_rnn": (16, 13, 2),
    ONE_SIZE: (40, 12, 2),
    "nds_enas": (42, 20, 2),
    "nds_darts": (34, 22, 2),
}


class Mine:
    name = "mine"

    def __call__(self, channels: int, stride: int) -> None:
        raise NotImplementedError


def space_of(text: str) -> SearchSpace:
    space: SearchSpace = catalog.build("space", text)
    return space


def form_of(text: str) -> TokenForm:
    form = space_of(text).tokens
    assert form is not None
    return form


def decoded(form: TokenForm, count: int, seed: int = 0) -> np.ndarray:
    """Random tokens, one after the other, each of those that are legal."""
    rng = np.random.default_rng(seed)
    tokens = np.zeros((count, 0), np.int64)
    for _ in range(form.length):
        weights = rng.random((count, form.vocabulary)) * form.legal(tokens)
        tokens = np.column_stack([tokens, weights.argmax(axis=1)])
    return tokens


def sampled(space: SearchSpace, count: int) -> Iterator[Architecture]:
    rng = np.random.default_rng(0)
    return (space.sample(rng) for _ in range(count))


@pytest.mark.parametrize("text", FORMS)
def test_the_lengths_and_vocabularies_are_those_of_the_papers(text: str) -> None:
    form = form_of(text)
    assert (form.length, form.vocabulary, form.step) == FORMS[text]
    assert form.length % form.step == 0


@pytest.mark.parametrize("text", FORMS)
def test_a_sequence_is_read_as_the_architecture_that_was_written(text: str) -> None:
    space, form = space_of(text), form_of(text)
    for arch in sampled(space, 200):
        tokens = form.written(arch)
        read = form.read(tokens)
        assert form.written(read) == tokens
        same = module_hash(read) == module_hash(arch) if text == "nasbench101" else read == arch
        assert same, arch


@pytest.mark.parametrize("text", FORMS)
def test_whatever_is_written_within_the_masks_is_an_architecture(text: str) -> None:
    space, form = space_of(text), form_of(text)
    rows = decoded(form, 300)
    archs = [space.admit(form.read(row)) for row in rows.tolist()]
    assert len(set(archs)) > 150
    if text != "darts":  # whose architectures do not say which addend is the first
        assert [form.written(arch) for arch in archs] == list(map(tuple, rows.tolist()))


@pytest.mark.parametrize("text", ["darts", ONE_SIZE])
def test_mirrored_sequences_are_the_same_network(text: str) -> None:
    space, form = space_of(text), form_of(text)
    archs = list(sampled(space, 100))
    rows = np.array([form.written(arch) for arch in archs])
    mirrored = form.mirrored(rows, np.random.default_rng(0))
    assert 0.5 < (rows != mirrored).any(axis=1).mean() < 1
    for arch, row in zip(archs, mirrored.tolist(), strict=True):
        assert space.draw(form.read(row)).canonical() == space.draw(arch).canonical()


@pytest.mark.parametrize("text", ["nasbench201", "nasbench101", "darts_rnn"])
def test_without_a_symmetry_sequences_stay(text: str) -> None:
    rows = decoded(form_of(text), 20)
    np.testing.assert_array_equal(form_of(text).mirrored(rows, np.random.default_rng(0)), rows)


def test_one_cell_is_written_as_the_papers_have_it() -> None:
    cell = space_of("nasbench201").check((3, 0, 1, 4, 2, 3))
    assert form_of("nasbench201").written(cell) == (1, 7, 1, 4, 2, 5, 1, 8, 2, 6, 3, 7)
    # Two inner vertices: input to a 3 x 3 convolution, from there to a pooling, both to the output; then nothing.
    matrix = [[0, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    cell = space_of("nasbench101").parse(f"ModelSpec({matrix}, ['input', 'conv3x3-bn-relu', 'maxpool3x3', 'output'])")
    assert form_of("nasbench101").written(cell) == (2, 4, 1, 2, 5, 1, 2, 2, 6, *[0] * 18)


def test_the_edges_that_are_left_are_kept_for_loose_ends() -> None:
    # Eight edges so far: without the ninth, vertex 3 and the vertex being written would need two more.
    begun = np.array([[2, 3, 2, 2, 3, 2, 2, 2, 3, 2, 2, 1]])
    form = form_of("nasbench101")
    assert np.flatnonzero(form.legal(begun)[0]).tolist() == [2]
    assert np.flatnonzero(form.legal(np.column_stack([begun, [[2]]]))[0]).tolist() == [6]


def test_an_own_operation_has_a_token() -> None:
    space = nasbench201(operation=Mine())
    assert space.tokens is not None
    assert space.tokens.vocabulary == 10
    arch = space.check((5, 0, 0, 0, 0, 5))
    assert space.tokens.read(space.tokens.written(arch)) == arch


def test_sequences_of_something_else_are_refused_in_one_line() -> None:
    form = form_of("nasbench201")
    with pytest.raises(InvalidArchitecture, match="has 12 tokens, but got 2"):
        form.read((1, 4))
    with pytest.raises(InvalidArchitecture, match=r"Token 4 of the sequence is one of \[2\], but got 1"):
        form.read((1, 7, 1, 4, 1, 5, 1, 8, 2, 6, 3, 7))
    larger = next(sampled(space_of("nds_enas(widths=[24], depths=[8])"), 1))
    with pytest.raises(InvalidArchitecture, match="another size"):
        form_of(ONE_SIZE).written(larger)


def test_tokens_are_an_encoder_of_spaces_that_have_them() -> None:
    space = space_of("darts_rnn")
    encoder, archs = Tokens(space=space), list(sampled(space, 5))
    np.testing.assert_array_equal(encoder(archs), [form_of("darts_rnn").written(arch) for arch in archs])
    assert encoder([]).shape == (0, 16)
    with pytest.raises(SpecError, match="autogan has no form as sequences of tokens"):
        Tokens(space=space_of("autogan"))


@pytest.mark.parametrize("text", ["nasbench101", ONE_SIZE, "darts"])
def test_spaces_with_sequences_can_be_sent_to_another_process(text: str) -> None:
    check_space(space_of(text), samples=5)
