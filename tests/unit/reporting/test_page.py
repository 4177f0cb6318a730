from __future__ import annotations

import base64
import hashlib
import json
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from ogive.core.errors import SpecError, StoreError
from ogive.core.trial import Budget, Trial
from ogive.reporting.markup import number
from ogive.reporting.page import page, write_page
from ogive.runs import Run, read_run
from ogive.session import Settings, search
from ogive.tables.keys import MixedRadix
from ogive.tables.store import Column, write_table

Make = Callable[..., Run]
Of = Callable[..., Trial]


class Reader(HTMLParser):
    """The text of every section, the tags, and the contents of the scripts."""

    def __init__(self, document: str) -> None:
        super().__init__()
        self.sections: dict[str, list[str]] = {}
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.scripts: list[str] = []
        self._section: str | None = None
        self._inside: str | None = None
        self.feed(document)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag
        if tag == "section":
            self._section = dict(attrs)["id"]

    def handle_endtag(self, tag: str) -> None:
        self._inside = None
        if tag == "section":
            self._section = None

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.scripts.append(data)
        elif self._section is not None:
            self.sections.setdefault(self._section, []).append(data)

    def text(self, section: str) -> str:
        return " ".join(" ".join(self.sections[section]).split())


def read(*runs: Run, **options: Any) -> Reader:
    return Reader(page(runs, **options))


def trained(run: Run, **changes: Any) -> Run:
    """The run with a winner.json of its best trial."""
    best = max((one for one in run.trials if one.scores), key=lambda one: one.scores or (0.0,))
    facts = {
        "arch": str(best.arch),
        "trial": best.number,
        "val_acc": 97.5,
        "test_acc": 97.0,
        "test_correct": 97,
        "test_images": 100,
        "latency_ms": 1.5,
        "params": 12345,
        "macs": 67890,
        "epochs": 2,
        "history": [{"epoch": 1, "train_loss": 2.0}, {"epoch": 2, "train_loss": 1.0}],
        "exports": [{"format": "onnx", "paths": ["winner.onnx"], "largest_difference": 2.5e-6}],
        "command": "ogive train somewhere",
    }
    (run.artifacts / "winner.json").write_text(json.dumps({**facts, **changes}))
    return run


def test_the_answer_holds_the_winner_its_numbers_and_its_picture(searched: Callable[..., Run]) -> None:
    run = trained(searched("own"))
    document = page([run])
    text = Reader(document).text("answer")
    for expected in (
        "classifies 97 of 100 test images correctly: 97.00 %",
        "97.50 %",
        "1.5 ms",
        "12,345",
        "67,890",
        "winner.onnx",
        "2.5e-06",
    ):
        assert expected in text
    answer = document[document.index('<section id="answer"') : document.index("</section>")]
    assert '<figure class="picture' in answer
    assert "<svg" in answer
    assert json.loads((run.artifacts / "winner.json").read_text())["arch"] in answer


def test_one_run_is_called_no_evidence_and_the_binomial_interval_is_printed(searched: Callable[..., Run]) -> None:
    text = read(trained(searched("own"))).text("answer")
    assert "One run is no evidence" in text
    # Wilson's 95 % interval of 97/100, closed form: (0.97 + z²/200 ± z sqrt(0.97·0.03/100 + z²/40000)) / (1 + z²/100).
    assert "91.55 to 98.97 %" in text
    assert "ogive compare random 'evolution(population=6)' --space nasbench201" in text


def test_means_over_few_seeds_have_t_intervals_and_one_seed_has_none(make: Make, trial: Of) -> None:
    runs = [make(f"e{seed}", [trial(0, {"val_acc": v}, (v,))], seed=seed) for seed, v in enumerate((20.0, 22.0, 24.0))]
    runs.append(make("r", [trial(0, {"val_acc": 16.0}, (16.0,))], strategy="random"))
    text = read(*runs).text("anytime")
    assert "95 % t-interval" in text
    # 22 ± t(0.975; 2) · 2 / √3
    assert "17.03 to 26.97" in text
    assert "one seed has none" in text


