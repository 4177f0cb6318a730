from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from ogive import catalog
from ogive.context import Context
from ogive.core.architecture import Architecture
from ogive.core.errors import InvalidArchitecture, SpecError
from ogive.core.graph import Graph
from ogive.core.predictor import Observed
from ogive.core.space import Choice, Real, SearchSpace
from ogive.predictors.gp import GaussianProcess, _Evidence
from ogive.predictors.kernels import Matern, WeisfeilerLehman
from ogive.predictors.targets import Targets
from ogive.spaces.nasbench201 import nasbench201
from ogive.structure import live_weight

CELLS = nasbench201()
NONE, SKIP, CONV1, CONV3, POOL = range(5)
MIXED = SearchSpace(
    "mixed",
    (Choice("op", ("a", "b", "c")), Real("x", 0.0, 1.0), Real("y", 0.0, 1.0)),
    lambda _: Graph((), frozenset()),
)


def drawn(space: SearchSpace, count: int, seed: int = 0) -> tuple[Architecture, ...]:
    rng = np.random.default_rng(seed)
    return tuple(space.sample(rng) for _ in range(count))


def score(arch: Architecture) -> float:
    """Of `mixed`: y plays no part."""
    return float(np.sin(6 * arch.choices[1]) + 0.5 * arch.choices[0])


def observed(archs: tuple[Architecture, ...]) -> Observed:
    return Observed(archs, tuple(map(score, archs)))


# -- kernels ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("smoothness", [1.5, 2.5])
def test_the_kernel_is_that_of_scikit_learn(smoothness: float) -> None:
    from sklearn.gaussian_process.kernels import Matern as Reference

    kernel = Matern(space=MIXED, smoothness=smoothness, relevance=True, length=1.2)
    rows = kernel.described(drawn(MIXED, 9))
    scales = np.linspace(-0.4, 0.4, kernel.scales)
    expected = Reference(1.2 * np.exp(scales), nu=smoothness)(rows)
    np.testing.assert_allclose(kernel.within(rows, scales)[0], expected, atol=1e-7)
    np.testing.assert_allclose(kernel.between(rows[:4], rows, scales), expected[:4], atol=1e-7)


def test_the_weisfeiler_lehman_kernel_counts_common_subtrees() -> None:
    kernel = WeisfeilerLehman(space=CELLS, depth=1)
    one, other = CELLS.check((NONE, NONE, NONE, CONV3, NONE, NONE)), CELLS.check((NONE, NONE, NONE, CONV1, NONE, NONE))
    rows = kernel.described([one, other])
    # Common are input and output, and the input that reads nothing; of six labels each, three are shared.
    np.testing.assert_allclose(kernel.between(rows, rows, np.zeros(0)), [[1, 0.5], [0.5, 1]])
    dead = CELLS.check((POOL, NONE, NONE, CONV3, NONE, NONE))
    np.testing.assert_allclose(kernel.between(kernel.described([dead]), rows, np.zeros(0)), [[1, 0.5]])


def test_isomorphic_cells_are_one_to_the_graph_kernel() -> None:
    kernel = WeisfeilerLehman(space=CELLS)
    rows = kernel.described(
        [CELLS.check((CONV3, CONV1, NONE, SKIP, POOL, CONV1)), CELLS.check((CONV1, CONV3, NONE, SKIP, CONV1, POOL))]
    )
    np.testing.assert_allclose(kernel.between(rows, rows, np.zeros(0)), np.ones((2, 2)))


# -- the process ------------------------------------------------------------------------------------------------------


def test_mean_and_deviation_are_those_of_scikit_learn() -> None:
    from sklearn.gaussian_process import GaussianProcessRegressor
    from sklearn.gaussian_process.kernels import ConstantKernel
    from sklearn.gaussian_process.kernels import Matern as Reference

    labels, others = observed(drawn(MIXED, 30)), drawn(MIXED, 20, seed=1)
    kernel = Matern(space=MIXED)
    ours = GaussianProcess(space=MIXED, kernel=kernel)
    ours.fit(labels)
    fit = ours._fit
    assert fit is not None
    reference = GaussianProcessRegressor(
        fit.variance * (Reference(1.5 * np.exp(fit.scales[0]), nu=1.5) + ConstantKernel(ours.doubt**2)),
        alpha=fit.variance * fit.noise,
        optimizer=None,
    )
    scores = np.array(labels.scores)
    reference.fit(kernel.described(labels.archs), (scores - scores.mean()) / scores.std())
    mean, deviation = reference.predict(kernel.described(others), return_std=True)
    found = ours.predicted(others)
    np.testing.assert_allclose(found[0], mean * scores.std() + scores.mean(), rtol=1e-5)
    np.testing.assert_allclose(found[1], deviation * scores.std(), rtol=1e-4)


@pytest.mark.parametrize("relevance", [False, True])
def test_the_slope_of_the_evidence_is_its_slope(relevance: bool) -> None:
    kernel = Matern(space=MIXED, relevance=relevance, smoothness=2.5)
    archs = drawn(MIXED, 12)
    evidence = _Evidence(kernel, kernel.described(archs), np.full((12, 12), 0.2), np.array(list(map(score, archs))))
    at = np.linspace(-0.5, 0.3, kernel.scales + 1)
    _, slope = evidence.against(at)
    for place in range(len(at)):
        step = 1e-5 * np.eye(len(at))[place]
        numeric = (evidence.against(at + step)[0] - evidence.against(at - step)[0]) / 2e-5
        assert slope[place] == pytest.approx(numeric, rel=1e-5, abs=1e-6)


