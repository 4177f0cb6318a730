"""Networks of generators: what is counted is what is built, for images of all sizes, and it trains."""

import functools

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from ogive import catalog
from ogive.core.errors import Oversized, SpecError
from ogive.networks.build import build, default_skeleton, fitted_skeleton, refuse_unbuildable
from ogive.networks.count import parameters
from ogive.networks.export import export
from ogive.networks.hnag import GeneratedNetwork
from ogive.networks.plain_images import of_images
from ogive.spaces.hnag import HNAG, drawn_of, generator_of, hnag
from ogive.spaces.hnag_graph import MERGES, OPS, Generator, Level, drawn
from ogive.spaces.hnag_size import parameters_of

ALL = Generator(
    Level("ws", 5, 2, 0.5),
    Level("er", 3, probability=0.5),
    Level("ws", 4, 3, 0.5),
    merges=(1.0, 1.0, 1.0),
    ops=(1.0, 1.0, 1.0, 1.0),
)


@pytest.mark.parametrize("name", HNAG)
@pytest.mark.parametrize(("side", "classes"), [(32, 10), (224, 1000)])
def test_what_is_counted_is_what_is_built(name, side, classes):
    rng, space = np.random.default_rng(1), catalog.build("space", name)
    for _ in range(2):
        arch = space.sample(rng)
        with torch.device("meta"):
            network = build(arch, fitted_skeleton(name, (3, side, side), classes))
        steps, widths, head = drawn_of(arch).steps, network.recipe["widths"], network.recipe["head"]
        counted = parameters_of(steps, widths, head=head, classes=classes, inputs=3, large=side == 224)
        assert parameters(network) == counted <= 4_000_000
        ratios = generator_of(arch).channels
        wider = max(widths) / max(ratios)
        assert all(abs(width - ratio * wider) <= 0.51 for width, ratio in zip(widths, ratios, strict=True))


def test_all_ways_to_merge_and_all_operations_are_counted_and_get_gradients():
    steps = drawn(ALL, 3).steps
    assert {step.op for step in steps} >= {*OPS, *MERGES, "mean"}
    torch.manual_seed(0)
    network = GeneratedNetwork(steps, (3, 6, 12), head=16, classes=4, inputs=2)
    assert parameters(network) == parameters_of(steps, (3, 6, 12), head=16, classes=4, inputs=2, large=False)
    network(torch.randn(4, 2, 9, 9)).sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_equal_widths_of_two_stages_are_counted_as_two():
    steps = drawn(ALL, 3).steps
    network = GeneratedNetwork(steps, (3, 3, 3), head=16)
    assert parameters(network) == parameters_of(steps, (3, 3, 3), head=16, classes=10, inputs=3, large=False)


@pytest.mark.parametrize(
    ("shape", "sides"),
    [
        ((1, 1, 1), (1, 1, 1)),
        ((3, 7, 5), (7, 4, 2)),
        ((1, 16, 16), (16, 8, 4)),
        ((3, 32, 32), (32, 16, 8)),
        ((3, 224, 224), (56, 28, 14)),  # vega_NAGO
    ],
)
def test_images_of_every_size_are_halved_from_stage_to_stage(shape, sides):
    arch = hnag().parse("parameters=30000 N_t=5 K_t=4 P_t=0.5 N_m=1 P_m=0.5 N_b=3 K_b=2 P_b=0.5 draw=0")
    network = build(arch, fitted_skeleton("hnag", shape, 6), seed=0).eval()
    found = {}

    def remember(stage, module, inputs, output):
        found[stage] = output.shape[2]

    for step, (op, _, _, side) in zip(network.steps, network.recipe["steps"], strict=True):
        if op == "conv_3x3":
            step.register_forward_hook(functools.partial(remember, side))
    with torch.inference_mode():
        assert network(torch.randn(2, *shape)).shape == (2, 6)
    assert found == dict(enumerate(sides))


def test_training_lowers_the_loss():
    torch.manual_seed(0)
    small = Generator(Level("chain", 3), Level("er", 2, probability=0.5), Level("ws", 4, 2, 0.5))
    network = GeneratedNetwork(drawn(small, 0).steps, (4, 8, 16), head=32)
    images, labels = torch.randn(16, 3, 8, 8), torch.arange(16) % 10
    losses = []
    for _ in range(12):
        network.zero_grad()
        loss = F.cross_entropy(network(images), labels)
        loss.backward()
        losses.append(loss.item())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter -= 0.1 * parameter.grad
    assert losses[-1] < 0.8 * losses[0]


def test_weights_follow_from_the_seed_and_the_network_from_the_draw():
    arch, skeleton = hnag(parameters=30_000).sample(np.random.default_rng(0)), default_skeleton("hnag")
    first, again, other = (build(arch, skeleton, seed=seed).state_dict() for seed in (0, 0, 1))
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert not torch.equal(first["classifier.weight"], other["classifier.weight"])
    redrawn = hnag(parameters=30_000).redrawn(arch, 2)[1]
    assert build(redrawn, skeleton).recipe["steps"] != build(arch, skeleton).recipe["steps"]


def test_sizes_of_other_networks_are_refused():
    arch = hnag().sample(np.random.default_rng(0))
    with pytest.raises(SpecError, match=r"holds its own budget .*hnag\(parameters=100000\) makes networks small"):
        build(arch, default_skeleton("hnag", channels=8))
    with pytest.raises(SpecError, match="no auxiliary"):
        build(arch, default_skeleton("hnag", auxiliary=True))


def test_a_budget_that_some_generators_keep_is_no_error_and_one_that_none_keeps_is():
    skeleton, rng = default_skeleton("hnag"), np.random.default_rng(0)
    refuse_unbuildable(hnag(parameters=4_000), skeleton, rng)
    with pytest.raises(Oversized, match="which the budget of 1,000 does not hold"):
        refuse_unbuildable(hnag(parameters=1_000), default_skeleton("hnag", classes=1000), rng)


@pytest.mark.parametrize("format_name", ["torch", pytest.param("onnx", marks=pytest.mark.slow)])
def test_every_operation_leaves_in_files_for_images_of_any_size(tmp_path, format_name):
    everything = Generator(
        Level("chain", 3),
        Level("er", 1),
        Level("ws", 5, 3, 0.5),
        merges=(1.0, 1.0, 1.0),
        ops=(1.0, 1.0, 1.0, 1.0),
    )
    steps = drawn(everything, 55).steps
    assert {step.op for step in steps} == {*OPS, *MERGES, "mean", "pool"}
    network = GeneratedNetwork(steps, (3, 6, 12), head=16).eval()
    (exported,) = export(network, tmp_path, of_images((3, 7, 9)), name="winner", formats=(format_name,))
    assert exported.largest_difference <= (0.0 if format_name == "torch" else 1e-4)