def test_five_seeds_a_strategy_are_not_called_an_anecdote(make: Make, trial: Of) -> None:
    runs = [
        make(f"{strategy}{seed}", [trial(0, {"val_acc": 1.0 + seed}, (1.0 + seed,))], strategy=strategy, seed=seed)
        for strategy in ("evolution", "random")
        for seed in range(5)
    ]
    assert "no evidence" not in read(*runs).text("answer")
    assert "no evidence" in read(*runs[1:]).text("answer")
    # The same seed five times is one seed.
    assert "no evidence" in read(*[runs[0]] * 5, *runs[5:]).text("answer")


def test_without_random_search_the_page_says_so_and_gives_the_command(searched: Callable[..., Run]) -> None:
    text = read(searched("own")).text("answer")
    assert "No random search was run beside this" in text
    assert "ogive search --space nasbench201 --strategy random --evaluator" in text
    both = read(searched("two"), searched("chance", strategy="random", role="baseline")).text("answer")
    assert "No random search" not in both


def test_the_verdict_compares_at_equal_numbers_of_candidates(make: Make, trial: Of) -> None:
    own = make("own", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate((60.0, 70.0, 99.0))])
    chance = make("chance", [trial(k, {"val_acc": v}, (v,)) for k, v in enumerate((50.0, 72.0))], strategy="random")
    text = read(own, chance).text("answer")
    assert "After 2 evaluated candidates" in text
    assert "is 70 with evolution(population=6) and 72 with random search: random search is ahead by 2" in text


def test_a_winner_that_was_not_trained_gets_the_command_that_trains_it(searched: Callable[..., Run]) -> None:
    run = searched("own")
    assert f"ogive train {run.folder}" in read(run).text("answer")


def test_a_tabular_winner_has_the_tables_test_accuracy(make: Make, trial: Of) -> None:
    trials = [trial(k, {"val_acc": 50.0 + k, "test_acc": 40.0 + k}, (50.0 + k,), benchmark_s=9.0) for k in range(3)]
    run = make("own", trials, table="nasbench201", data=None, objectives=["maximize(val_acc)"])
    reader = read(run)
    text = reader.text("answer")
    assert "ogive train" not in reader.text("reproduce")
    assert "has a test accuracy of 42.00 % , read from the table" in text
    assert "ogive train" not in text


def test_several_objectives_have_no_single_winner(make: Make, trial: Of) -> None:
    trials = [trial(k, {"val_acc": 50.0 + k, "params": 10.0 + k}, (50.0 + k, -10.0 - k)) for k in range(3)]
    both = {"objectives": ["maximize(val_acc)", "minimize(params)"]}
    reader = read(make("own", trials, strategy="nsga2", **both), make("chance", trials[:2], strategy="random", **both))
    assert "there is no single winner" in reader.text("answer")
    # Over both runs the worst scores are 50 and -12; after two trials either front covers 1 x 1 above them.
    assert "hypervolume above the worst scores is 1 with nsga2 and 1 with random search" in reader.text("answer")
    assert "best parameters (lower is better)" in reader.scripts[0]


def test_every_figure_names_folder_and_seed_and_the_command_stands_once(searched: Callable[..., Run]) -> None:
    runs = [trained(searched("own", seed=3)), searched("chance", seed=4, strategy="random")]
    reader = read(*runs)
    for section in ("anytime", "pareto", "agreement", "trials", "failures"):
        for run in runs:
            assert f"{run.folder}/trials.jsonl" in reader.text(section), section
            assert f"seed {run.config['seed']}" in reader.text(section)
    whole = " ".join(reader.text(section) for section in reader.sections)
    assert whole.count(runs[0].config["command"]) == 1
    assert runs[0].config["command"] in reader.text("reproduce")


def test_failures_show_their_reasons_and_screened_candidates_are_counted(searched: Callable[..., Run]) -> None:
    text = read(searched("own")).text("failures")
    # Of 60 proposals every fourth passes the screen, and of those numbers 16, 36 and 56 fail.
    assert "3 of 15 evaluated candidates failed. 45 more were screened out" in text
    assert "the loss became NaN in epoch 2" in text
    assert "[A] 16, [A] 36, [A] 56" in text


