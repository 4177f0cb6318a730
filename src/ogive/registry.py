"""Where each part lives, by its kind and name, and each tool that is reached by name.

Nothing is imported until it is asked for, so that listing parts is instant, and the commands import torch only when
they need it.
"""

from __future__ import annotations

import importlib
from functools import cache
from importlib.metadata import version as metadata_version
from typing import Any

from ogive.core.errors import MissingData, SpecError, UnknownName
from ogive.plugins import from_files, plugins
from ogive.scores import SCORES

__all__ = ["PARTS", "TOOLS", "known", "load", "names", "resolve", "version"]

# Every line is one part: name, then module:attribute.
PARTS: dict[str, dict[str, str]] = {
    "space": {
        "nasbench201": "ogive.spaces.nasbench201:nasbench201",
        "nasbench101": "ogive.spaces.nasbench101:nasbench101",
        "natssize": "ogive.spaces.natssize:natssize",
        "darts": "ogive.spaces.darts:darts",
        "darts_rnn": "ogive.spaces.darts_rnn:darts_rnn",
        "nds_darts": "ogive.spaces.nds:nds_darts",
        "nds_enas": "ogive.spaces.nds:nds_enas",
        "nds_amoeba": "ogive.spaces.nds:nds_amoeba",
        "nds_nasnet": "ogive.spaces.nds:nds_nasnet",
        "nds_pnas": "ogive.spaces.nds:nds_pnas",
        "nds_resnet": "ogive.spaces.nds_residual:nds_resnet",
        "nds_resnext": "ogive.spaces.nds_residual:nds_resnext",
        "ddarts": "ogive.spaces.ddarts:ddarts",
        "dartopti": "ogive.spaces.ddarts:dartopti",
        "ddarts_dense": "ogive.spaces.unrestricted:ddarts_dense",
        "dartopti_from": "ogive.spaces.unrestricted:dartopti_from",
        "accel_nasbench": "ogive.spaces.accel_nasbench:accel_nasbench",
        "nasbench_graph": "ogive.spaces.nasbench_graph:nasbench_graph",
        "autogan": "ogive.spaces.autogan:autogan",
        **{
            name: f"ogive.spaces.hnag:{name}"
            for name in ("hnag", "hnag_ops", "hnag_ratios", "hnag_darts", "rnag_ws", "rnag_er", "rnag_ba")
        },
        "mlp": "ogive.spaces.mlp:mlp",
        "conv1d": "ogive.spaces.conv1d:conv1d",
        "textcnn": "ogive.spaces.sentences:textcnn",
        "transformer": "ogive.spaces.sentences:transformer",
        "deepnets": "ogive.spaces.deepnets:deepnets",
        "ofa_mobilenetv3": "ogive.spaces.ofa_mobilenetv3:ofa_mobilenetv3",
        "mnasnet": "ogive.spaces.mnasnet:mnasnet",
        "blockqnn": "ogive.spaces.blockqnn:blockqnn",
        "blockqnn_separable": "ogive.spaces.blockqnn:blockqnn_separable",
    },
    "strategy": {
        "random": "ogive.strategies.local:RandomSearch",
        "local_search": "ogive.strategies.local:LocalSearch",
        "evolution": "ogive.strategies.local:RegularizedEvolution",
        "nsga2": "ogive.strategies.nsga2:NSGA2",
        "reinforce": "ogive.strategies.reinforce:Reinforce",
        "hyperband": "ogive.strategies.hyperband:Hyperband",
        "bohb": "ogive.strategies.parzen:bohb",
        "asha": "ogive.strategies.asha:ASHA",
        "bayes": "ogive.strategies.bayes:bayes",
        "mobo": "ogive.strategies.mobo:mobo",
        "qlearning": "ogive.strategies.qlearning:QLearning",
        "irlas": "ogive.strategies.qlearning:irlas",
        "guided": "ogive.strategies.guided:Guided",
        "mnasnet": "ogive.strategies.mnasnet:MnasNet",
        "ctnas": "ogive.strategies.contrastive:ctnas",
        "ogive": "ogive.strategies.ogive:ogive",
        "renas": "ogive.strategies.renas:renas",
        "nao": "ogive.strategies.nao:nao",
        "optuna": "ogive.strategies.optuna:Optuna",
        "naswot": "ogive.strategies.scored:BestScored",
        "area": "ogive.strategies.scored:Area",
        "one_shot": "ogive.strategies.scored:BestEvolved",
        **{
            name: f"ogive.strategies.gradient:{name}"
            for name in ("darts", "gdas", "pc_darts", "fair_darts", "darts_pt", "r_darts")
        },
        "ddarts": "ogive.strategies.nested:ddarts",
        "spos": "ogive.strategies.single_path:spos",
        "enas": "ogive.strategies.enas:enas",
        "few_shot": "ogive.strategies.few_shot:few_shot",
    },
    "evaluator": {
        "tabular": "ogive.evaluators.tabular:Tabular",
        "trained": "ogive.evaluators.trained:Trained",
        "training_free": "ogive.evaluators.training_free:TrainingFree",
        "score_table": "ogive.evaluators.score_table:ScoreTable",
        "inherited": "ogive.evaluators.inherited:Inherited",
        "latency": "ogive.evaluators.latency:Latency",
        "memory": "ogive.evaluators.memory:Memory",
        "draws": "ogive.evaluators.draws:Draws",
        "ranked": "ogive.evaluators.ranked:Ranked",
        "predicted": "ogive.evaluators.predicted:Predicted",
        "together": "ogive.core.evaluator:Together",
        "cached": "ogive.core.evaluator:Cached",
        "screened": "ogive.core.evaluator:Screened",
    },
    "weights": {
        "supernet": "ogive.weights.shared:supernet",
        "parts": "ogive.weights.shared:parts",
        "given": "ogive.weights.given:Given",
        "ghn": "ogive.weights.hypernetwork:Hypernetwork",
    },
    "objective": {
        "maximize": "ogive.core.objective:Maximize",
        "minimize": "ogive.core.objective:Minimize",
        "latency_tradeoff": "ogive.core.objective:LatencyTradeoff",
        "imitation": "ogive.topology:Imitation",
    },
    "task": {
        "classification": "ogive.training.tasks.classification:Classification",
        "language": "ogive.training.tasks.language:Language",
        "generation": "ogive.training.tasks.generation:Generation",
        "regression": "ogive.training.tasks.regression:Regression",
        "labelling": "ogive.training.tasks.labelling:Labelling",
        "detection": "ogive.training.tasks.detection:Detection",
    },
    "predictor": {
        "trees": "ogive.predictors.trees:ExtraTrees",
        "random_forest": "ogive.predictors.trees:RandomForest",
        "boosted_trees": "ogive.predictors.trees:BoostedTrees",
        "gp": "ogive.predictors.gp:GaussianProcess",
        "nac": "ogive.predictors.comparator:Comparator",
        "ogive": "ogive.predictors.blend:Blend",
        "renas": "ogive.predictors.renas:ReNAS",
        "nao": "ogive.predictors.nao:Nao",
        "bananas": "ogive.predictors.bananas:Bananas",
        "svr": "ogive.predictors.svr:SupportVectors",
        "graph_transformer": "ogive.predictors.transformer:GraphTransformer",
        "ranks": "ogive.predictors.ranks:Ranks",
        "upper_confidence_bound": "ogive.predictors.bounds:UpperConfidenceBound",
        "expected_improvement": "ogive.predictors.improvement:ExpectedImprovement",
    },
    "encoder": {
        "one_hot": "ogive.features:OneHot",
        "ordinal": "ogive.features:Ordinal",
        "adjacency": "ogive.features:Adjacency",
        "paths": "ogive.features:Paths",
        "layers": "ogive.features:Layers",
        "structure": "ogive.structure:structure",
        "live_weight": "ogive.structure:live_weight",
        "tokens": "ogive.features:Tokens",
        "embeddings": "ogive.hypernets.encoder:embeddings",
    },
    "kernel": {
        "matern": "ogive.predictors.kernels:Matern",
        "wl": "ogive.predictors.kernels:WeisfeilerLehman",
    },
    "proposer": {
        "ascent": "ogive.strategies.proposers:Ascent",
        "exhaustive": "ogive.strategies.proposers:Exhaustive",
        "evolution": "ogive.strategies.proposers:Evolved",
        "random": "ogive.strategies.proposers:RandomOffers",
        "controller": "ogive.strategies.contrastive:ContrastiveSearch",
    },
    "executor": {
        "serial": "ogive.executors.serial:Serial",
        "processes": "ogive.executors.processes:Processes",
        "ray": "ogive.executors.ray:Ray",
    },
    "gate": {
        "softmax": "ogive.supernets.gates:Softmax",
        "sigmoid": "ogive.supernets.gates:Sigmoid",
        "gumbel": "ogive.supernets.gates:GumbelOneHot",
    },
    "rule": {
        "skips": "ogive.supernets.rules:Skips",
        "settled": "ogive.supernets.rules:Settled",
        "eigenvalue": "ogive.supernets.rules:Eigenvalue",
    },
    "regulariser": {
        "zero_one": "ogive.supernets.search:ZeroOne",
        "imitation": "ogive.supernets.imitation:Imitated",
    },
    "optimiser": {
        "sgd": "ogive.training.optimisers:SGD",
        "adam": "ogive.training.optimisers:Adam",
        "adamw": "ogive.training.optimisers:adamw",
    },
    "operation": {"published": "ogive.networks.own:Published"},
    "score": SCORES,
    "data": {
        "digits": "ogive.training.published:read_digits",
        **dict.fromkeys(("fashion-mnist", "cifar10", "cifar100"), "ogive.training.published:read_published"),
        "images:FOLDER": "ogive.training.folders:read_images",
        "arrays:FILE.npz": "ogive.training.row_arrays:load",
        "csv:FILE": "ogive.training.csv_files:load",
        "sentences:FILE": "ogive.training.sentences:load",
        "coco:FOLDER": "ogive.training.coco:load",
        "voc:FOLDER": "ogive.training.voc:load",
        "text:FOLDER": "ogive.training.text:load",
    },
}
# What was called otherwise before, and its name now.
_FORMER = {("evaluator", "language"): "trained", ("evaluator", "generative"): "trained"}
# What else is reached by name.
TOOLS: dict[str, str] = {
    "usable_device": "ogive.training.devices:usable_device",
    "load_data": "ogive.training.data:load",
    "held_data": "ogive.training.data:held",
    "get_data": "ogive.training.data:get",
    "open_table": "ogive.tables.store:open_table",
    "get_table": "ogive.tables.packages:get_table",
    "packages": "ogive.tables.packages:PACKAGES",
    "import_table": "ogive.tables.importers:import_table",
    "name_of_table": "ogive.tables.importers:suggested_name",
    "mapped": "ogive.tables.importers:Mapped",
    "in_closed_world": "ogive.strategies.closed_world:in_closed_world",
    "group": "ogive.training.distributed:group",
    "replicated": "ogive.evaluators.replicated:replicated",
    "compare": "ogive.comparison:compare",
    "keep_comparison": "ogive.comparison_files:keep_comparison",
    "keep_across": "ogive.comparison_files:keep_across",
    "across": "ogive.across:across",
    "scored": "ogive.scoring:scored",
    "write_page": "ogive.reporting.page:write_page",
    "write_score_page": "ogive.reporting.scores:write_score_page",
    "train_winner": "ogive.winner:train_winner",
    "evaluate_published": "ogive.published_training:evaluate_published",
    "published_names": "ogive.published_training:published_names",
    "export_winner": "ogive.winner:export_winner",
    "export_to_optuna": "ogive.optuna_export:export_to_optuna",
    "keep_authors": "ogive.hypernets.authors:keep_authors",
    "write_deepnets": "ogive.hypernets.shards:write",
    "train_ghn": "ogive.parameter_prediction.training:train_ghn",
    "predict_parameters": "ogive.parameter_prediction.predicting:predict_parameters",
    "embedded_files": "ogive.parameter_prediction.embedding:embedded_files",
    "published_ghn_results": "ogive.parameter_prediction.published:published_results",
    "evaluate_ghn": "ogive.parameter_prediction.evaluation:evaluate_ghn",
    "measure_latency": "ogive.winner:measure_latency",
    "measure_in_runtime": "ogive.winner:measure_in_runtime",
    "write_operator_table": "ogive.evaluators.operators:write_operator_table",
    "winner_facts": "ogive.winner:winner_facts",
    "doctor": "ogive.machine:doctor",
}


