"""Parts of a supernet search: all of the catalog are tried, and one's own goes wherever one of them does."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn, optim

import ogive
from ogive import catalog, plugins
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError, StoreError, UnknownName
from ogive.core.rng import Seed
from ogive.core.space import SearchSpace
from ogive.networks.build import build, default_skeleton
from ogive.networks.count import parameters
from ogive.networks.export import export
from ogive.networks.own import Published
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.strategies.supernet import SupernetStrategy, described
from ogive.supernets.gates import Drawing, Mix, mixing
from ogive.supernets.sharing import sharing_of
from ogive.testing import check_space
from ogive.training.data import Data, Split
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")

# One way to write each part of a kind.
OPERATION = "published(conv_3x3)"
KINDS = {
    "gate": {"softmax": "softmax", "sigmoid": "sigmoid", "gumbel": "gumbel(temperature=5, last=0.5)"},
    "rule": {"skips": "skips(most=6)", "settled": "settled(epochs=9)", "eigenvalue": "eigenvalue(ratio=2)"},
    "regulariser": {"zero_one": "zero_one(weight=1)", "imitation": "imitation(expert=resnet)"},
    "optimiser": {"sgd": "sgd(momentum=0.5)", "adam": "adam", "adamw": "adamw(weight_decay=0.1)"},
}
EACH = [(kind, text) for kind, parts in KINDS.items() for text in parts.values()]


def split(seed: int, count: int) -> Split:
    """Images whose class shows: the second is brighter."""
    draw = torch.Generator().manual_seed(seed)
    labels = torch.arange(count) % 2
    noise = torch.randint(0, 100, (count, 3, 8, 8), generator=draw, dtype=torch.uint8)
    return Split(noise + 100 * labels.byte()[:, None, None, None], labels)


DATA = Data("bright", split(0, 48), split(1, 8), split(2, 8), ("dark", "bright"), (0.4,) * 3, (0.25,) * 3)


def searched(text: str = "darts", space: SearchSpace | None = None, **options: Any) -> SupernetStrategy:
    plain = {"data": DATA, "seed": Seed(0), "channels": 4, "cells": 1, "epochs": 3, "batch_size": 12}
    plain |= {"space": space or nasbench201(), "alpha_learning_rate": 0.1}
    found: SupernetStrategy = catalog.build("strategy", text, **{**plain, **options})
    return found


def goes_on(options: dict[str, Any], folder: Path) -> list[Architecture]:
    """What a search proposes; one that was saved after the first epoch, and loaded, must propose the same."""
    whole, begun, resumed = (searched(**options) for _ in range(3))
    expected = [proposal.arch for proposal in whole.ask(3)]
    begun.ask()
    begun.save(folder)
    resumed.load(folder)
    assert [proposal.arch for proposal in resumed.ask(2)] == expected[1:]
    there, here = whole.search.tensors(), resumed.search.tensors()
    assert all(torch.equal(there[name], here[name]) for name in there)
    return expected


# -- those of the catalog ---------------------------------------------------------------------------------------------


def test_every_part_of_a_supernet_search_is_tried_here() -> None:
    assert {kind: sorted(parts) for kind, parts in KINDS.items()} == {kind: catalog.names(kind) for kind in KINDS}
    assert catalog.names("operation") == ["published"]


@pytest.mark.parametrize(("kind", "text"), EACH)
def test_every_part_is_a_value_by_which_states_are_told_apart(kind: str, text: str) -> None:
    part, again = (catalog.build(kind, text) for _ in range(2))
    assert part == again
    assert described(part) == described(again)
    assert described(part) != described(object())


@pytest.mark.parametrize(("kind", "text"), EACH)
def test_every_part_searches_and_goes_on_from_what_was_saved(kind: str, text: str, tmp_path: Path) -> None:
    assert len(goes_on({kind: text}, tmp_path)) == 3
    others = {"gate": "softmax" if text != "softmax" else "sigmoid"} if kind == "gate" else {}
    with pytest.raises(StoreError, match="belongs to another training: its options"):
        searched(**others).load(tmp_path)


@pytest.mark.parametrize("text", KINDS["gate"].values())
def test_gates_make_shares_of_what_is_allowed_and_a_mixture_that_runs_all(text: str) -> None:
    gate = catalog.build("gate", text)
    alphas_EO = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    allowed_EO = torch.ones(6, 5, dtype=torch.bool)
    allowed_EO[0, 1:] = False
    strengths_EO = gate.strengths(alphas_EO, allowed_EO)
    assert strengths_EO.shape == (6, 5)
    assert not strengths_EO[~allowed_EO].any()
    assert (gate(alphas_EO, allowed_EO, torch.Generator()).active is not None) == isinstance(gate, Drawing)
    assert mixing(gate)(alphas_EO, allowed_EO, torch.Generator()).active is None
    assert gate.at(1.0).strengths(alphas_EO, None).isfinite().all()


@pytest.mark.parametrize("text", KINDS["rule"].values())
def test_what_rules_note_is_written_as_json(text: str) -> None:
    search = searched(rule=text, warm_epochs=1)
    search.ask(2)
    (notes,) = search._notes
    assert len(notes) == 2
    assert json.loads(json.dumps(notes)) == notes
    assert catalog.build("rule", text).ends(notes) is False


def test_a_rule_that_is_a_part_is_the_same_as_the_option_for_it() -> None:
    options = {"epochs": 9, "alpha_learning_rate": 0.3}
    by_option = searched(eigenvalue_ratio=0.5, eigenvalue_from=1, **options).ask(9)
    by_part = searched(rule="eigenvalue(ratio=0.5, least_epoch=1)", **options).ask(9)
    assert [one.arch for one in by_option] == [one.arch for one in by_part]
    assert len(by_part) < 9


def test_an_optimiser_trains_weights_and_one_the_architecture() -> None:
    search = searched(optimiser="adamw", alpha_optimiser="sgd(momentum=0.5)").search
    assert isinstance(search.optimizer, optim.AdamW)
    assert isinstance(search.architect, optim.SGD)
    with pytest.raises(SpecError, match="one step of SGD ahead, but the weights are trained by AdamW"):
        searched(optimiser="adamw", order=2)
    plain, given = searched(order=2), searched(order=2, optimiser="sgd(momentum=0.9, weight_decay=0.0003)")
    assert plain.ask()[0].arch == given.ask()[0].arch
    assert all(map(torch.equal, plain.search.weights, given.search.weights))


# -- names that papers gave -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "written"),
    [
        ("gdas", "darts(gate=gumbel)"),
        (
            "pc_darts",
            (
                "darts(partial=4, edge_normalisation=true, warm_epochs=15, batch_size=256, learning_rate=0.1, "
                "final_learning_rate=0, alpha_learning_rate=0.0006)"
            ),
        ),
        (
            "fair_darts",
            (
                "darts(gate=sigmoid, zero_one=10, batch_size=128, learning_rate=0.005, alpha_learning_rate=0.003, "
                "alpha_momentum=0.9)"
            ),
        ),
        ("darts_pt", "darts(select=perturbation)"),
        ("r_darts", "darts(eigenvalue_ratio=1.3)"),
    ],
)
def test_the_names_of_papers_are_darts_with_their_values(name: str, written: str) -> None:
    given: dict[str, Any] = {"space": nasbench201(), "data": DATA, "seed": Seed(0), "channels": 4, "cells": 1}
    one, other = (catalog.build("strategy", text, **given) for text in (name, written))
    assert one._fingerprint() == other._fingerprint()
    assert one.method == other.method
    assert catalog.summary("strategy", name).endswith((").", "`darts`."))


# -- one's own --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Flat:
    """A gate of one's own: a softmax at a temperature."""

    temperature: float = 2.0

    def __call__(self, alphas_EO: Tensor, allowed_EO: Tensor | None, draw: torch.Generator) -> Mix:
        return Mix(self.strengths(alphas_EO, allowed_EO))

    def strengths(self, alphas_EO: Tensor, allowed_EO: Tensor | None) -> Tensor:
        logits_EO = alphas_EO if allowed_EO is None else alphas_EO.masked_fill(~allowed_EO, -torch.inf)
        return torch.softmax(logits_EO / self.temperature, dim=1)

    def at(self, share: float) -> Flat:
        return self


