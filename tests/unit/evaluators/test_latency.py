from __future__ import annotations

import itertools
import pickle
from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.evaluators.latency import Latency, LatencyReport, Timing
from ogive.spaces.darts import darts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.spec import Spec

QUICK = Timing(warm_up_s=0.0, min_runs=6, min_seconds=0.0, max_seconds=0.01)


def test_a_device_that_computes_nothing_is_refused() -> None:
    with pytest.raises(SpecError, match="'meta' cannot be used here"):
        Latency(device="meta")


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"batch_size": 0}, "batch_size .* at least 1, but got 0"),
        ({"threads": 0}, "threads .* at least 1, but got 0"),
        ({"min_runs": 0}, "min_runs .* at least 1, but got 0"),
        ({"warm_up_s": -1.0}, "warm_up_s >= 0"),
        ({"min_seconds": 3.0, "max_seconds": 2.0}, "min_seconds <= max_seconds"),
        ({"relative_width": 0.0}, "relative_width .* positive, but got 0"),
        ({"device": "abacus"}, "The device 'abacus' cannot be used here"),
        ({"device": "cuda:99"}, "The device 'cuda:99' cannot be used here"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        catalog.build("evaluator", Spec("latency", options=options))


@pytest.mark.parametrize(
    ("space", "size"),
    [
        (nasbench201, {"channels": 4, "cells": 1}),
        (nasbench101, {"channels": 8, "cells": 1}),
        (natssize, {}),
        (darts, {"channels": 4, "cells": 2}),
    ],
)
def test_candidates_of_every_space_are_measured(space, size) -> None:  # type: ignore[no-untyped-def]
    arch = space().sample(Seed(3).numpy("arch"))
    evaluator = Latency(space=space(), shape=(3, 8, 8), **size, timing=QUICK)
    (measurement,) = evaluator.evaluate([Proposal(arch)])
    assert measurement.error is None
    assert tuple(measurement.metrics) == names_of(evaluator.metrics)
    assert 0 < measurement.metrics["latency_p10_ms"] <= measurement.metrics["latency_ms"]
    assert measurement.metrics["latency_ms"] <= measurement.metrics["latency_p90_ms"]
    assert 1e3 * measurement.cost.wall_s > 3 * measurement.metrics["latency_p10_ms"]


def test_a_larger_batch_of_a_wider_network_takes_longer() -> None:
    arch = nasbench201().parse(
        "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|none~2|"
    )
    small = Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK).reports([arch])[0]
    large = Latency(channels=16, cells=1, shape=(3, 32, 32), timing=replace(QUICK, batch_size=16)).reports([arch])[0]
    assert isinstance(small, LatencyReport)
    # A thousand times the multiplications; only the direction is asserted.
    assert large.median_ms > small.median_ms


def test_the_shape_and_the_classes_of_the_data_are_taken() -> None:
    from ogive.training.data import Data, Split

    split = Split(torch.zeros(4, 1, 12, 10), torch.zeros(4, dtype=torch.int64))
    data = Data("stripes", split, split, split, ("a", "b", "c"), (0.0,), (1.0,))
    seen: list[tuple[torch.Size, torch.Size]] = []
    hook = nn.modules.module.register_module_forward_hook(
        lambda module, inputs, output: (
            seen.append((inputs[0].shape, output.shape)) if type(module).__name__ == "NasBench201Network" else None
        )
    )
    with hook:
        evaluator = Latency(data=data, channels=2, cells=1, timing=replace(QUICK, batch_size=2))
        evaluator.evaluate([Proposal(nasbench201().sample(Seed(0).numpy("arch")))])
    assert set(seen) == {((2, 1, 12, 10), (2, 3))}


def test_a_candidate_that_cannot_be_built_is_a_failed_measurement_and_the_others_go_on() -> None:
    # All five inner vertices lead to the output of this cell, so its three channels cannot be shared out.
    wide = [0] * 26
    for place, (source, target) in enumerate((row, column) for row in range(7) for column in range(row + 1, 7)):
        wide[place] = int((source == 0 and target in (1, 2, 3, 4)) or (target == 6 and source in (1, 2, 3, 4)))
    chain = [0] * 26
    chain[0] = chain[10] = 1  # (0, 1) and (1, 6)
    proposals = [Proposal(nasbench101().check(choices)) for choices in (wide, chain)]
    failed, measured = Latency(channels=3, cells=1, shape=(3, 8, 8), timing=QUICK).evaluate(proposals)
    assert failed.error is not None
    assert failed.error.startswith("SpecError: ")
    assert not failed.metrics
    assert measured.error is None


def test_a_space_without_networks_and_a_foreign_architecture_are_refused() -> None:
    with pytest.raises(UnknownName, match="space with networks"):
        Latency().evaluate([Proposal(Architecture("shapes", (1, 2)))])
    with pytest.raises(InvalidArchitecture):
        Latency().evaluate([Proposal(Architecture("nasbench201", (1, 2)))])


def test_a_skeleton_that_cannot_be_is_refused_when_the_space_is_known() -> None:
    with pytest.raises(SpecError, match="cells"):
        Latency(space=nasbench201(), cells=0)


def test_the_evaluator_can_be_sent_to_another_process() -> None:
    evaluator = pickle.loads(pickle.dumps(Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK)))
    (measurement,) = evaluator.evaluate([Proposal(nasbench201().sample(Seed(0).numpy("arch")))])
    assert measurement.error is None


def test_random_state_and_weights_of_others_are_left_alone() -> None:
    before = torch.get_rng_state()
    Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK).reports([nasbench201().sample(Seed(0).numpy("a"))])
    assert torch.equal(torch.get_rng_state(), before)


MORE = " The page counts those that follow."


def busy_half_the_time(module: nn.Module, batch: Tensor) -> tuple[float, float]:
    return 0.0079, 0.0040


def undisturbed(module: nn.Module, batch: Tensor) -> tuple[float, float]:
    return 0.0040, 0.0040


def test_what_speaks_against_latencies_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    archs = [nasbench201().sample(Seed(seed).numpy("arch")) for seed in range(2)]
    evaluator = Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK, sample=busy_half_the_time)
    with caplog.at_level("INFO"):
        found = evaluator.evaluate([Proposal(arch) for arch in archs])
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]
    for arch, record, more, measurement in zip(archs, caplog.records, (MORE, ""), found, strict=True):
        assert record.getMessage() == (
            f"The latency of {arch} is in doubt. 7.9 ms passed, of which the processor worked 4 ms: something else "
            f"kept the machine busy, or the network waits.{more}"
        )
        assert measurement.metrics["latency_ms"] == pytest.approx(7.9)
        assert measurement.metrics["latency_cpu_ms"] == pytest.approx(4.0)
    caplog.clear()
    Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK, sample=undisturbed).evaluate([Proposal(archs[0])])
    assert not caplog.records


def test_candidates_are_measured_side_by_side() -> None:
    archs = [nasbench201().sample(Seed(seed).numpy("arch")) for seed in range(2)]
    order: list[int] = []

    def sample(module: nn.Module, batch: Tensor) -> tuple[float, float]:
        order.append(id(module))
        return 0.001, 0.001

    evaluator = Latency(channels=2, cells=1, shape=(3, 8, 8), timing=replace(QUICK, max_seconds=9.0), sample=sample)
    found = evaluator.side_by_side([Proposal(arch) for arch in archs])
    assert [measurement.metrics["latency_ms"] for measurement in found] == pytest.approx([1.0, 1.0])
    turns = [name for name, _ in itertools.groupby(order)]
    assert len(turns) > 3  # to warm up, there and back
    assert len(set(order)) == 2
