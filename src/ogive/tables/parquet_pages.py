"""Pages of a parquet file: what each unpacks to, read from its header before anything is unpacked.

What a file announces for a column stands at its end, and what is unpacked stands in front of every page; whoever reads
the page takes as much memory as that says. Headers are records of Thrift's compact protocol
(https://github.com/apache/parquet-format, `PageHeader`).
"""

from __future__ import annotations

from collections.abc import Iterator

__all__ = ["unpacked_sizes"]

# Types of fields; lists and maps hold elements of these, too.
_TRUE, _FALSE, _BYTE, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = 1, 2, 3, 7, 8, 9, 10, 11, 12
_INTEGERS = (4, 5, 6)
# Of the fields of a header.
_UNPACKED, _PACKED = 2, 3
DEEPEST = 8


def unpacked_sizes(chunk: bytes) -> Iterator[int]:
    """The bytes that each page of a column's chunk unpacks to, in their order; ValueError for what is no page."""
    place = 0
    while place < len(chunk):
        reader = _Reader(chunk, place)
        found = reader.struct()
        if not {_UNPACKED, _PACKED} <= found.keys() or min(found[_UNPACKED], found[_PACKED]) < 0:
            raise ValueError("a page has no size")
        yield found[_UNPACKED]
        place = reader.place + found[_PACKED]


class _Reader:
    """Reads records, of which it keeps the whole numbers of the outermost."""

    def __init__(self, data: bytes, place: int) -> None:
        self.data, self.place = data, place

    def struct(self, depth: int = 0) -> dict[int, int]:
        """Its fields that are whole numbers, by their ids."""
        if depth > DEEPEST:
            raise ValueError("a page's header is nested too deeply")
        found, field = {}, 0
        while head := self._byte():
            kind = head & 15
            field = field + (head >> 4) if head >> 4 else self._integer()
            if kind in _INTEGERS:
                found[field] = self._integer()
            elif kind not in (_TRUE, _FALSE):  # which have no more than their type
                self._skip(kind, depth)
        return found

    def _skip(self, kind: int, depth: int) -> None:
        if kind in (_TRUE, _FALSE, _BYTE):
            self._forward(1)
        elif kind in _INTEGERS:
            self._integer()
        elif kind == _DOUBLE:
            self._forward(8)
        elif kind == _BINARY:
            self._forward(self._varint())
        elif kind in (_LIST, _SET):
            head = self._byte()
            self._skip_all([head & 15], self._varint() if head >> 4 == 15 else head >> 4, depth)
        elif kind == _MAP:
            count = self._varint()
            kinds = self._byte() if count else 0
            self._skip_all([kinds >> 4, kinds & 15], count, depth)
        elif kind == _STRUCT:
            self.struct(depth + 1)
        else:
            raise ValueError(f"a page's header has a field of the type {kind}")

    def _skip_all(self, kinds: list[int], count: int, depth: int) -> None:
        if count > len(self.data) - self.place:
            raise ValueError("a page's header is cut off")
        for _ in range(count):
            for kind in kinds:
                self._skip(kind, depth + 1)

    def _forward(self, count: int) -> None:
        self.place += count
        if self.place > len(self.data):
            raise ValueError("a page's header is cut off")

    def _byte(self) -> int:
        self._forward(1)
        return self.data[self.place - 1]

    def _varint(self) -> int:
        found = shift = 0
        while True:
            byte = self._byte()
            found |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return found
            if shift > 63:
                raise ValueError("a page's header has a number without end")

    def _integer(self) -> int:
        number = self._varint()
        return (number >> 1) ^ -(number & 1)