class Second:
    """A rule of one's own: two epochs are enough."""

    def noted(self, search: Any, arch: Architecture) -> str:
        return str(arch)

    def ends(self, notes: Any) -> bool:
        return len(notes) == 2


class Decayed:
    """A regulariser of one's own: large parameters cost."""

    def __call__(self, alphas: Any) -> Tensor:
        total: Tensor = torch.stack([group.square().sum() for group in alphas.groups]).sum()
        return 100 * total


def adadelta(parameters: Any, learning_rate: float) -> optim.Optimizer:
    return optim.Adadelta(parameters, lr=learning_rate)


class Shuffled:
    """An operation of one's own, without weights but for its normalisation's."""

    name = "shuffled"

    def __call__(self, channels: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(stride), nn.ChannelShuffle(2), nn.BatchNorm2d(channels))


OWN: dict[str, Any] = {"gate": Flat(), "rule": Second(), "regulariser": Decayed(), "optimiser": adadelta}


@pytest.mark.parametrize("kind", OWN)
def test_an_object_is_a_part_and_decides_what_is_learnt(kind: str, tmp_path: Path) -> None:
    if kind == "rule":
        assert len(searched(rule=OWN["rule"]).ask(3)) == 2
        assert len(searched(rule=(catalog.build("rule", "settled"), OWN["rule"])).ask(3)) == 2
        return
    goes_on({kind: OWN[kind]}, tmp_path)
    own, plain = searched(**{kind: OWN[kind]}), searched()
    own.ask()
    plain.ask()
    pairs = zip(own.search.alphas.groups, plain.search.alphas.groups, strict=True)
    assert any(not torch.equal(one, other) for one, other in pairs)


