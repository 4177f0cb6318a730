"""Architectures of DeepNets-1M in files."""

import itertools

import pytest

from ogive.core.errors import SpecError
from ogive.hypernets import shards


def test_shards_are_the_stream_whatever_writes_them(tmp_path):
    told, stream = [], list(itertools.islice(shards.streamed("val", 0), 25))
    found = shards.write(tmp_path, "val", 25, 0, shard=10, tell=told.append)

    assert told == [0, 10, 20, 25]
    assert [found.arch(number) for number in range(25)] == [network.arch for network in stream]
    assert found.nodes().tolist() == [len(network.graph) for network in stream]
    assert found.parameters().tolist() == [network.parameters for network in stream]


def test_writing_goes_on_and_replaces_what_is_cut(tmp_path):
    shards.write(tmp_path, "val", 20, 0, shard=10)
    files = sorted(tmp_path.glob("*.npy"))
    whole = files[1].read_bytes()
    first = files[0].stat().st_mtime_ns
    files[1].write_bytes(whole[:-7])

    with pytest.raises(SpecError, match=f"The shard .*{files[1].name} cannot be read"):
        shards.Shards(tmp_path)
    told = []
    shards.write(tmp_path, "val", 20, 0, shard=10, tell=told.append)
    assert told == [10, 20]
    assert files[1].read_bytes() == whole
    assert files[0].stat().st_mtime_ns == first


def test_two_processes_write_the_same_files(tmp_path):
    one = shards.write(tmp_path / "one", "bnfree", 4, 1, shard=2)
    two = shards.write(tmp_path / "two", "bnfree", 4, 1, shard=2, workers=2)

    assert [one.arch(n) for n in range(4)] == [two.arch(n) for n in range(4)]


def test_a_folder_holds_one_kind_of_network(tmp_path):
    shards.write(tmp_path, "val", 2, 0)

    with pytest.raises(SpecError, match="holds networks with seed=0, not 1"):
        shards.write(tmp_path, "val", 2, 1)
    with pytest.raises(SpecError, match="holds the networks 0 to 1, but not 2"):
        shards.Shards(tmp_path).arch(2)
    with pytest.raises(SpecError, match="holds no networks"):
        shards.Shards(tmp_path / "nothing")
