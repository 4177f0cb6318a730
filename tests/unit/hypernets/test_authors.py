"""The authors' files of DeepNets-1M: a made one of their layout is read, compared and kept; damaged ones are named."""

import json

import h5py
import numpy as np
import pytest

from ogive.cli.application import application
from ogive.core.errors import SpecError, UnknownName
from ogive.hypernets.authors import Authors, keep_authors
from ogive.hypernets.population import Population, Sized
from ogive.hypernets.recipe import TINY
from ogive.hypernets.shards import AUTHORS, PUBLISHED_SEEDS
from ogive.spaces.deepnets import design_of
from ogive.spaces.deepnets_graph import drawn, network_graph

# Names of operations with the sizes that net_generator.py writes into them.
WRITTEN = {"max_pool": "max_pool_3x3", "sep_conv": "sep_conv_3x3", "dil_conv": "dil_conv_5x5"}
COUNT = 3


def arguments(design, nodes):
    cells = {"normal": [list(entry) for entry in design.normal], "reduce": [list(entry) for entry in design.reduce]}
    concat = {"normal_concat": list(design.concat), "reduce_concat": list(design.concat)}
    return {
        "stem_type": int(design.stem == "imagenet"),
        "stem_pool": design.stem_pool,
        "norm": "bnorm" if design.normalised else None,
        "preproc": design.projected,
        "fc_layers": design.layers,
        "glob_avg": design.pooled,
        "genotype": cells | concat,
        "n_cells": design.cells,
        "ks": design.kernel,
        "C_mult": design.widening,
        "fc_dim": design.hidden,
        "num_nodes": nodes,
        "num_params": {"cifar10": 1, "imagenet": 1},
    }


def written_like_the_authors(folder, split="val", name="eval", **changes):
    """A file as net_generator.py makes it, of networks of ours."""
    networks = [drawn(split, number, PUBLISHED_SEEDS.get(split, 1)) for number in range(COUNT)]
    designs = [design_of(network.arch) for network in networks]
    operations: dict[str, int] = {}
    with h5py.File(folder / f"deepnets1m_{name}.hdf5", "w") as file:
        file.attrs["title"] = "DeepNets-1M"
        group = file.create_group(split)
        for number, network in enumerate(networks):
            names = [WRITTEN.get(node.op, "conv_1x1" if node.op == "conv" else node.op) for node in network.graph.nodes]
            places = [operations.setdefault(name, len(operations)) for name in names]
            rows = np.array([[place, 0, 0] for place in places], np.uint16)
            group.create_dataset(f"{number}/adj", data=network.graph.distances.astype(np.uint8))
            group.create_dataset(f"{number}/nodes", data=rows)
    nets = [arguments(design, len(network.graph)) for design, network in zip(designs, networks, strict=True)]
    meta = {"primitives_ext": {place: name for name, place in operations.items()}, "unique_op_names": {0: "input"}}
    (folder / f"deepnets1m_{name}_meta.json").write_text(json.dumps({split: {"nets": nets, "meta": meta} | changes}))
    return folder / f"deepnets1m_{name}.hdf5", networks, designs


def test_the_designs_graphs_and_distances_of_a_file_come_back(tmp_path):
    file, networks, designs = written_like_the_authors(tmp_path)
    authors = Authors(file, "val")
    assert len(authors) == COUNT
    for number, (network, design) in enumerate(zip(networks, designs, strict=True)):
        assert authors.design(number) == design
        kinds, apart = authors.picture(number)
        np.testing.assert_array_equal(kinds, network.graph.types)
        np.testing.assert_array_equal(apart, network.graph.distances.astype(np.uint8))
        assert authors.agrees(number, network_graph(design))
    assert not authors.agrees(0, networks[1].graph)
    with pytest.raises(SpecError, match="networks 0 to 2 of val, but not 3"):
        authors.design(3)