def test_a_sharper_regulariser_keeps_parameters_smaller() -> None:
    sizes = []
    for regulariser in (None, Decayed()):
        search = searched(regulariser=regulariser)
        search.ask(3)
        sizes.append(float(search.search.alphas.groups[0].detach().abs().mean()))
    assert sizes[1] < sizes[0] / 2


def test_own_parts_go_into_parts_of_a_supernet_too() -> None:
    inner = searched(gate=Flat(), epochs=1)
    search = catalog.build("strategy", "few_shot", searcher=inner, space=nasbench201(), data=DATA, seed=Seed(0))
    assert len(search.ask(99)) == 1 + 5


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package that is installed and names a part of every kind."""
    (tmp_path / "mine_for_ogive.py").write_text(Path(__file__).read_text().split("# -- those of the catalog")[0] + OWNS)
    info = tmp_path / "mine_for_ogive-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: mine-for-ogive\nVersion: 1.0\n")
    points = "\n".join(f"{kind}.mine = mine_for_ogive:{kind.title()}" for kind in (*OWN, "operation"))
    (info / "entry_points.txt").write_text(f"[ogive.plugins]\n{points}\n")
    monkeypatch.syspath_prepend(tmp_path)
    plugins._installed.cache_clear()
    yield
    sys.modules.pop("mine_for_ogive", None)
    plugins._installed.cache_clear()


OWNS = """
from torch import nn, optim


class Gate:
    def __init__(self, *, power: float = 1.0) -> None:
        self.power = power

    def __call__(self, alphas_EO, allowed_EO, draw):
        return Mix(self.strengths(alphas_EO, allowed_EO))

    def strengths(self, alphas_EO, allowed_EO):
        return torch.softmax(self.power * alphas_EO, dim=1)

    def at(self, share):
        return self


class Rule:
    def noted(self, search, arch):
        return None

    def ends(self, notes):
        return len(notes) == 2


class Regulariser:
    def __call__(self, alphas):
        return alphas.groups[0].square().sum()


class Optimiser:
    def __call__(self, parameters, learning_rate):
        return optim.RMSprop(parameters, lr=learning_rate)


class Operation:
    name = "mine"

    def __call__(self, channels, stride):
        return nn.Sequential(nn.Conv2d(channels, channels, 3, stride, 1), nn.BatchNorm2d(channels))
