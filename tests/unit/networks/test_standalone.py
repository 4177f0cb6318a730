from __future__ import annotations

import ast
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import build, default_skeleton
from ogive.networks.plain_images import of_images
from ogive.networks.standalone import literal
from ogive.networks.standalone import standalone as written
from ogive.spaces.darts import darts
from ogive.spaces.ddarts import dartopti
from ogive.spaces.nasbench101 import nasbench101
from ogive.spaces.nasbench201 import nasbench201
from ogive.spaces.natssize import natssize

SPACES = {
    "nasbench201": nasbench201,
    "nasbench101": nasbench101,
    "natssize": natssize,
    "darts": darts,
    "dartopti": dartopti,
}
PLAIN = of_images((3, 16, 16), classes="abcdefghij", normalise=((0.5, 0.25, 0.1), (0.2, 0.2, 0.2)))
standalone = partial(written, name="winner", headline="cell 7\nfound by hand")


def network(space: str, number: int = 0, **options: object) -> nn.Module:
    """A small network of a space."""
    arch = SPACES[space]().sample(Seed(number).numpy("arch"))
    size = {"nasbench201": 8, "nasbench101": 16, "natssize": 0, "darts": 4, "dartopti": 2}[space]
    cells = {"darts": 3, "dartopti": 4}.get(space, 1)
    return build(arch, default_skeleton(space, channels=size, cells=cells, **options), seed=number)


@pytest.mark.parametrize("space", SPACES)
def test_the_file_imports_torch_and_python_only(space: str) -> None:
    text = standalone(network(space), PLAIN)
    tree = ast.parse(text)
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    imported |= {str(node.module) for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}
    packages = {name.partition(".")[0] for name in imported}
    assert packages - set(sys.stdlib_module_names) == {"torch", "safetensors"}
    at_the_top = {node.module for node in tree.body if isinstance(node, ast.ImportFrom)}
    assert "safetensors.torch" not in at_the_top


@pytest.mark.parametrize("space", SPACES)
def test_the_file_is_formatted_and_free_of_unused_or_undefined_names(space: str, tmp_path: Path) -> None:
    path = tmp_path / "winner.py"
    path.write_text(standalone(network(space), PLAIN), encoding="utf-8")
    ruff = [sys.executable, "-m", "ruff"]
    options = ["--isolated", "--line-length=120", "--target-version=py311", str(path)]
    for command in (["format", "--check", "--diff"], ["check", "--no-cache", "--select=E,F,I,W,B,UP,RUF022"]):
        done = subprocess.run([*ruff, *command, *options], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr


def test_the_file_says_what_the_network_is_and_leaves_out_what_it_does_not_use() -> None:
    text = standalone(network("nasbench201"), PLAIN)
    head = str(ast.get_docstring(ast.parse(text)))
    assert head.startswith("winner: ")
    for said in ("cell 7\nfound by hand", "3 × 16 × 16", "10 classes", "winner.safetensors"):
        assert said in head
    assert 'CLASSES = ("a", "b", "c", "d", "e", "f", "g", "h", "i", "j")' in text
    assert "MEAN = (0.5, 0.25, 0.1)" in text
    for unused in ("SeparableConv", "class FactorizedReduce", "drop_path", "__all__"):
        assert unused not in text


def test_a_headline_cannot_break_the_file() -> None:
    headline = 'a """ quote, a \\N{nothing} and a very long line ' + "word " * 60
    text = standalone(network("natssize"), of_images((3, 16, 16)), headline=headline)
    compile(text, "winner.py", "exec")
    assert max(map(len, text.splitlines())) <= 120


def test_the_file_without_normalisation_takes_numbers_as_they_are() -> None:
    text = standalone(network("natssize"), of_images((3, 16, 16)))
    namespace: dict[str, object] = {"__name__": "winner", "__file__": "winner.py"}
    exec(compile(text, "winner.py", "exec"), namespace)
    images = torch.arange(12).reshape(1, 3, 2, 2)
    assert torch.equal(namespace["prepared"](images), images.float())  # type: ignore[operator]
    assert "MEAN" not in namespace
    assert "CLASSES" not in namespace


class WithoutRecipe(nn.Linear):
    pass


class WithTensorInRecipe(nn.Linear):
    recipe = {"in_features": torch.tensor(3), "out_features": 2}  # noqa: RUF012


def test_a_network_without_a_recipe_is_told_what_to_add() -> None:
    with pytest.raises(SpecError, match=r"Set self.recipe in its constructor"):
        standalone(WithoutRecipe(3, 2), PLAIN)


def test_a_recipe_that_is_not_made_of_literals_is_refused() -> None:
    with pytest.raises(SpecError, match=r"plain literals only .* a torch.Tensor"):
        standalone(WithTensorInRecipe(3, 2), PLAIN)


atoms = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text()
values = st.recursive(
    atoms,
    lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(st.text() | st.integers(), inner),
    max_leaves=20,
)


@given(values)
def test_literals_read_back_as_the_same_value(value: object) -> None:
    assert ast.literal_eval(literal(value)) == value


@given(st.lists(st.lists(st.integers(0, 10**6), max_size=30), max_size=6))
def test_literals_keep_to_the_width_of_a_line(value: list[list[int]]) -> None:
    text = literal(value, indent=8, used=12)
    first, *rest = text.splitlines()
    assert len(first) + 8 + 12 <= 120
    assert all(len(line) <= 120 for line in rest)


@pytest.mark.parametrize("value", [float("inf"), {1, 2}, torch.Size([1]), object()])
def test_other_values_are_no_literals(value: object) -> None:
    with pytest.raises(SpecError, match="plain literals only"):
        literal([value])
