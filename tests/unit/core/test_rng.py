from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest

from ogive.core.rng import Seed


def drawn(seed: Seed, name: str = "stream") -> list[int]:
    return seed.numpy(name).integers(0, 2**32, 8).tolist()


def test_equal_seeds_and_names_give_equal_streams() -> None:
    assert drawn(Seed(3)) == drawn(Seed(3))
    assert Seed(3).integer("torch") == Seed(3).integer("torch")


def test_roots_names_and_paths_all_give_other_streams() -> None:
    streams = [
        drawn(Seed(0)),
        drawn(Seed(1)),
        drawn(Seed(-1)),
        drawn(Seed(0), "other"),
        drawn(Seed(0).child("a")),
        drawn(Seed(0).child("b")),
        drawn(Seed(0).child("a").child("b")),
        drawn(Seed(0).child("a/b")),
        drawn(Seed(0, ("stream",)), "stream"),
    ]
    assert len({tuple(stream) for stream in streams}) == len(streams)


def test_a_new_consumer_does_not_shift_another() -> None:
    seed = Seed(5)
    alone = drawn(seed, "strategy")
    seed.numpy("newcomer").random(1000)
    seed.integer("another")
    assert drawn(seed, "strategy") == alone


def test_an_integer_fits_generators_that_want_63_bits() -> None:
    numbers = [Seed(root).integer("torch") for root in range(200)]
    assert all(0 <= number < 2**63 for number in numbers)
    assert len(set(numbers)) == 200


def test_streams_look_uniform_across_roots() -> None:
    firsts = np.array([Seed(root).numpy("stream").random() for root in range(2000)])
    assert abs(firsts.mean() - 0.5) < 5 * (1 / 12 / 2000) ** 0.5


@pytest.mark.parametrize("hash_seed", ["0", "4242"])
def test_streams_are_the_same_in_a_process_that_hashes_strings_differently(hash_seed: str) -> None:
    code = (
        "from ogive.core.rng import Seed; s = Seed(7).child('a');"
        "print(s.integer('x'), s.numpy('y').integers(0, 2**32, 8).tolist())"
    )
    finished = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        check=True,
    )
    seed = Seed(7).child("a")
    assert finished.stdout.strip() == f"{seed.integer('x')} {drawn(seed, 'y')}"