"""


@pytest.mark.usefixtures("mine")
def test_a_plug_in_of_every_kind_searches_by_its_name() -> None:
    text = "darts(gate=mine(power=2), rule=[mine, settled], regulariser=mine, optimiser=mine, alpha_optimiser=mine)"
    search = searched(text, catalog.build("space", "nasbench201(operation=mine)"))
    assert len(search.ask(3)) == 2
    assert search.search.supernet.plan.operations[-1] == "mine"
    with pytest.raises(UnknownName, match="option of mine named 'pover'"):
        searched("darts(gate=mine(pover=2))")


# -- operations -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["nasbench201", "darts"])
@pytest.mark.parametrize("own", [False, True])
def test_a_space_with_an_operation_more_is_a_space_of_its_own(name: str, own: bool) -> None:
    space = ogive.space(name, operation=Shuffled() if own else OPERATION)
    check_space(space)
    assert space.name == f"{name}.{'shuffled' if own else 'conv_3x3'}"
    arch = space.sample(Seed(0).numpy("arch"))
    assert space.parse(space.format(arch)) == arch
    with pytest.raises(InvalidArchitecture, match="belongs to the space"):
        ogive.space(name).admit(arch)


@pytest.mark.parametrize(("make", "cells", "last"), [(nasbench201, 1, (5,) * 6), (darts, 3, (0, 7, 7) * 8)])
def test_the_operation_is_searched_for_and_what_is_derived_is_built_of_it(make: Any, cells: int, last: Any) -> None:
    space = make(operation=Shuffled())
    search = searched(space=space, cells=cells, epochs=1)
    plan = sharing_of(space).plan
    assert plan.operations[-1] == "shuffled"
    with torch.no_grad():
        for group in search.search.alphas.groups:
            group[:, -1] += 9.0
    (proposal,) = search.ask()
    assert space.format(proposal.arch).count("shuffled") >= len(space.variables) // 3
    network = build(space.check(last), default_skeleton(space.name, channels=4, cells=cells), seed=0, space=space)
    assert any(isinstance(module, nn.ChannelShuffle) for module in network.modules())
    network(torch.zeros(2, 3, 8, 8))[0, 0].backward()
    with pytest.raises(SpecError, match="its space must be given as an object"):
        build(proposal.arch, default_skeleton(space.name, channels=4, cells=cells))


def test_a_supernet_with_an_operation_runs_it_as_the_derived_network_does_and_without_weights_of_norms() -> None:
    space = nasbench201(operation=Shuffled())
    network = searched(space=space).network()
    module = network.mixed[0].shared["0_whole_shuffled"]
    assert parameters(module) == 0
    x_NCHW = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    expected = nn.functional.batch_norm(nn.ChannelShuffle(2)(x_NCHW), None, None, training=True)
    torch.testing.assert_close(module(x_NCHW), expected)


class Held(nn.Sequential):
    """What a class of one's own may be made of."""

    def __init__(self, channels: int, stride: int, groups: int) -> None:
        super().__init__(nn.AvgPool2d(stride), nn.ChannelShuffle(groups), normalised(channels))


def normalised(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels)


@dataclass(frozen=True)
class Grouped:
    """An operation with a number of its own."""

    groups: int = 2
    name: str = "grouped"

    def __call__(self, channels: int, stride: int) -> nn.Module:
        return Held(channels, stride, self.groups)


class Counting:
    """An operation of which nobody knows what makes another one."""

    name = "counting"

    def __init__(self, groups: int) -> None:
        self.groups = groups

    def __call__(self, channels: int, stride: int) -> nn.Module:
        return nn.Sequential(nn.AvgPool2d(stride), nn.ChannelShuffle(self.groups))


def exported(operation: Any, make: Any, last: Any, folder: Path) -> str:
    """The text of own.py: a network of a space with the operation."""
    space = make(operation=operation)
    skeleton = default_skeleton(space.name, channels=4, cells=3, classes=2)
    network = build(space.check(last), skeleton, seed=0, space=space)
    plain = Classification(DATA).plain(network)
    (written,) = export(network, folder, plain, name="own", formats=("torch",))
    return written.paths[0].read_text()


