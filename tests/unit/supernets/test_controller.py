from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch

from ogive.core.errors import SpecError
from ogive.core.rng import Seed
from ogive.networks.build import Skeleton
from ogive.spaces.darts import darts
from ogive.spaces.nasbench201 import nasbench201
from ogive.supernets.controlled import ControlledSearch, ControllerRecipe
from ogive.supernets.controller import Controller, Decision, controlled_paths, decisions_of
from ogive.supernets.gates import SinglePath
from ogive.supernets.networks import Supernet
from ogive.supernets.partition import Edge, partition
from ogive.supernets.plan import DARTS, NASBENCH201, CellChoices
from ogive.supernets.sharing import supernet
from ogive.training.data import Data, Split
from ogive.training.recipe import Recipe
from ogive.training.tasks.classification import Classification

pytestmark = pytest.mark.usefixtures("one_thread")

ALL = tuple(range(5))
# Two edges with a choice, one of three operations, and four without.
PART: CellChoices = ((3,), ALL, (1,), (0, 2, 3), (0,), (4,))


def draw(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def cell_of_darts(open_edges: dict[int, tuple[int, ...]]) -> CellChoices:
    """A cell of `darts` in which the last node has a choice on some edges, and the others skip from both inputs."""
    rows = [(3,), (3,), (3,), (3,), (), (3,), (3,), (), ()]
    return (*rows, *(open_edges.get(edge, ()) for edge in range(9, 14)))


def network(space: str, choices: dict[str, CellChoices] | None = None) -> Supernet:
    skeleton = Skeleton(4, 1, classes=2) if space == "nasbench201" else Skeleton(4, 3, classes=2)
    return supernet(space, skeleton, seed=0, choices=choices)


def mass(controller: Controller, count: int) -> tuple[int, float]:
    """How many different sequences are sampled, and the sum of their probabilities."""
    written = controller.sample(count, draw())
    logs = written.log_probabilities.tolist()
    found = dict(zip(map(tuple, written.words.tolist()), logs, strict=True))
    return len(found), math.fsum(map(math.exp, found.values()))


def test_probabilities_of_all_architectures_of_a_part_sum_to_one() -> None:
    controller = Controller(NASBENCH201, [PART], seed=0)
    with torch.no_grad():
        controller.operation_logits.bias += torch.tensor([0.0, 4.0, 2.0, -3.0, 1.0])
    count, total = mass(controller, 2000)
    assert count == 5 * 3
    assert total == pytest.approx(1.0, abs=1e-5)


def test_probabilities_of_all_ways_to_write_a_cell_of_darts_sum_to_one() -> None:
    rows = cell_of_darts({9: (0, 1, 3), 11: (0, 4), 13: (0, 2, 5)})
    controller = Controller(DARTS, [rows, cell_of_darts({9: (3,), 10: (3,)})], seed=0)
    count, total = mass(controller, 4000)
    # Ordered pairs of three edges that have two, one and two operations besides none.
    assert count == 2 * (2 * 1 + 2 * 2 + 1 * 2)
    assert total == pytest.approx(1.0, abs=1e-5)


def test_an_architecture_that_is_more_likely_is_written_more_often() -> None:
    controller = Controller(NASBENCH201, [PART], seed=0)
    with torch.no_grad():
        controller.operation_logits.bias += torch.tensor([5.0, 0.0, 0.0, 0.0, 0.0])
    written = controller.sample(4000, draw())
    wanted = [number for number, words in enumerate(written.words.tolist()) if words == [0, 0]]
    expected = math.exp(written.log_probabilities[wanted[0]].item())
    assert 0.1 < expected < 0.9
    assert len(wanted) / 4000 == pytest.approx(expected, abs=5 * math.sqrt(0.25 / 4000))


def test_entropy_is_that_of_equal_options_where_all_are_equal() -> None:
    controller = Controller(NASBENCH201, [PART], seed=0)
    with torch.no_grad():
        controller.operation_logits.weight.zero_()
        controller.operation_logits.bias.zero_()
    assert controller.sample(3, draw()).entropies.tolist() == pytest.approx([math.log(5) + math.log(3)] * 3)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        (PART, [Decision(0, False, (1,)), Decision(0, False, (3,))]),
        (((1,),) * 6, []),
        ((ALL,) * 6, [Decision(0, False, (edge,)) for edge in range(6)]),
    ],
)
def test_edges_with_one_operation_are_no_decision(rows: CellChoices, expected: Sequence[Decision]) -> None:
    assert decisions_of(NASBENCH201, [rows]) == tuple(expected)