def test_the_environment_is_said_once_where_runs_share_it(searched: Callable[..., Run]) -> None:
    text = read(searched("a"), searched("b", device="cuda")).text("environment")
    assert "machine.processor a processor" in text
    assert "device cpu [A]" in text
    assert "device cuda [B]" in text


def test_runs_that_ask_different_questions_are_not_passed_off_as_comparable(searched: Callable[..., Run]) -> None:
    text = read(searched("a"), searched("b", data="cifar10")).text("answer")
    assert "These runs differ in data: their curves answer different questions." in text


def test_a_screen_before_the_same_evaluator_is_told_and_each_side_gets_its_own_command(
    searched: Callable[..., Run],
) -> None:
    own = searched("own", seed=3)
    chance = searched("chance", seed=4, screened=False, strategy="random", evaluator="together(trained, latency)")
    text = read(own, chance).text("answer")
    assert "answer different questions" not in text
    assert (
        "evolution(population=6) screens its candidates with training_free (keep=4) first; random does not screen. "
        "The screen is part of what is compared: all sides are measured alike, by together(trained, latency), and only "
        "trainings are counted."
    ) in text
    # `ogive compare` would give both sides one evaluator.
    assert "ogive compare" not in text
    usual = "--objective 'latency_tradeoff(target_ms=5)' --data digits --channels 8 --cells 1 --budget 24 --seed 5"
    screened = "'screened(training_free, together(trained, latency), keep=4)'"
    for side in (
        f"--strategy 'evolution(population=6)' --evaluator {screened} {usual}",
        f"--strategy random --evaluator 'together(trained, latency)' {usual}",
    ):
        assert f"ogive search --space nasbench201 {side}" in text


def test_runs_measured_by_different_evaluators_are_not_passed_off_as_comparable(searched: Callable[..., Run]) -> None:
    text = read(searched("a"), searched("b", strategy="random", evaluator="tabular")).text("answer")
    assert "These runs differ in evaluator: their curves answer different questions." in text
    assert "The screen is part" not in text


def test_the_best_trials_are_listed_with_the_numbers_of_the_store(searched: Callable[..., Run]) -> None:
    run = searched("own")
    text = read(run).text("trials")
    for one in run.trials:
        if one.scores:
            assert f"{one.metrics['val_acc']:.2f} %" in text
            assert str(one.arch) in text


def test_an_architecture_is_listed_once_with_its_best_trial(make: Make, trial: Of) -> None:
    same = trial(0, {}).arch
    run = make("own", [trial(k, {"val_acc": v}, (v,), arch=same) for k, v in enumerate((50.0, 70.0, 60.0))])
    text = read(run).text("trials")
    assert "3 candidates were measured, 1 of them different" in text
    assert text.count(str(same)) == 1
    assert "70.00 %" in text
    assert "60.00 %" not in text


def test_a_search_from_python_gets_the_command_that_does_the_same(searched: Callable[..., Run]) -> None:
    text = read(searched("own", command=None)).text("reproduce")
    assert "[A] started from Python: the command here does the same." in text
    assert "ogive search --space nasbench201 --strategy 'evolution(population=6)' --evaluator" in text


HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