@pytest.mark.parametrize(("make", "last"), [(nasbench201, (5, 1, 5, 0, 3, 5)), (darts, (0, 7, 7) * 8)])
@pytest.mark.parametrize(
    ("operation", "made"),
    [
        (Shuffled(), "Shuffled()"),
        (Grouped(4), 'Grouped(groups=4, name="grouped")'),
        (Published("conv_3x3"), 'Published(name="conv_3x3")'),
    ],
)
def test_a_network_with_an_operation_is_written_as_plain_source(
    make: Any, last: Any, operation: Any, made: str, tmp_path: Path
) -> None:
    text = exported(operation, make, last, tmp_path)
    assert f"OwnOperation(operation={made})" in text
    assert not re.search(r"^\s*(import|from) ogive", text, re.MULTILINE)
    alone = "import sys; sys.path.insert(0, '.'); import own, torch; print(own.load()(torch.zeros(2, 3, 8, 8)).shape)"
    command = [sys.executable, "-I", "-c", alone]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.stdout == "torch.Size([2, 2])\n", done.stderr


def test_an_operation_that_cannot_be_written_as_source_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match=r"^To write Counting as source, .*self\.recipe.*equal\.$"):
        exported(Counting(2), nasbench201, (5,) * 6, tmp_path)

    class Local(Shuffled):
        pass

    with pytest.raises(SpecError, match=r"stands at the top level of a module can be written as source; .*Local"):
        exported(Local(), nasbench201, (5,) * 6, tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_trainings_in_other_processes_and_all_evaluators_know_the_operation() -> None:
    space = ogive.space("nasbench201", operation=OPERATION)
    given = {"space": space, "strategy": "random", "data": "digits(limit=32)", "channels": 4, "cells": 1, "budget": 2}
    for evaluator, workers in (
        ("trained(epochs=1, batch_size=16)", 2),
        ("inherited(supernet(epochs=1))", 1),
        ("training_free(params, batch_size=8)", 1),
        ("latency(min_runs=2, min_seconds=0.001, max_seconds=0.01, warm_up_s=0.0)", 1),
    ):
        found = ogive.search(**given, evaluator=evaluator, workers=workers)
        assert [trial.measurement.error for trial in found.trials] == [None] * 2


def test_a_run_by_name_is_trained_to_the_end(tmp_path: Path) -> None:
    from ogive.winner import export_winner, train_winner

    options = {"data": "digits(limit=32)", "channels": 4, "cells": 1, "budget": 2, "out": tmp_path / "run"}
    space = f"nasbench201(operation={OPERATION})"
    ogive.search(space=space, strategy="darts(epochs=2, batch_size=8)", evaluator="trained(epochs=1)", **options)
    assert train_winner(tmp_path / "run", recipe="epochs=1")["arch"].startswith("nasbench201.conv_3x3:")
    (exported,) = export_winner(tmp_path / "run", formats=["torch"])  # which checks that both networks agree
    assert not any("ogive" in line for line in exported.paths[0].read_text().splitlines() if "import" in line)


class Wrong:
    def __init__(self, name: str, made: Any) -> None:
        self.name, self.made = name, made

    def __call__(self, channels: int, stride: int) -> Any:
        return self.made(channels, stride)


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        (Wrong("none", None), "as none of none, skip_connect"),
        (Wrong("3x3", None), "named in small letters"),
        (Wrong("text", lambda channels, stride: "conv"), "must make a torch module, but made a str"),
        (Wrong("wide", lambda channels, stride: nn.Conv2d(channels, 2 * channels, 1)), r"but made \(2, 8, 8, 8\)"),
        (Wrong("three", lambda channels, stride: nn.Conv2d(3, 3, 1)), "cannot take 4 channels"),
    ],
    ids=lambda value: value if isinstance(value, str) else value.name,
)
def test_an_operation_that_cannot_be_one_is_refused_in_one_line(operation: Wrong, reason: str) -> None:
    with pytest.raises(SpecError, match=reason):
        searched(space=nasbench201(operation=operation)).network()
