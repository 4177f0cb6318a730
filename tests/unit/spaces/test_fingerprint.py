from __future__ import annotations

import hashlib
import itertools

import numpy as np
import pytest

from ogive.spaces import fingerprint as module
from ogive.spaces.fingerprint import fingerprint, fingerprints


def random_graphs(count: int, vertices: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(vertices)
    matrices = np.triu(rng.integers(0, 2, (count, vertices, vertices)), 1)
    return matrices, rng.integers(-2, 3, (count, vertices))


@pytest.mark.parametrize("vertices", [1, 2, 3, 5, 7, 8])
def test_many_at_once_give_what_hashlib_gives_one_by_one(vertices: int) -> None:
    matrices, labels = random_graphs(60, vertices)
    expected = [fingerprint(matrix, row) for matrix, row in zip(matrices.tolist(), labels.tolist(), strict=True)]
    assert [found.decode() for found in fingerprints(matrices, labels)] == expected


def test_more_graphs_than_one_chunk_holds_are_hashed_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    matrices, labels = random_graphs(50, 4)
    whole = fingerprints(matrices, labels)
    monkeypatch.setattr(module, "CHUNK", 7)
    monkeypatch.setattr(module, "_LANES", 3)
    np.testing.assert_array_equal(fingerprints(matrices, labels), whole)


def test_no_graphs_have_no_fingerprints() -> None:
    assert fingerprints(np.zeros((0, 4, 4)), np.zeros((0, 4))).shape == (0,)


def test_the_order_of_the_vertices_does_not_matter_and_the_labels_do() -> None:
    diamond = [[0, 1, 1, 0], [0, 0, 0, 1], [0, 0, 0, 1], [0, 0, 0, 0]]
    assert fingerprint(diamond, [-1, 0, 1, -2]) == fingerprint(diamond, [-1, 1, 0, -2])
    distinct = {
        fingerprint(diamond, [-1, *inner, -2]) for inner in itertools.combinations_with_replacement(range(3), 2)
    }
    assert len(distinct) == 6


@pytest.mark.parametrize("length", [0, 1, 55, 56, 63, 64, 119, 120, 200])
def test_the_parallel_md5_is_md5_at_every_length_of_padding(length: int) -> None:
    text = bytes(range(32, 127)) * 3
    message = module._message([text[:length]], 2)
    words = module._md5(message)
    digest = hashlib.md5(text[:length]).digest()
    assert words.astype("<u4").T[0].tobytes() == digest
    assert words.astype("<u4").T[1].tobytes() == digest
