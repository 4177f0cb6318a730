"""The module hash of NAS-Bench-101: a fingerprint of a labelled graph that ignores the order of its vertices.

Ying et al., "NAS-Bench-101", ICML 2019; google-research/nasbench, lib/graph_util.py, hash_module. Each vertex starts as
the MD5 of its degrees and label; as many times as there are vertices, its digest becomes the MD5 of the sorted digests
of its predecessors, of its successors and its own; the fingerprint is the MD5 of all of them, sorted.

`fingerprint` does this for one graph with hashlib. `fingerprints` does it for many at once: NumPy computes the MD5 of
thousands of messages side by side, which is what makes hashing the whole benchmark a matter of seconds.

Shapes: N graphs, V vertices, M messages, W 32-bit words (little-endian, as MD5 reads them).
"""

from __future__ import annotations

import functools
import hashlib
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

__all__ = ["fingerprint", "fingerprints"]

Words = npt.NDArray[np.uint32]

# Graphs hashed side by side: enough to make NumPy's overhead small, few enough for the processor's cache.
CHUNK = 16384


def fingerprint(matrix: Sequence[Sequence[int]], labels: Sequence[int]) -> str:
    """The hash of one graph: `matrix[i][j]` is 1 for an edge from i to j, i < j; 32 hexadecimal digits."""
    vertices = range(len(labels))
    before = [[other for other in vertices if matrix[other][vertex]] for vertex in vertices]
    after = [[other for other in vertices if matrix[vertex][other]] for vertex in vertices]
    digests = [_hex(str((len(after[v]), len(before[v]), int(labels[v])))) for v in vertices]
    for _ in vertices:
        digests = [
            _hex("|".join((_joined(digests, before[v]), _joined(digests, after[v]), digests[v]))) for v in vertices
        ]
    return _hex(str(sorted(digests)))


def fingerprints(matrices_NVV: npt.ArrayLike, labels_NV: npt.ArrayLike) -> npt.NDArray[np.bytes_]:
    """The hashes of N graphs of V <= 8 vertices each, as an array of N byte strings (dtype S32)."""
    matrices = np.asarray(matrices_NVV, bool)
    labels = np.asarray(labels_NV, np.int64)
    found = np.empty(len(matrices), "S32")
    for start in range(0, len(matrices), CHUNK):
        part = slice(start, start + CHUNK)
        found[part] = _chunk(matrices[part], labels[part])
    return found


