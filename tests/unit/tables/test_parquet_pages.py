from __future__ import annotations

import resource
from pathlib import Path
from typing import Any

import pytest

from ogive.core.errors import SpecError
from ogive.tables.parquet_pages import unpacked_sizes
from ogive.tables.rows import read_columns

pyarrow = pytest.importorskip("pyarrow")
parquet = pytest.importorskip("pyarrow.parquet")

COLUMNS = {
    "number": list(range(3000)),
    "word": [f"word {n % 7}" for n in range(3000)],
    "text": list(map(str, range(3000))),
}


def written(path: Path, **options: Any) -> Path:
    parquet.write_table(
        pyarrow.table(COLUMNS), path, data_page_size=1000, write_batch_size=100, row_group_size=1000, **options
    )
    return path


def chunks(path: Path) -> list[tuple[int, Any]]:
    """The beginning of each chunk of a column, and what is announced of it."""
    groups = [parquet.ParquetFile(path).metadata.row_group(number) for number in range(3)]
    found = [group.column(place) for group in groups for place in range(group.num_columns)]
    return [(min(c.data_page_offset, c.dictionary_page_offset or c.data_page_offset), c) for c in found]


@pytest.mark.parametrize("compression", ["none", "snappy", "gzip", "zstd"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
@pytest.mark.parametrize("dictionary", [True, False])
def test_pages_unpack_to_what_their_column_announces(
    compression: str, version: str, dictionary: bool, tmp_path: Path
) -> None:
    options = {"write_page_checksum": True, "write_statistics": True, "use_dictionary": dictionary}
    path = written(tmp_path / "a.parquet", compression=compression, data_page_version=version, **options)
    content = path.read_bytes()
    pages = 0
    for begin, chunk in chunks(path):
        sizes = list(unpacked_sizes(content[begin : begin + chunk.total_compressed_size]))
        pages += len(sizes)
        # What is announced holds the headers too, of some dozen bytes.
        assert 0 < chunk.total_uncompressed_size - sum(sizes) <= 150 * len(sizes)
    assert pages > 9
    assert {name: list(values) for name, values in read_columns(path).items()} == COLUMNS


def zigzag(number: int) -> bytes:
    found, number = bytearray(), number << 1
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    return bytes([*found, number])


def test_a_page_that_lies_is_refused_before_it_takes_memory(tmp_path: Path) -> None:
    path = written(tmp_path / "a.parquet", compression="gzip", use_dictionary=False)
    content = bytearray(path.read_bytes())
    begin, chunk = chunks(path)[0]
    (first, *_) = unpacked_sizes(bytes(content[begin : begin + chunk.total_compressed_size]))
    # The header begins with its type, the field 1, and what the page unpacks to, the field 2.
    place = begin + 2
    assert content[place : place + 1 + len(zigzag(first))] == b"\x15" + zigzag(first)
    lie = zigzag(2**31 - 1)
    room = len(lie) - len(zigzag(first))
    content[place + 1 : place + 1 + len(zigzag(first))] = lie
    # So that all that follows stays where it is, as many bytes of the packed page are left out.
    end = begin + chunk.total_compressed_size
    del content[end - room : end]
    path.write_bytes(bytes(content))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(SpecError, match=r"bytes of its column 'number', but a page of it unpacks to 2,147,483,647"):
        read_columns(path)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**18  # KiB: a quarter of a gibibyte


@pytest.mark.parametrize(
    "chunk",
    [b"\x15", b"\x00", b"\x1c" * 40, b"\x15\x00\x15\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", b"\x1d\x00"],
)
def test_what_is_no_page_is_a_value_error(chunk: bytes) -> None:
    with pytest.raises(ValueError, match="a page"):
        list(unpacked_sizes(chunk))