def test_a_kept_split_is_what_a_hypernetwork_is_trained_on(tmp_path):
    file, networks, _ = written_like_the_authors(tmp_path, "train", "train")
    kept = keep_authors(file, tmp_path / "kept", "train")
    assert (len(kept.shards), kept.agreeing, kept.shards.seed) == (COUNT, COUNT, AUTHORS)
    assert [kept.shards.arch(number) for number in range(COUNT)] == [network.arch for network in networks]
    assert kept.shards.nodes().tolist() == [len(network.graph) for network in networks]
    population = Population(Sized((3, 16, 16), 10), TINY, kept.shards)
    assert population.name == "the first 3 networks of train, the authors' file"
    with pytest.raises(SpecError, match="holds networks with seed=-1, not 1"):
        application("deepnets")(["deepnets", str(tmp_path / "kept"), "--count", "3"], standalone_mode=False)


def test_the_command_keeps_the_first_of_a_split_and_takes_no_seed(tmp_path, capsys):
    file, *_ = written_like_the_authors(tmp_path)
    words = ["deepnets", str(tmp_path / "kept"), "--split", "val", "--from", str(file), "--count", "2"]
    application("deepnets")(words, standalone_mode=False)
    assert "2 networks of the split val" in capsys.readouterr().out
    with pytest.raises(SpecError, match="leave --seed out"):
        application("deepnets")([*words, "--seed", "3"], standalone_mode=False)


def test_what_is_missing_cut_or_of_another_kind_is_named(tmp_path):
    file, *_ = written_like_the_authors(tmp_path)
    meta = tmp_path / "deepnets1m_eval_meta.json"
    told = json.loads(meta.read_text())
    with pytest.raises(UnknownName, match="split of DeepNets-1M named 'vall'"):
        Authors(file, "vall")
    with pytest.raises(SpecError, match=r"eval_meta\.json does not hold the split deep"):
        Authors(file, "deep")
    with pytest.raises(SpecError, match="There is no file"):
        Authors(tmp_path / "none.hdf5", "val")

    for change, words in {
        "genotype": "lacks genotype|genotype",
        "ks": "ks",
        "n_cells": "n_cells",
    }.items():
        broken = json.loads(json.dumps(told))
        broken["val"]["nets"][1][change] = "three"
        meta.write_text(json.dumps(broken))
        with pytest.raises(SpecError, match=rf"Network 1 of val in .*eval\.hdf5 .*({words})"):
            Authors(file, "val").design(1)
    unknown = json.loads(json.dumps(told))
    unknown["val"]["nets"][0]["genotype"]["normal"][0][0] = "conv_9x9"
    meta.write_text(json.dumps(unknown))
    with pytest.raises(SpecError, match=r"Network 0 of val in .* is none of this space"):
        keep_authors(file, tmp_path / "kept", "val")
    longer = json.loads(json.dumps(told))
    longer["val"]["nets"][2]["num_nodes"] += 1
    meta.write_text(json.dumps(longer))
    with pytest.raises(SpecError, match=r"Network 2 of val .* nodes have the shapes"):
        Authors(file, "val").picture(2)
    more = json.loads(json.dumps(told))
    more["val"]["nets"].append(more["val"]["nets"][0])
    meta.write_text(json.dumps(more))
    with pytest.raises(SpecError, match=r"holds 3 networks of the split val, but .* tells of 4"):
        Authors(file, "val")
    named = json.loads(json.dumps(told))
    named["val"]["meta"]["primitives_ext"]["0"] = "lstm"
    meta.write_text(json.dumps(named))
    with pytest.raises(SpecError, match=r"Network 0 of val .* an operation is unknown"):
        Authors(file, "val").picture(0)
    meta.write_text(json.dumps(told))
    file.write_bytes(file.read_bytes()[:2000])
    with pytest.raises(SpecError, match=r"eval\.hdf5 is damaged, or no file of HDF5"):
        Authors(file, "val")
    meta.unlink()
    with pytest.raises(SpecError, match=r"Beside .*eval\.hdf5 there must be deepnets1m_eval_meta\.json"):
        Authors(file, "val")
