"""A supernet search that is killed with SIGKILL in the middle of an epoch and resumed is the same search."""

from __future__ import annotations

import hashlib
import json
import signal
from pathlib import Path

import pytest
from warm import begun, ended

from ogive.runs import read_run

# A process of its own, since its searches are forks of it: they share the data and what a search imports.
SEARCHES = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)  # before the first operation, so that no thread exists when it forks
from ogive import session
from ogive.core.trial import Budget
from ogive.supernets.networks import Supernet

settings = session.Settings(
    **json.loads(sys.argv[2]), data="digits(limit=96)", budget=Budget(trials=3), channels=2, cells=1, threads=1
)
session.assemble(settings)

def search(folder, die_at):
    parts, calls = session.assemble(settings), []

    def die(module, _):
        if isinstance(module, Supernet):
            calls.append(0)
            if len(calls) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.nn.modules.module.register_module_forward_pre_hook(die)
    if (folder / "run.json").exists():
        session.resume(folder, parts=parts)
    else:
        session.search(settings, folder, parts=parts)

statuses = []
for name, die_at in json.loads(sys.argv[3]):
    child = os.fork()
    if child == 0:
        search(Path(sys.argv[1]) / name, die_at)
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


def state(folder: Path) -> list[str]:
    """Digests of the tensors of the last state that was saved; the seconds in the headers are never the same."""
    (last,) = sorted(folder.glob("artifacts/strategy-*"))[-1:]
    contents = [path.read_bytes() for path in sorted(last.rglob("epoch-*.safetensors"))]
    assert contents
    tensors = [content[8 + int.from_bytes(content[:8], "little") :] for content in contents]
    return [hashlib.sha256(each).hexdigest() for each in tensors]


DARTS = {"space": "nasbench201", "strategy": "darts(epochs=3, batch_size=16, alpha_learning_rate=0.1)"}
# What the published code leaves in its gradients outlives an epoch, and so a kill.
DDARTS = {
    "space": "ddarts(cells=1)",
    "strategy": "ddarts(epochs=3, batch_size=16, alpha_learning_rate=0.1, form=literal, reference_leaks=true)",
    "evaluator": "training_free(params)",
    "objectives": ["maximize(params)"],
}
FEW_SHOT = {**DARTS, "strategy": "few_shot(darts(epochs=1, batch_size=16, alpha_learning_rate=0.1), part_epochs=1)"}

ENAS = {
    "space": "nasbench201",
    "strategy": "enas(epochs=3, batch_size=16, candidates=3, final_candidates=3, controller_steps=2, "
    "controller_samples=3, controller_learning_rate=0.1)",
}


# Three steps an epoch, two forward passes each, and with D-DARTS one more for its cell; with ENAS one each, then six of
# the controller and at most three of candidates: killed in the first epoch, in the second, and there again. The search
# in parts ends every epoch with a look at the validation loss: killed in the whole supernet, in the first part, and in
# the second.
@pytest.mark.parametrize(
    ("settings", "deaths"),
    [(DARTS, (3, 9, 4)), (DDARTS, (4, 14, 6)), (ENAS, (5, 14, 7)), (FEW_SHOT, (3, 11, 10))],
    ids=["darts", "ddarts", "enas", "few_shot"],
)
def test_a_supernet_search_survives_kills_within_its_epochs(
    settings: dict[str, object], deaths: tuple[int, ...], tmp_path: Path, invented_table: Path, patience_s: float
) -> None:
    plan = [("whole", 0), *(("killed", death) for death in deaths), ("killed", 0)]
    written = {**settings, **({} if "evaluator" in settings else {"table": str(invented_table)})}
    said = tmp_path / "said.txt"
    searches = begun(SEARCHES, tmp_path, json.dumps(written), json.dumps(plan), said=said)
    assert ended(searches, patience_s) == 0, said.read_text()
    assert json.loads(said.read_text().splitlines()[-1]) == [0, *[-signal.SIGKILL] * 3, 0]
    whole, killed = (read_run(tmp_path / name).trials for name in ("whole", "killed"))
    assert [(t.number, t.arch, t.scores) for t in killed] == [(t.number, t.arch, t.scores) for t in whole]
    assert len(whole) == 3
    assert state(tmp_path / "killed") == state(tmp_path / "whole")


# Random search with inherited estimates, whose supernet and parts are trained before the first of them.
ESTIMATES = """
import json, os, signal, sys
from pathlib import Path
import torch
torch.set_num_threads(1)  # before the first operation, so that no thread exists when it forks
from ogive import session
from ogive.core.trial import Budget
from ogive.supernets.networks import Supernet

settings = session.Settings(
    space="nasbench201", strategy="random", data="digits(limit=48)", budget=Budget(trials=3), channels=2, cells=1,
    threads=1, evaluator="inherited(parts(split=0, groups=true, epochs=2, part_epochs=2, batch_size=24))",
)
session.assemble(settings)

def search(folder, die_at):
    calls = []

    def die(module, _):
        if isinstance(module, Supernet) and module.training and torch.is_grad_enabled():
            calls.append(0)
            if len(calls) == die_at:
                os.kill(os.getpid(), signal.SIGKILL)

    torch.nn.modules.module.register_module_forward_pre_hook(die)
    if (folder / "run.json").exists():
        session.resume(folder)
    else:
        session.search(settings, folder)

statuses = []
for name, die_at in json.loads(sys.argv[2]):
    child = os.fork()
    if child == 0:
        search(Path(sys.argv[1]) / name, die_at)
        os._exit(0)
    statuses.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
print(json.dumps(statuses))
"""


def test_estimates_survive_kills_while_their_supernets_are_trained(tmp_path: Path, patience_s: float) -> None:
    # Two steps an epoch, one forward pass each: killed in the parent's first and second epoch, then in a part.
    plan = [("whole", 0), ("killed", 2), ("killed", 4), ("killed", 14), ("killed", 0)]
    said = tmp_path / "said.txt"
    assert ended(begun(ESTIMATES, tmp_path, json.dumps(plan), said=said), patience_s) == 0, said.read_text()
    assert json.loads(said.read_text().splitlines()[-1]) == [0, *[-signal.SIGKILL] * 3, 0]
    whole, killed = (read_run(tmp_path / name).trials for name in ("whole", "killed"))
    assert [(t.number, t.arch, t.scores) for t in killed] == [(t.number, t.arch, t.scores) for t in whole]
    assert len(whole) == 3