def test_a_search_of_a_table_that_minimises_has_its_own_numbers_everywhere(tmp_path: Path) -> None:
    digits = np.stack(np.unravel_index(np.arange(5**6), (5,) * 6), axis=1)
    loss, delay = 4.0 - digits.sum(axis=1) / 8, 1.0 + digits.sum(axis=1) / 4
    columns = {
        "loss": (Column("nats", "validation loss", "float64", better="smaller"), loss),
        "last_loss": (Column("nats", "test loss", "float64", test=True, better="smaller"), loss + 0.5),
        "delay": (Column("ms", "delay on the phone", "float64"), delay),
    }
    about = {"source": "invented", "licence": "none", "importer": "tests", "metric": "loss", "report": "last_loss"}
    write_table(tmp_path / "t", columns, name="losses", space="nasbench201", key=MixedRadix((5,) * 6), **about)
    usual = Settings(
        space="nasbench201", table=str(tmp_path / "t"), evaluator="tabular(also=[delay])", budget=Budget(trials=30)
    )
    runs = [
        search(replace(usual, strategy=name), tmp_path / name[:6])
        for name in ("evolution(population=10, tournament=5)", "random")
    ]
    reader = read(*runs)
    own, chance = (min(trial.metrics["loss"] for trial in run.trials) for run in runs)
    best = min(own, chance)
    text = reader.text("answer")
    assert f"has a test loss of {number(best + 0.5)} nats , read from the table." in text
    assert f"It was chosen by validation loss (lower is better): {number(best)}" in text
    assert f"validation loss (lower is better) is {number(own)}" in text
    assert f"{number(chance)} nats with random search" in text
    assert ("random search is ahead" in text) == (chance < own)
    assert "Mean of validation loss (nats, lower is better)" in reader.text("anytime")
    assert "validation loss (lower is better)" in reader.text("trials")
    assert f"delay on the phone {number(1.0 + 2 * (4.0 - best))} ms" in text
    charts = {chart["name"]: chart for chart in json.loads(reader.scripts[0])["charts"]}
    regret, line = charts["anytime"]["views"][0], charts["anytime"]["views"][4]
    # 0.5 nats is the least loss of the table, and its last column is half above that.
    assert regret["layout"]["yaxis"]["type"] == "log"
    for trace, value in zip(regret["traces"], (own, chance), strict=True):
        assert trace["y"][-1] == pytest.approx(value - 1.0, abs=1e-5)
    assert line["layout"]["yaxis"]["title"]["text"] == "best validation loss (nats, lower is<br>better)"
    for trace, value in zip(line["traces"], (own, chance), strict=True):
        assert trace["y"] == sorted(trace["y"], reverse=True)
        assert trace["y"][-1] == pytest.approx(value)
    # The faster, the worse: whatever is measured once a number of operations is on the front.
    front = next(trace for trace in charts["pareto"]["views"][0]["traces"] if "front" in trace["name"])
    assert front["x"] == sorted(front["x"])
    assert front["y"] == sorted(front["y"], reverse=True)
    assert len(set(front["x"])) == len(front["x"]) > 1


def test_hostile_names_never_become_markup(make: Make, trial: Of) -> None:
    metrics = {"val_acc": 1.0, "latency_ms": 2.0, HOSTILE: 3.0}
    run = make(
        "own",
        [trial(0, metrics, (1.0,)), trial(1, {**metrics, HOSTILE: 4.0}, (2.0,)), trial(2, {}, error=HOSTILE)],
        **dict.fromkeys(("strategy", "space", "evaluator", "data", "command", "role", "device", "created"), HOSTILE),
        objectives=[HOSTILE],
        machine={HOSTILE: HOSTILE},
        seed=HOSTILE,
    )
    trained(run, exports=[{"format": HOSTILE, "paths": [HOSTILE]}], command=HOSTILE, history=[{HOSTILE: 1.0}])
    reader = read(run, title=HOSTILE)
    assert [attributes.get("type") for tag, attributes in reader.tags if tag == "script"] == [
        "application/json",
        None,
        None,
    ]
    assert "img" not in {tag for tag, _ in reader.tags}
    handlers = [name for _, attributes in reader.tags for name in attributes if name.startswith("on")]
    assert handlers == []
    json.loads(reader.scripts[0])


def test_the_policy_allows_exactly_the_two_scripts_and_no_request(searched: Callable[..., Run]) -> None:
    reader = read(searched("own"))
    metas = [attributes for tag, attributes in reader.tags if tag == "meta"]
    policy = next(meta["content"] for meta in metas if meta.get("http-equiv") == "Content-Security-Policy")
    assert policy is not None
    assert policy.startswith("default-src 'none';")
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in reader.scripts[1:]
    ]
    assert f"script-src {digests[0]} {digests[1]};" in policy
    links = [attributes.get("src") or attributes.get("href") for _, attributes in reader.tags]
    assert all(link.startswith("#") for link in links if link is not None)