def test_a_node_of_darts_chooses_edges_only_where_it_has_too_many() -> None:
    fixed_and_open = cell_of_darts({9: (3,), 10: (0, 1), 11: (0, 1, 2)})
    assert decisions_of(DARTS, [fixed_and_open]) == (Decision(0, True, (10, 11)), Decision(0, False, ()))
    just_enough = cell_of_darts({9: (0, 1), 12: (0, 1, 2)})
    assert decisions_of(DARTS, [just_enough]) == (Decision(0, False, (12,)),)
    assert Controller(DARTS, [just_enough], seed=0).sample(1, draw()).cells[0][0][9] == (1,)
    with pytest.raises(SpecError, match="A node of darts has 2 edges, but node 5"):
        decisions_of(DARTS, [cell_of_darts({9: (3,)})])


@pytest.mark.parametrize("space", ["nasbench201", "darts"])
def test_what_is_written_runs_as_the_architecture_that_it_is(space: str) -> None:
    net = network(space)
    paths = controlled_paths(net, seed=0)
    known = nasbench201() if space == "nasbench201" else darts()
    for cells in paths.controller.sample(5, draw()).cells:
        arch = known.admit(paths.architecture(cells))
        by_kind = net.plan.choices(arch)
        assert [by_kind[kind] for kind in net.plan.kinds] == list(cells)
        for mix, other in zip(paths.path(cells), net.path(arch), strict=True):
            assert (mix.weights, mix.active) == (other.weights, other.active)


def test_a_part_of_a_supernet_is_left_by_nothing_that_is_written() -> None:
    net = network("nasbench201", {"cell": PART})
    paths = controlled_paths(net, seed=0)
    for cells in paths.controller.sample(50, draw()).cells:
        assert all(row[0] in known for row, known in zip(cells[0], PART, strict=True))
        net.path(paths.architecture(cells))
    net(torch.zeros(2, 3, 8, 8), paths.mixture(SinglePath(), draw()))


@pytest.mark.parametrize(("space", "edge"), [("nasbench201", Edge("cell", 3)), ("darts", Edge("normal", 1))])
def test_every_part_of_a_supernet_has_a_controller_that_stays_in_it(space: str, edge: Edge) -> None:
    parts = partition(network(space), edge)
    for key, part in parts:
        paths = controlled_paths(part, seed=0)
        for cells in paths.controller.sample(20, draw()).cells:
            assert parts.route(paths.architecture(cells)) == key


def test_a_controlled_search_in_a_part_trains_its_controller() -> None:
    images = torch.randint(0, 256, (16, 3, 8, 8), generator=draw(), dtype=torch.uint8)
    task = Classification(
        Data("noise", *[Split(images, torch.arange(16) % 2)] * 3, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    )
    part = partition(network("nasbench201"), Edge("cell", 0)).parts[((3,),)]
    paths = controlled_paths(part, seed=0)
    before = [weight.detach().clone() for weight in paths.tensors]
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=0.05)
    search = ControlledSearch(
        part,
        paths,
        task,
        task,
        recipe,
        ControllerRecipe(controller_steps=2, controller_samples=3),
        seed=Seed(0),
    )
    epoch = search.epoch()
    assert epoch.rolled_back == 0
    # All but the start of each layer of logits that nothing asks for: there are no edges to choose.
    moved = [not torch.equal(one, other) for one, other in zip(before, paths.tensors, strict=True)]
    assert sum(moved) == len(moved) - 3


def test_a_controller_learns_a_reward_from_its_samples() -> None:
    controller = Controller(NASBENCH201, [(ALL,) * 6], seed=0)
    adam = torch.optim.Adam(controller.parameters(), lr=0.02)
    generator, baseline, shares = draw(), 0.0, []
    for _ in range(120):
        written = controller.sample(20, generator)
        rewards = (written.words == 3).float().mean(1)
        shares.append(float(rewards.mean()))
        loss = -(written.log_probabilities * (rewards - baseline)).mean()
        adam.zero_grad()
        loss.backward()
        adam.step()
        baseline = 0.9 * baseline + 0.1 * shares[-1]
    assert shares[0] < 0.35
    assert shares[-1] > 0.7


