from __future__ import annotations

import gc
import pickle
import statistics
import time
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from ogive import catalog
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, UnknownName
from ogive.core.metric import names_of
from ogive.core.rng import Seed
from ogive.core.trial import Proposal
from ogive.evaluators.latency import Latency, LatencyReport, Timing, measure
from ogive.spaces.darts import darts
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize
from ogive.spec import Spec

QUICK = Timing(warm_up_s=0.0, min_runs=3, min_seconds=0.0)


class Spy(nn.Module):
    """Does what it is told to, and remembers under which conditions it was run."""

    def __init__(self, act: Callable[[int], None] = lambda run: None) -> None:
        super().__init__()
        self.act = act
        self.inner = nn.Dropout(0.5)
        self.seen: list[dict[str, object]] = []

    def forward(self, x: Tensor) -> Tensor:
        self.seen.append(
            {
                "shape": tuple(x.shape),
                "training": self.training or self.inner.training,
                "threads": torch.get_num_threads(),
                "collecting": gc.isenabled(),
                "inference": torch.is_inference_mode_enabled(),
                "first": float(x.flatten()[0]),
            }
        )
        self.act(len(self.seen))
        return x


def busy(seconds: float) -> None:
    """Keep a core busy for so much processor time."""
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_a_network_runs_in_evaluation_and_inference_mode_with_fixed_threads_and_no_collection() -> None:
    spy = Spy()
    before = torch.get_num_threads()
    spy.train()
    spy.inner.eval()
    report = measure(
        spy, (2, 5, 4), Timing(batch_size=3, threads=before + 1, warm_up_s=0.01, min_runs=7, min_seconds=0.0)
    )
    expected = {
        "shape": (3, 2, 5, 4),
        "training": False,
        "threads": before + 1,
        "collecting": False,
        "inference": True,
        "first": spy.seen[0]["first"],
    }
    assert all(seen == expected for seen in spy.seen)
    assert len(spy.seen) == report.warm_up_runs + report.runs
    assert (report.runs, report.batch_size, report.threads, report.device) == (7, 3, before + 1, "cpu")
    # And afterwards everything is as it was.
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert (spy.training, spy.inner.training) == (True, False)


def test_everything_is_as_it_was_after_a_network_that_raises() -> None:
    def fail(run: int) -> None:
        if run == 4:
            raise RuntimeError("a broken network")

    spy, before = Spy(fail).train(), torch.get_num_threads()
    with pytest.raises(RuntimeError, match="a broken network"):
        measure(spy, (3, 4, 4), replace(QUICK, threads=before + 1))
    assert torch.get_num_threads() == before
    assert gc.isenabled()
    assert spy.training
    assert spy.inner.training


def test_a_collector_that_was_off_stays_off() -> None:
    gc.disable()
    try:
        measure(Spy(), (3, 4, 4), QUICK)
        assert not gc.isenabled()
    finally:
        gc.enable()


def test_the_median_of_a_sleeping_network_is_its_sleep_and_its_processor_time_is_not() -> None:
    report = measure(Spy(lambda run: time.sleep(0.02)), (3, 4, 4), QUICK)
    # time.sleep never returns early (since Python 3.5), so the lower bounds are exact.
    assert 20.0 <= report.p10_ms <= report.median_ms <= report.p90_ms
    assert report.cpu_ms < 15.0


def test_threads_that_still_look_for_work_are_waited_for() -> None:
    square = np.random.default_rng(0).random((400, 400))
    square @ square  # numpy's threads, where it has several, are busy for a tenth of a second from here
    report = measure(Spy(lambda run: time.sleep(0.02)), (3, 4, 4), QUICK)
    assert report.cpu_ms < 15.0


def test_the_processor_time_of_a_busy_network_is_counted() -> None:
    report = measure(Spy(lambda run: busy(0.01)), (3, 4, 4), QUICK)
    assert report.cpu_ms >= 10.0
    assert report.median_ms >= 10.0 * 0.99