def _hex(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _joined(digests: Sequence[str], which: Sequence[int]) -> str:
    return "".join(sorted(digests[vertex] for vertex in which))


# -- many graphs ------------------------------------------------------------------------------------------------------


class _Group(NamedTuple):
    """Vertices with equally many predecessors and successors, so that their messages have one layout."""

    at: npt.NDArray[np.int64]  # (M,) flat places graph * V + vertex
    before: npt.NDArray[np.int64]  # (predecessors, M) flat places
    after: npt.NDArray[np.int64]  # (successors, M) flat places


def _chunk(matrices_NVV: npt.NDArray[np.bool_], labels_NV: npt.NDArray[np.int64]) -> npt.NDArray[np.bytes_]:
    graphs, vertices = labels_NV.shape
    groups = list(_groups(matrices_NVV))
    digest_4M = _initial(matrices_NVV, labels_NV)
    for _ in range(vertices):
        hex_8M, keys_M = _as_hex(digest_4M), _sortable(digest_4M, vertices)
        digest_4M = np.empty_like(digest_4M)
        for group in groups:
            before, after = (_sorted_places(keys_M, places, vertices) for places in (group.before, group.after))
            own = hex_8M[:, group.at]
            pieces: list[bytes | Words] = [*_digests(hex_8M, before), b"|", *_digests(hex_8M, after), b"|", own]
            digest_4M[:, group.at] = _md5(_message(pieces, len(group.at)))
    hex_8M, keys_M = _as_hex(digest_4M), _sortable(digest_4M, vertices)
    everything = np.arange(graphs * vertices).reshape(graphs, vertices).T
    quoted: list[bytes | Words] = []
    for digest in _digests(hex_8M, _sorted_places(keys_M, everything, vertices)):
        quoted += [b"', '" if quoted else b"['", digest]
    hex_8N = _as_hex(_md5(_message([*quoted, b"']"], graphs)))
    return np.ascontiguousarray(hex_8N.T).astype("<u4", copy=False).view("S32")[:, 0]


def _groups(matrices_NVV: npt.NDArray[np.bool_]) -> Iterator[_Group]:
    vertices = matrices_NVV.shape[1]
    incoming, outgoing = matrices_NVV.sum(axis=1).ravel(), matrices_NVV.sum(axis=2).ravel()
    layouts = incoming * (vertices + 1) + outgoing
    for layout in np.unique(layouts).tolist():
        at = np.flatnonzero(layouts == layout)
        graph, vertex = np.divmod(at, vertices)
        both = []
        for adjacent in (matrices_NVV[graph, :, vertex], matrices_NVV[graph, vertex, :]):
            others = np.nonzero(adjacent)[1].reshape(len(at), -1)
            both.append((graph[:, None] * vertices + others).T)
        yield _Group(at, both[0], both[1])


def _initial(matrices_NVV: npt.NDArray[np.bool_], labels_NV: npt.NDArray[np.int64]) -> Words:
    outgoing, incoming = matrices_NVV.sum(axis=2).ravel(), matrices_NVV.sum(axis=1).ravel()
    labels = labels_NV.ravel()
    # Only a few dozen triples differ, so hashlib does them; a number stands for each while looking for the different.
    least, vertices = labels.min(), labels_NV.shape[1]
    codes = ((labels - least) * vertices + outgoing) * vertices + incoming
    _, first, place = np.unique(codes, return_index=True, return_inverse=True)
    triples = zip(outgoing[first].tolist(), incoming[first].tolist(), labels[first].tolist(), strict=True)
    raw = b"".join(hashlib.md5(str(triple).encode(), usedforsecurity=False).digest() for triple in triples)
    words = np.frombuffer(raw, "<u4").reshape(-1, 4).astype(np.uint32)
    return np.ascontiguousarray(words[place.ravel()].T)


def _digests(hex_8M: Words, places: npt.NDArray[np.int64]) -> list[Words]:
    return [hex_8M[:, row] for row in places]


def _sortable(digest_4M: Words, vertices: int) -> npt.NDArray[np.uint64]:
    """Numbers in the order of the digests that also hold, in their last 3 bits, the vertex.

    61 bits stand for the digest. That two different ones in a graph share them has probability about 1e-17.
    """
    first, second = (word.byteswap().astype(np.uint64) for word in digest_4M[:2])
    vertex = np.arange(digest_4M.shape[1], dtype=np.uint64) % np.uint64(vertices)
    keys: npt.NDArray[np.uint64] = ((first << np.uint64(32) | second) & ~np.uint64(7)) | vertex
    return keys


def _sorted_places(
    keys_M: npt.NDArray[np.uint64], places: npt.NDArray[np.int64], vertices: int
) -> npt.NDArray[np.int64]:
    """Each column of `places` (neighbours of one vertex) in the order of their digests."""
    if len(places) < 2:
        return places
    rows = [keys_M[row] for row in places]
    # A bubble sort of whole rows: there are at most 8, and min and max are as fast as copying.
    for last in range(len(rows) - 1, 0, -1):
        for i in range(last):
            rows[i], rows[i + 1] = np.minimum(rows[i], rows[i + 1]), np.maximum(rows[i], rows[i + 1])
    base = places[0] // vertices * vertices
    return np.stack([(row & np.uint64(7)).astype(np.int64) + base for row in rows])


# -- MD5 (RFC 1321) of many messages of equal length ------------------------------------------------------------------

_SHIFTS = ((7, 12, 17, 22), (5, 9, 14, 20), (4, 11, 16, 23), (6, 10, 15, 21))
_START = (0x67452301, 0xEFCDAB89, 0x98BADCFE, 0x10325476)
_SINES = np.array([math.floor(abs(math.sin(i + 1)) * 2**32) for i in range(64)], np.uint32)
# Messages that go through the 64 steps together; their state stays in the processor's caches.
_LANES = 16384


def _message(pieces: Sequence[bytes | Words], messages: int) -> Words:
    """Padded messages, shape (W, M), of constant bytes and of (8, M) arrays that hold 32 characters each."""
    length = sum(len(piece) if isinstance(piece, bytes) else 32 for piece in pieces)
    words_WM = np.zeros((16 * ((length + 8) // 64 + 1), messages), np.uint32)
    at = 0
    for piece in [*pieces, b"\x80"]:
        if isinstance(piece, bytes):
            for place, byte in enumerate(piece, start=at):
                words_WM[place // 4] |= np.uint32(byte << 8 * (place % 4))
            at += len(piece)
            continue
        word, shift = at // 4, np.uint32(8 * (at % 4))
        words_WM[word : word + 8] |= piece << shift
        if shift:
            words_WM[word + 1 : word + 9] |= piece >> (np.uint32(32) - shift)
        at += 32
    words_WM[-2] = 8 * length
    return words_WM


def _md5(words_WM: Words) -> Words:
    """The digests, shape (4, M), of padded messages."""
    digest_4M = np.empty((4, words_WM.shape[1]), np.uint32)
    for start in range(0, words_WM.shape[1], _LANES):
        part = slice(start, start + _LANES)
        lanes = digest_4M[:, part]
        lanes[:] = np.array(_START, np.uint32)[:, None]
        for block in range(0, len(words_WM), 16):
            lanes += _compressed(lanes, words_WM[block : block + 16, part])
    return digest_4M


def _compressed(state: Words, block: Words) -> Words:
    """What one block of 16 words adds to the state of each lane."""
    a, b, c, d = state.copy()
    mixed, spare = np.empty_like(a), np.empty_like(a)
    for step in range(64):
        turn = step // 16
        _mix(turn, b, c, d, mixed)
        mixed += a
        mixed += block[(step, 5 * step + 1, 3 * step + 5, 7 * step)[turn] % 16]
        mixed += _SINES[step]
        shift = _SHIFTS[turn][step % 4]
        np.left_shift(mixed, np.uint32(shift), out=spare)
        mixed >>= np.uint32(32 - shift)
        mixed |= spare
        mixed += b
        # The new value takes b's place, and the array that held a is free for the next step.
        a, b, c, d, mixed = d, mixed, b, c, a
    return np.stack([a, b, c, d])


def _mix(turn: int, b: Words, c: Words, d: Words, out: Words) -> None:
    if turn == 0:
        np.bitwise_xor(c, d, out=out)
        np.bitwise_and(out, b, out=out)
        np.bitwise_xor(out, d, out=out)
    elif turn == 1:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_and(out, d, out=out)
        np.bitwise_xor(out, c, out=out)
    elif turn == 2:
        np.bitwise_xor(b, c, out=out)
        np.bitwise_xor(out, d, out=out)
    else:
        np.bitwise_not(d, out=out)
        np.bitwise_or(out, b, out=out)
        np.bitwise_xor(out, c, out=out)


def _as_hex(digest_4M: Words) -> Words:
    """The 32 hexadecimal characters of each digest as 8 words."""
    hexadecimal = _hexadecimal()
    halves = (half for word in digest_4M for half in (word & np.uint32(0xFFFF), word >> np.uint32(16)))
    return np.stack([hexadecimal[half] for half in halves])


@functools.cache
def _hexadecimal() -> Words:
    """The four characters, as one word, of the two bytes of every 16-bit number."""
    text = b"".join(number.to_bytes(2, "little").hex().encode() for number in range(2**16))
    return np.frombuffer(text, "<u4").astype(np.uint32)