def test_the_same_seed_makes_the_same_controller_and_leaves_torch_alone() -> None:
    before = torch.get_rng_state()
    first, second, other = (Controller(NASBENCH201, [PART], seed=seed) for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    weights, same, different = (
        torch.cat([weight.flatten() for weight in controller.parameters()]) for controller in (first, second, other)
    )
    assert torch.equal(weights, same)
    assert not torch.equal(weights, different)


def controlled_search(rule: ControllerRecipe, rows: CellChoices) -> ControlledSearch:
    images = torch.randint(0, 256, (16, 3, 8, 8), generator=draw(), dtype=torch.uint8)
    task = Classification(
        Data("noise", *[Split(images, torch.arange(16) % 2)] * 3, ("a", "b"), (0.5,) * 3, (0.25,) * 3)
    )
    net = network("nasbench201", {"cell": rows})
    recipe = Recipe(epochs=1, batch_size=8, learning_rate=0.05)
    return ControlledSearch(net, controlled_paths(net, seed=0), task, task, recipe, rule, seed=Seed(0))


def shares_of(controller: Controller, edge: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Probabilities of the operations of the first decision, (O,), and the slope of the bound of its logits, (O,)."""
    with torch.no_grad():
        hidden, _ = controller.lstm(controller.start.expand(1, 1, -1))
        bounded = torch.tanh(controller.operation_logits(hidden[0, 0]) / 5.0)
    odds = torch.zeros(len(bounded))
    allowed = list(controller.choices[0][edge])
    odds[allowed] = torch.exp(2.5 * bounded[allowed])
    return odds / odds.sum(), 2.5 / 5.0 * (1 - bounded**2)


ONE_OPEN: CellChoices = ((3,), (0, 2, 3), (1,), (0,), (0,), (4,))


def test_the_gradient_of_a_log_probability_is_that_of_the_closed_form() -> None:
    controller = Controller(NASBENCH201, [ONE_OPEN], seed=4)
    with torch.no_grad():
        controller.operation_logits.bias += torch.tensor([9.0, 0.0, 3.0, -4.0, 1.0])
    shares, slope = shares_of(controller, 1)
    written = controller.sample(1, draw(2))
    (chosen,) = written.words[0].tolist()
    assert written.log_probabilities.exp().tolist() == pytest.approx([shares[chosen].item()], rel=1e-5)
    (gradient,) = torch.autograd.grad(written.log_probabilities.sum(), controller.operation_logits.bias)
    expected = (torch.eye(5)[chosen] - shares) * slope
    assert gradient.tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    assert gradient[1] == gradient[4] == 0.0  # what the edge may not have


def test_a_step_goes_along_rewards_above_a_baseline_that_follows_every_sample() -> None:
    rule = ControllerRecipe(learning_rate=0.01, entropy_weight=0.5, baseline_decay=0.75)
    search = controlled_search(rule, ONE_OPEN)
    controller = search.paths.controller
    probabilities, slope = shares_of(controller, 1)
    entropy = float(torch.special.entr(probabilities).sum())
    before = controller.operation_logits.bias.detach().clone()
    written, accuracies = controller.sample(4, draw(1)), [0.5, 1.0, 0.0, 0.75]
    chosen = written.words[:, 0].tolist()
    assert len(set(chosen)) > 1
    assert search._step_of_controller(written, accuracies)
    baseline, gradient = accuracies[0], torch.zeros(5)
    for word, accuracy in zip(chosen, accuracies, strict=True):
        reward = accuracy + 0.5 * entropy
        baseline = 0.75 * baseline + 0.25 * reward
        gradient += (reward - baseline) * (torch.eye(5)[word] - probabilities) * slope / 4
    assert search.baseline == pytest.approx(baseline, rel=1e-5)
    # The first step of Adam whose first moment is the gradient: the step is no longer than the learning rate.
    expected = 0.01 * gradient / (gradient.abs() + 1e-3)
    assert (controller.operation_logits.bias - before).tolist() == pytest.approx(expected.tolist(), abs=1e-6)
    # The next step begins with the baseline of this one.
    later = controller.sample(1, draw(3))
    assert search._step_of_controller(later, [1.0])
    reward = 1.0 + 0.5 * later.entropies.item()
    assert search.baseline == pytest.approx(0.75 * baseline + 0.25 * reward, rel=1e-5)


def test_a_step_whose_gradient_is_no_number_leaves_no_trace() -> None:
    search = controlled_search(ControllerRecipe(), ONE_OPEN)
    assert search._step_of_controller(search.paths.controller.sample(2, draw()), [0.25, 0.5])
    before, baseline = [weight.detach().clone() for weight in search.paths.tensors], search.baseline
    assert not search._step_of_controller(search.paths.controller.sample(2, draw()), [math.inf, 0.5])
    assert search.baseline == baseline
    assert all(torch.equal(one, other) for one, other in zip(before, search.paths.tensors, strict=True))
