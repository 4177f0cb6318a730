"""Architectures as embeddings: those of the network itself, whatever is asked for together, remembered."""

import numpy as np
import pytest
import torch

from ogive import catalog
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.hypernets.encoder import embeddings
from ogive.hypernets.files import SHIPPED, load
from ogive.hypernets.prediction import embedding
from ogive.networks.build import build, default_skeleton
from ogive.networks.trace import trace
from ogive.spaces.darts_rnn import darts_rnn
from ogive.spaces.nasbench201 import nasbench201
from ogive.training.data import load as load_data

SPACE = nasbench201()
ARCHS = [SPACE.sample(np.random.default_rng(seed)) for seed in range(3)]


def test_a_row_is_the_embedding_of_the_network_that_is_built_with_weights():
    found = embeddings(space=SPACE, channels=4, cells=1)(ARCHS)
    assert found.shape == (3, 32)
    assert found.dtype == np.float32
    networks = [build(arch, default_skeleton("nasbench201", channels=4, cells=1), seed=0) for arch in ARCHS]
    expected = embedding(load(SHIPPED), [trace(network, (3, 32, 32)) for network in networks])
    np.testing.assert_allclose(found, expected, atol=1e-6)
    assert len(np.unique(found.round(4), axis=0)) == 3


def test_a_row_is_of_its_architecture_alone_and_is_remembered():
    made = embeddings(space=SPACE, channels=4, cells=1)
    assert embeddings(space=SPACE, channels=4, cells=1) is made  # for all predictors of a process
    together = made(ARCHS)
    alone = np.concatenate([made([arch]) for arch in reversed(ARCHS)])[::-1]
    np.testing.assert_array_equal(together, alone)
    assert embeddings(space=SPACE, channels=8, cells=1)(ARCHS[:1]).tolist() != together[:1].tolist()


def test_networks_are_those_for_the_data_of_the_search():
    digits = load_data("digits", limit=20)
    made = catalog.build("encoder", "embeddings", space=SPACE, data=digits, channels=4, cells=1)
    network = build(ARCHS[0], default_skeleton("nasbench201", channels=4, cells=1, inputs=1), seed=0)
    expected = embedding(load(SHIPPED), [trace(network, digits.shape)])
    np.testing.assert_allclose(made(ARCHS[:1]), expected, atol=1e-6)


def test_what_cannot_be_embedded_is_said(tmp_path):
    with pytest.raises(SpecError, match="does not exist"):
        embeddings(tmp_path / "none.safetensors", space=SPACE)
    with pytest.raises(SpecError, match="darts_rnn"):
        embeddings(space=darts_rnn())
    with pytest.raises(InvalidArchitecture):
        embeddings(space=SPACE, channels=4, cells=1)([catalog.build("space", "darts").sample(np.random.default_rng(0))])
    generated = catalog.build("space", "hnag")
    made = embeddings(space=generated)
    with torch.random.fork_rng(), pytest.raises(SpecError, match=r"hnag:.* has no embedding: The parameter .* is used"):
        made([generated.sample(np.random.default_rng(0))])
