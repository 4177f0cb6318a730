"""One way to write each part of the catalog, small enough to be tried in a fraction of a second."""

from __future__ import annotations

from ogive import catalog
from ogive.networks.build import DEFAULTS
from ogive.spaces.blockqnn import CONVOLUTIONS
from ogive.spaces.hnag import HNAG
from ogive.spaces.nds import FAMILIES
from ogive.spaces.nds_residual import BLOCKS
from ogive.supernets.sharing import SHARED

SPACES = catalog.names("space")
# The same without those that differ from nds_darts, blockqnn or rnag_er in their operations, or random graphs, only.
# What differs from mlp in what it reads is searched in tests/unit/test_sequences.py.
SEQUENCES = ("conv1d", "textcnn", "transformer")
ALIKE = {*FAMILIES, *CONVOLUTIONS, *HNAG, *SEQUENCES} - {"nds_darts", "blockqnn", "rnag_er"}
DIFFERENT = [space for space in SPACES if space not in ALIKE]
# Spaces of which ogive builds networks; the others are searched in tables only.
BUILT = sorted(DEFAULTS)
# Spaces whose networks have no size but their own, or as many cells as they say: those with small ones only.
SMALL = {
    "nds_resnet": "nds_resnet(widths=[16, 24], depths=[1, 2])",
    "nds_resnext": "nds_resnext(variant=a, max_params=50000)",
    "ddarts": "ddarts(cells=2)",
    "deepnets": "deepnets(nodes=1, cells=4)",
    "dartopti": "dartopti(cells=1)",
    "blockqnn": "blockqnn(layers=4)",
    "blockqnn_separable": "blockqnn_separable(layers=4)",
    "ddarts_dense": "ddarts_dense(cells=1)",
    **{name: f"{name}(parameters=20000)" for name in HNAG},
}
# Channels and cells of the smallest networks of a space that take images of 8 by 8 pixels, or a text.
SIZES: dict[str, tuple[int | None, int | None]] = {
    "nasbench201": (4, 1),
    "nasbench101": (8, 1),
    "natssize": (None, 1),
    "darts_rnn": (4, None),
    "autogan": (2, None),
    **dict.fromkeys(("darts", *FAMILIES), (4, 3)),
    **dict.fromkeys(("mlp", *SEQUENCES, *BLOCKS, *HNAG), (None, None)),
    "ddarts": (2, 2),
    "dartopti": (2, 1),
    "ddarts_dense": (2, 1),
    "dartopti_from": (2, None),
    "ofa_mobilenetv3": (2, None),
    "mnasnet": (2, None),
    "blockqnn": (2, 1),
    "blockqnn_separable": (2, 1),
    "deepnets": (2, None),
}
SMALL_NAO = "epochs=20, width=16, layers=1, units=8, learning_rate=0.02"
SHORT_CONTRAST = "iterations=2, candidates=2, exploration=off"
# A scorer needs images, or what the evaluator of a search without images has; an epoch of a supernet is a proposal.
STRATEGIES = {
    "random": "random",
    "local_search": "local_search",
    "evolution": "evolution",
    "nsga2": "nsga2",
    "reinforce": "reinforce",
    "mnasnet": "mnasnet(hidden=8, batch=3)",
    "qlearning": "qlearning(iterations=4, batch=4)",
    "irlas": "irlas(iterations=4, batch=4)",
    "naswot": "naswot({scorer}, scored=4)",
    "one_shot": "one_shot({scorer}, candidates=4, population=2, tournament=2)",
    "area": "area({scorer}, population=3, tournament=2, scored=4)",
    "hyperband": "hyperband(lowest=1)",
    "asha": "asha(lowest=1)",
    "bayes": "bayes(start=4, offered=40)",
    "mobo": "mobo(start=4, offered=20, samples=8)",
    "bohb": "bohb(lowest=1, start=4)",
    "optuna": "optuna(tpe, start=4)",
    "guided": "guided(trees(trees=5), random, start=2, refit=10, offered=20)",
    "ctnas": f"ctnas(nac(epochs=2, width=8), start=2, refit=10, {SHORT_CONTRAST})",
    "ogive": "ogive(refit=20, offered=20, rated=100)",
    "renas": "renas(start=4, refit=10, offered=10, generations=1, epochs=1)",
    "nao": "nao(start=2, refit=10, largest_step=1, seeds=4, epochs=1, width=4, layers=0)",
    "darts": "darts(epochs={epochs}, batch_size=12, alpha_learning_rate=0.1)",
    "ddarts": "ddarts(epochs={epochs}, batch_size=12, alpha_learning_rate=0.1, warm_epochs=0)",
    "spos": "spos(epochs={epochs}, batch_size=12, candidates=4, population=2, tournament=2)",
    "enas": (
        "enas(epochs={epochs}, batch_size=12, candidates=2, final_candidates=2, controller_steps=1, "
        "controller_samples=2)"
    ),
    "few_shot": "few_shot(darts(epochs=1, batch_size=12, alpha_learning_rate=0.1), part_epochs=1)",
}
# Strategies that measure at several fidelities, which an evaluator must have.
OF_RUNGS = ("hyperband", "asha", "bohb")
# `darts` with the values of other papers.
FEW = "epochs=2, batch_size=12, alpha_learning_rate=0.1"
VARIANTS = {
    "gdas": f"gdas({FEW})",
    "pc_darts": f"pc_darts({FEW}, warm_epochs=1, partial=2)",
    "fair_darts": f"fair_darts({FEW})",
    "darts_pt": f"darts_pt({FEW}, tune_epochs=0)",
    "r_darts": f"r_darts({FEW})",
}
SHORT = "batch_size=2, bptt=8"  # of a text that is
# Strategies that train a supernet, and the spaces that have one of theirs.
WEIGHT_SHARING = dict.fromkeys(("darts", "spos", "enas", "few_shot"), tuple(SHARED)) | {
    "ddarts": ("ddarts", "dartopti", "ddarts_dense"),
    "darts": (*SHARED, "darts_rnn"),
}
# Spaces of strategies that do not search in all of them, or are tried in these only.
SEARCHED = WEIGHT_SHARING | {
    "nao": tuple(name for name in DIFFERENT if catalog.build("space", name).tokens),
    "renas": ("nasbench201",),
    "irlas": tuple(CONVOLUTIONS),
    # They draw options: not where a variable is real.
    **dict.fromkeys(
        ("reinforce", "ctnas", "mnasnet", "qlearning"), tuple(name for name in DIFFERENT if name != "rnag_er")
    ),
}
# The same in their smallest space: in the others they are tried by their own tests and in searches.
SMALLEST = dict.fromkeys(WEIGHT_SHARING, "nasbench201") | {"ddarts": "ddarts_dense"}
TRAINED = "trained(epochs=1, batch_size=16)"
LATENCY = "latency(min_runs=2, min_seconds=0.001, max_seconds=0.01, warm_up_s=0.0)"
BOTH = f"together({TRAINED}, {LATENCY})"
JUDGED = "images=20, statistics_images=20, feature_channels=2, feature_epochs=1"
ADVERSARIAL = "critic_channels=2, steps=1, batch_size=16, generator_batch=8, critic_steps=1"
LANGUAGE = "trained(preset=tiny, epochs=1, batch_size=2, bptt=8)"
# Each evaluator with a metric to maximise and one to minimise.
EVALUATORS = {
    "tabular": ("tabular(also=[params])", "val_acc", "params"),
    "trained": (TRAINED, "val_acc", "macs"),
    "training_free": ("training_free([naswot, macs], batch_size=8)", "naswot", "macs"),
    "score_table": ("score_table('{scores}')", "naswot", "params"),
    "inherited": (
        "inherited(parts(split=0, epochs=1, part_epochs=1, batch_size=12), metric=shared_acc)",
        "shared_acc",
        "shared_acc",
    ),
    "latency": (LATENCY, "latency_ms", "latency_ms"),
    "memory": ("memory", "memory_mb", "memory_mb"),
    "draws": ("draws(training_free([macs, params], batch_size=8), draws=2)", "macs", "params_std"),
    "together": (BOTH, "val_acc", "params"),
    "cached": (f"cached({BOTH})", "val_acc", "latency_ms"),
    "ranked": ("ranked(training_free([naswot, macs], batch_size=8), reference=3)", "mean_rank", "macs"),
    "predicted": ("predicted(trees(trees=5), training_free([macs, params]), sample=2)", *["predicted_macs"] * 2),
    "screened": (f"screened(training_free(naswot, batch_size=8), {BOTH}, keep=1, pool=2)", "val_acc", "params"),
}
# What they take and measure where the task is another one.
FOR_TASK = {
    ("trained", "darts_rnn"): (LANGUAGE, "macs", "val_ppl"),
    ("trained", "autogan"): (f"trained({JUDGED}, {ADVERSARIAL})", "own_is", "own_fid"),
    ("inherited", "autogan"): (f"inherited(parts({ADVERSARIAL}, part_steps=1, split=up1), {JUDGED})", *["own_fid"] * 2),
}
OBJECTIVES = {
    "maximize": "maximize({good})",
    "minimize": "minimize({bad})",
    "latency_tradeoff": "latency_tradeoff(target_ms=1)",
    "imitation": "imitation(metric={good})",
}
# Proposers that do not take every predictor, or take long, with one that they take.
PROPOSERS = {
    "ascent": "nao(epochs=1, width=4, layers=0), ascent(largest_step=1, seeds=4)",
    "controller": f"nac(epochs=2, width=8), controller({SHORT_CONTRAST})",
}
# One way to write each predictor, and the encoders and proposers inside others.
PREDICTORS = {
    "trees": "trees",
    "nao": f"nao({SMALL_NAO})",
    "random_forest": "random_forest",
    "boosted_trees": "boosted_trees",
    "gp": "gp(kernel=matern(encoder=structure), prior=live_weight, targets=normal_scores)",
    "nac": "nac(epochs=40, width=16, learning_rate=0.01)",
    "ogive": "ogive(trees=20, boosts=20)",
    "renas": "renas(epochs=10, learning_rate=0.003)",
    "bananas": "bananas(layers=2, epochs=40)",
    "svr": "svr(folds=2)",
    "graph_transformer": "graph_transformer(epochs=60, width=16, layers=1, learning_rate=0.01)",
    "ranks": "ranks(trees)",
    "expected_improvement": "expected_improvement(trees)",
    "upper_confidence_bound": "upper_confidence_bound(trees)",
}
