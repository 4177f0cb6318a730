from __future__ import annotations

import pytest
import torch

from ogive.core.errors import SpecError
from ogive.training.devices import usable_device


def test_the_processor_can_always_be_used() -> None:
    assert usable_device("cpu") == "cpu"


@pytest.mark.parametrize("name", ["gpu", "", "cpu:x"])
def test_a_device_that_torch_does_not_know_is_refused_in_one_line(name: str) -> None:
    with pytest.raises(SpecError, match=r"cannot be used here \(.+\): give --device cpu\.$") as refused:
        usable_device(name)
    assert "\n" not in str(refused.value)


def test_a_device_that_is_not_there_is_refused() -> None:
    beyond = f"cuda:{torch.cuda.device_count()}"
    with pytest.raises(SpecError, match=f"The device '{beyond}' cannot be used here"):
        usable_device(beyond)
