"""LoGAH's decoder: published sizes, products of two matrices as the paper's listing has them, nothing tiled."""

import pytest
import torch
from torch import nn

from ogive.core.errors import SpecError
from ogive.hypernets import files
from ogive.hypernets.batch import Batch
from ogive.hypernets.configuration import Configuration
from ogive.hypernets.ghn import GHN
from ogive.hypernets.low_rank import LowRankDecoder, counted
from ogive.hypernets.prediction import predict
from ogive.hypernets.recipe import plan_for
from ogive.spaces.deepnets import Design
from ogive.spaces.deepnets_graph import network_graph

SMALL = Configuration(width=8, messages="graphormer", heads=2, rank=3, largest=(48, 48, 11, 11), layers=2)


def made(configuration=SMALL, seed=0):
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return GHN(configuration).eval()


# Zhou et al., arXiv:2405.16287, table 1: P of each variant with K = 2048 · 16, in millions.
@pytest.mark.parametrize(
    ("kind", "millions"), [("logah-t", 2.5), ("logah-s", 21.4), ("logah-b", 78.2), ("logah-l", 289.4)]
)
def test_published_sizes(kind, millions):
    with torch.device("meta"):
        ghn = GHN(Configuration.of(kind, classes=100))
    assert round(sum(parameter.numel() for parameter in ghn.parameters()) / 1e6, 1) == millions


def listing(decoder, h, shape, dimensions):
    """Figure 5 of the paper, all of both matrices computed and then cut."""
    outputs, inputs, rows, columns = shape
    x = decoder.mlp(h).view(-1, 2 * decoder.rank, decoder.rank)
    x = decoder.l2(x.relu()).view(-1, 2 * decoder.longest, decoder.rank)
    a, b = torch.split(x, decoder.longest, dim=1)
    product = torch.bmm(a[:, : outputs * rows], b.transpose(1, 2)[:, :, : inputs * columns])
    if dimensions == 1:
        return product.reshape(-1, outputs)
    return product if dimensions == 2 else product.reshape(-1, outputs, rows, inputs, columns).transpose(2, 3)


@pytest.mark.parametrize("shape", [(48, 48, 11, 11), (5, 7, 3, 1), (48, 1, 3, 3), (1, 48, 11, 11), (40, 24, 1, 1)])
def test_the_wanted_part_alone_is_that_of_the_whole(shape):
    decoder, h = made().decoder, torch.randn(3, 8, generator=torch.Generator().manual_seed(1))
    assert isinstance(decoder, LowRankDecoder)
    with torch.no_grad():
        torch.testing.assert_close(decoder(h, *shape), listing(decoder, h, shape, 4))
        torch.testing.assert_close(decoder.classes(h), listing(decoder, h, (10, 48, 1, 1), 2))
        halves = listing(decoder, h, (2 * 16, 1, 1, 1), 1).reshape(3, 2, 16)
        torch.testing.assert_close(decoder.vectors(h, 16), halves)


def test_gradients_reach_every_parameter():
    ghn, design = made(), Design(4, (("conv_3x3", 0), ("skip_connect", 1)), (("cse", 0), ("dil_conv_3x3", 1)), (2,))
    (tensors,) = ghn.parameters_of(Batch.of([network_graph(design, channels=8)], SMALL))
    sum(tensor.square().sum() for tensor in tensors.values()).backward()
    assert all(parameter.grad is not None for parameter in ghn.parameters())


def test_vectors_are_as_long_as_the_published_code_counts():
    # ghn3/nn.py, min_sz: multiples of 3 become multiples of 4, and half of the most and more become the most.
    assert [counted(n, 2048) for n in (8, 12, 96, 100, 1000, 1024, 4096)] == [8, 16, 128, 100, 1000, 2048, 2048]


def test_tensors_up_to_the_largest_are_whole_and_wider_ones_tiled():
    module = nn.Sequential(
        nn.Conv2d(3, 40, 3),
        nn.BatchNorm2d(40),
        nn.Conv2d(40, 60, 1),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(60, 10),
    )
    found = predict(made(), module, (3, 8, 8))
    assert list(found) == [name for name, _ in module.named_parameters()]
    assert {name: tensor.shape for name, tensor in found.items()} == {n: p.shape for n, p in module.named_parameters()}
    first = found["0.weight"]
    assert len(torch.unique(first.flatten(1), dim=0)) == 40  # no filter is another's copy
    torch.testing.assert_close(found["2.weight"][:12], found["2.weight"][48:])
    assert not torch.equal(found["2.weight"][:12], found["2.weight"][12:24])
    assert not torch.equal(found["1.weight"], found["1.bias"])


def test_it_is_kept_and_loaded_in_both_layouts(tmp_path):
    ghn = made()
    module = nn.Sequential(
        nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 10)
    )
    files.save(ghn, tmp_path / "logah.safetensors")
    loaded = files.load(tmp_path / "logah.safetensors")
    assert loaded.configuration == SMALL
    expected = predict(ghn, module, (3, 8, 8))
    for name, tensor in predict(loaded, module, (3, 8, 8)).items():
        torch.testing.assert_close(tensor, expected[name])
    # The published layout: the last layer twice, and placeholders where GHN-3 decodes vectors.
    weights = ghn.state_dict()
    doubled = {f"decoder.seq.1.{part}": weights[f"decoder.l2.{part}"] for part in ("weight", "bias")}
    unused = {f"decoder_1d.0.{part}": torch.zeros(1) for part in ("weight", "bias")} | {
        "bias_class.1.bias": torch.zeros(1)
    }
    config = {"max_shape": (9, 9, 11, 11), "num_classes": 10, "hid": 8, "heads": 2, "layers": 2, "is_ghn2": False}
    config |= {"weight_norm": True, "ve": True, "layernorm": True, "lora": True, "lora_r": 3}
    torch.save({"config": config, "state_dict": weights | doubled | unused}, tmp_path / "logah.pt")
    assert files.load(tmp_path / "logah.pt").configuration == SMALL
    torch.save(weights | doubled, tmp_path / "alone.pt")
    with pytest.raises(SpecError, match=r"alone\.pt .*do not tell the number of classes"):
        files.load(tmp_path / "alone.pt")


def test_its_recipe_is_that_of_the_paper():
    plan = plan_for("paper", kind="logah-t")
    assert (plan.recipe.epochs, plan.recipe.learning_rate, plan.recipe.meta_batch) == (300, 3e-4, 1)
    assert plan.configuration.largest == (2048, 2048, 16, 16)
    with pytest.raises(SpecError, match="rank of a decoder"):
        Configuration(rank=-1)