def test_a_column_that_plays_no_part_gets_a_long_scale() -> None:
    kernel = Matern(space=MIXED, relevance=True)
    process = GaussianProcess(space=MIXED, kernel=kernel)
    process.fit(observed(drawn(MIXED, 60)))
    assert process._fit is not None
    assert process._fit.scales[-1] > process._fit.scales[-2] + 1  # y against x, the last two columns of one_hot


def test_the_deviation_grows_away_from_the_labels() -> None:
    archs = tuple(MIXED.check((0, x, 0.5)) for x in np.linspace(0, 0.4, 12))
    process = GaussianProcess(space=MIXED)
    process.fit(observed(archs))
    _, (near, far) = process.predicted([archs[6], MIXED.check((2, 1.0, 0.5))])
    assert far > 3 * near


def test_without_labels_to_the_contrary_the_prior_is_believed() -> None:
    archs = drawn(CELLS, 2)
    process = GaussianProcess(space=CELLS, prior=live_weight(space=CELLS))
    process.fit(Observed(archs, (1.0, 1.0)))
    small, large = CELLS.check((NONE, NONE, NONE, POOL, NONE, NONE)), CELLS.check((CONV3,) * 6)
    mean, _ = process.latent([small, large])
    assert mean[1] > mean[0] + 1


def test_of_a_prior_of_several_numbers_is_learnt_which_is_true() -> None:
    archs = drawn(CELLS, 40)
    columns = dict(zip(archs, np.random.default_rng(1).normal(size=(40, 3)), strict=True))

    class Three:
        width = 3

        def __call__(self, asked: Sequence[Architecture]) -> np.ndarray:
            return np.array([columns[arch] for arch in asked], np.float32)

    process = GaussianProcess(space=CELLS, prior=Three())
    process.fit(Observed(archs[:30], tuple(float(columns[arch][1] - columns[arch][2]) for arch in archs[:30])))
    mean, _ = process.latent(archs[30:])
    true = np.array([columns[arch][1] - columns[arch][2] for arch in archs[30:]])
    assert np.corrcoef(mean, true)[0, 1] > 0.9


def test_it_is_written_as_a_part() -> None:
    text = "gp(kernel=wl(depth=1), prior=live_weight, targets=normal_scores)"
    process = catalog.build("predictor", text, Context({"space": lambda: CELLS}))
    assert isinstance(process.kernel, WeisfeilerLehman)
    archs = drawn(CELLS, 30)
    process.fit(Observed(archs, tuple(float(arch.choices.count(CONV3)) for arch in archs)))
    mean, deviation = process.predicted(drawn(CELLS, 5, seed=1))
    assert mean.shape == deviation.shape == (5,)


# -- what cannot be ---------------------------------------------------------------------------------------------------


def test_duplicates_with_different_labels_are_noise() -> None:
    one, other = drawn(MIXED, 2)
    process = GaussianProcess(space=MIXED)
    process.fit(Observed((one, one, one, one, other, other), (0.0, 1.0, 0.0, 1.0, 5.0, 5.0)))
    assert process.predict([one])[0] == pytest.approx(0.5, abs=0.4)


def test_impossible_options_are_refused() -> None:
    with pytest.raises(SpecError, match="smoothness=2"):
        Matern(space=MIXED, smoothness=2)
    with pytest.raises(SpecError, match="length=0"):
        Matern(space=MIXED, length=0)
    with pytest.raises(SpecError, match="depth=-1"):
        WeisfeilerLehman(space=CELLS, depth=-1)
    with pytest.raises(SpecError, match="not drawn as graphs"):
        WeisfeilerLehman(space=MIXED)
    with pytest.raises(SpecError, match="doubt=-1"):
        GaussianProcess(space=MIXED, doubt=-1)
    process = GaussianProcess(space=CELLS, kernel=WeisfeilerLehman(space=CELLS))
    process.fit(Observed(drawn(CELLS, 3), (1.0, 2.0, 3.0)))
    with pytest.raises(InvalidArchitecture, match="mixed:"):
        process.predict(drawn(MIXED, 1))


# -- targets ----------------------------------------------------------------------------------------------------------


def test_normal_scores_keep_the_order_and_find_the_way_back() -> None:
    scores = (10.0, 90.0, 91.0, 91.0, 93.0)
    targets = Targets(scores, "normal_scores")
    assert targets.values[2] == targets.values[3]
    np.testing.assert_allclose(targets.values[[0, 4]], (-1.2816, 1.2816), atol=1e-4)
    np.testing.assert_allclose(targets.scores(targets.values), scores, atol=1e-3)
    beyond = targets.scores(np.array([1.3, 2.0, 3.0]))
    assert (np.diff([93.0, *beyond]) > 0).all()
    assert (np.diff(targets.scores(np.linspace(-4, 4, 99))) > 0).all()


@pytest.mark.parametrize("kind", ["standardised", "normal_scores"])
def test_equal_labels_predict_themselves(kind: str) -> None:
    targets = Targets((7.0, 7.0, 7.0), kind)  # type: ignore[arg-type]
    np.testing.assert_array_equal(targets.values, 0)
    np.testing.assert_array_equal(targets.scores(np.array([-2.0, 3.0])), 7)
    np.testing.assert_array_equal(targets.deviations(np.zeros(2), np.ones(2)), 0)