def test_median_and_deciles_are_those_of_the_timed_runs_only() -> None:
    # Warm-up of one run (0.2 s, over its time at once), then 11 timed ones of 10, 15, ..., 60 ms in a shuffled order.
    naps = [0.2] + [0.005 * k for k in (7, 2, 12, 5, 9, 3, 11, 6, 4, 10, 8)]
    report = measure(
        Spy(lambda run: time.sleep(naps[run - 1])),
        (3, 4, 4),
        Timing(warm_up_s=0.1, min_runs=11, min_seconds=0.0, max_seconds=9.0),
    )
    assert (report.warm_up_runs, report.runs, report.steady) == (1, 11, False)
    expected = [1e3 * q for q in (0.015, statistics.median(naps[1:]), 0.055)]
    for found, least in zip((report.p10_ms, report.median_ms, report.p90_ms), expected, strict=True):
        assert least <= found < least + 20.0


def test_the_warm_up_ends_when_the_times_have_settled() -> None:
    report = measure(
        Spy(lambda run: time.sleep(0.08 if run <= 5 else 0.02)),
        (1, 1, 1),
        Timing(warm_up_s=30.0, min_runs=3, min_seconds=0.0),
    )
    assert report.steady
    # Chunks of five: one slow, then two that agree (or a few more on a machine that stutters).
    assert report.warm_up_runs >= 15
    assert report.warm_up_runs % 5 == 0
    assert report.p90_ms < 80.0


def test_a_quick_network_is_run_until_the_least_time_is_over() -> None:
    report = measure(Spy(), (1, 1, 1), Timing(warm_up_s=0.0, min_runs=3, min_seconds=0.05))
    assert report.runs > 30


def test_a_slow_network_is_run_at_least_three_times_and_then_no_longer_than_asked() -> None:
    spy = Spy(lambda run: time.sleep(0.05))
    many = Timing(warm_up_s=0.0, min_runs=100, min_seconds=0.0, max_seconds=0.01)
    assert measure(spy, (1, 1, 1), many).runs == 3
    assert 3 < measure(spy, (1, 1, 1), replace(many, max_seconds=0.5)).runs <= 10


def test_the_inputs_depend_on_the_seed_only() -> None:
    first = [
        measure_first(Seed(0)),
        measure_first(Seed(0)),
        measure_first(Seed(1)),
    ]
    assert first[0] == first[1] != first[2]


def measure_first(seed: Seed) -> object:
    spy = Spy()
    measure(spy, (3, 4, 4), QUICK, seed=seed)
    return spy.seen[0]["first"]


@pytest.mark.parametrize("shape", [(3, 1_000_000, 1_000_000), (3, 10**9, 10**9)])
def test_images_beyond_all_memory_are_refused_before_they_are_made(shape: tuple[int, ...]) -> None:
    with pytest.raises(SpecError, match=r"batch of images \(1×3×10+×10+\) would take .* smaller images"):
        measure(nn.Identity(), shape)


def test_a_network_that_does_not_get_its_memory_is_a_line_and_no_traceback() -> None:
    def starve(run: int) -> None:
        torch.empty(1 << 60)

    with pytest.raises(SpecError, match=r"images 1×3×2×2 does not fit into the memory of cpu: give smaller images"):
        measure(Spy(starve), (3, 2, 2))


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
        ({"device": "abacus"}, "The device 'abacus' cannot be used here"),
        ({"device": "cuda:99"}, "The device 'cuda:99' cannot be used here"),
    ],
)
def test_options_that_make_no_sense_are_refused_at_once(options: dict[str, object], complaint: str) -> None:
    with pytest.raises(SpecError, match=complaint):
        catalog.build("evaluator", Spec("latency", options=options))


# -- the evaluator ----------------------------------------------------------------------------------------------------


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
    small = Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK).report(arch)
    large = Latency(channels=16, cells=1, shape=(3, 32, 32), timing=replace(QUICK, batch_size=16)).report(arch)
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
    Latency(channels=2, cells=1, shape=(3, 8, 8), timing=QUICK).report(nasbench201().sample(Seed(0).numpy("a")))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="torch finds no CUDA device here")
def test_a_gpu_is_waited_for() -> None:
    class Multiply(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            for _ in range(200):
                x = x @ x * 1e-3
            return x

    report = measure(Multiply(), (2048, 2048), Timing(min_runs=5, min_seconds=0.0), device="cuda")
    # 200 products of 2048×2048: 3.4e12 operations, which no GPU does in 10 ms; launching them takes 2 or 3.
    assert report.median_ms > 10.0