def test_a_run_without_a_finished_trial_has_a_page(make: Make, trial: Of) -> None:
    assert "there is no winner" in read(make("empty", [])).text("answer")
    failed = read(make("failed", [trial(0, {}, error="out of memory")]))
    assert "there is no winner" in failed.text("answer")
    assert "out of memory" in failed.text("failures")


def test_a_space_that_is_not_known_here_costs_the_pictures_only(make: Make, trial: Of) -> None:
    run = make("own", [trial(0, {"val_acc": 1.0}, (1.0,))], space="somebody_elses")
    assert "There is no picture" in read(run).text("answer")


def test_numbers_that_are_not_finite_do_not_break_the_page(make: Make, trial: Of) -> None:
    metrics = {"val_acc": 1.0, "latency_ms": float("nan"), "naswot": float("inf")}
    run = make("own", [trial(k, {**metrics, "params": 1.0 + k}, (1.0,)) for k in range(3)])
    json.loads(read(run).scripts[0])


def test_the_page_is_the_same_after_the_store_is_read_again(searched: Make, stored: Callable[[Run], Path]) -> None:
    run = searched("own")
    assert page([read_run(stored(run))]) == page([run])


def test_the_page_is_written_where_it_should_be(searched: Callable[..., Run], tmp_path: Path) -> None:
    target = tmp_path / "new" / "folder" / "report.html"
    assert write_page([searched("own")], target, title="A title") == target
    text = target.read_text(encoding="utf-8")
    assert "<title>A title</title>" in text
    assert f"--out {target}" in Reader(text).text("reproduce")


def test_bad_input_is_refused_in_one_line(searched: Callable[..., Run], tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="at least one run"):
        page([])
    (tmp_path / "file").write_text("")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "run.json").write_text('{"schema": 1}')
    with pytest.raises(StoreError, match=r"bare/run\.json is incomplete: it has no space, strategy, objectives\."):
        page([searched("whole"), read_run(tmp_path / "bare")])
    with pytest.raises(StoreError, match="cannot be written"):
        write_page([searched("own")], tmp_path / "file" / "report.html")


def test_a_page_takes_less_than_two_megabytes(make: Make, trial: Of) -> None:
    trials = [trial(k, {"val_acc": 50 + k / 7, "latency_ms": 1 + k % 9}, (50 + k / 7,)) for k in range(200)]
    assert len(page([make("own", trials)]).encode()) < 2_000_000


def test_five_thousand_trials_make_a_page_not_much_larger_than_that(make: Make, trial: Of) -> None:
    metrics = [{"val_acc": 50 + k % 997 / 20, "latency_ms": 1 + k % 89 / 10, "params": 1e6 + k} for k in range(5000)]
    trials = [trial(k, found, (found["val_acc"],)) for k, found in enumerate(metrics)]
    assert len(page([make("own", trials)])) < 3_200_000


def test_the_page_of_a_tabular_search_needs_no_torch(
    searched: Make, stored: Callable[[Run], Path], patience_s: float
) -> None:
    folder = stored(searched("own", 20))
    code = (
        "import sys; from pathlib import Path; from ogive.reporting.page import page; from ogive.runs import read_run;"
        f"page([read_run(Path({str(folder)!r}))]); sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=patience_s)


def test_nothing_on_the_page_is_written_in_backticks(searched: Callable[..., Run]) -> None:
    reader = read(trained(searched("own")), searched("chance", seed=1, strategy="random"))
    assert "`" not in "".join(reader.text(section) for section in reader.sections)
    assert "`" not in reader.scripts[0]


def test_words_of_the_page_are_plain(searched: Callable[..., Run]) -> None:
    text = read(trained(searched("own"))).text("answer")
    assert re.search(r"\b(None|nan|inf)\b", text) is None