def names(kind: str) -> list[str]:
    """The names of all parts of a kind, plug-ins included."""
    return sorted(known(kind))


def resolve(kind: str, name: str) -> Any:
    """The class or function that makes the part; UnknownName if there is none."""
    found = known(kind)
    if (kind, name) in _FORMER:
        raise SpecError(
            f"The {kind} {name} is now written {_FORMER[kind, name]}, which goes by the task of the search."
        )
    if name not in found:
        raise UnknownName(kind, name, found)
    return load(found[name])


def load(target: str) -> Any:
    """Import ``module:attribute``, or a tool by its name in this catalog."""
    module, _, attribute = TOOLS.get(target, target).partition(":")
    try:
        found: Any = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if (error.name or "").split(".")[0] == "ogive":
            raise
        raise MissingData(f"{target} needs the package {error.name!r}: pip install {error.name}.") from error
    for name in attribute.split("."):
        if not hasattr(found, name):
            raise SpecError(f"The module {module} has no {attribute!r}: the plug-in that names {target} is broken.")
        found = getattr(found, name)
    return found


@cache  # asked for by every run and table that is opened
def version() -> str:
    """The version of ogive that is installed."""
    return metadata_version("ogive")


def known(kind: str) -> dict[str, str]:
    """``module:attribute`` of every part of a kind, plug-ins included; UnknownName for a kind that there is not."""
    if kind not in PARTS:
        raise UnknownName("kind of part", kind, PARTS)
    taken = sorted(from_files(kind).keys() & PARTS[kind].keys())
    if taken:
        raise SpecError(f"A plug-in adds a {kind} called {taken[0]}, which ogive has itself: give it another name.")
    return {**plugins(kind), **PARTS[kind]}
