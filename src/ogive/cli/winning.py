"""``ogive train``, ``export`` and ``latency``: the commands that make something of the winner."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.choice import check_limits, limits_of, pareto_front
from ogive.cli.searching import Prefer, command_line, reached
from ogive.cli.show import COUNTS, Bar, console, duration, measured, number, shape_of, table
from ogive.core.architecture import Architecture
from ogive.core.errors import SpecError, UnknownName, nearest
from ogive.core.trial import Trial, counted
from ogive.reranking import reranked
from ogive.runs import Run, read_run

__all__ = ["register"]

FORMATS = ("torch", "onnx", "export")

RunFolder = Annotated[Path, typer.Argument(help="The run folder.")]
DataName = Annotated[str | None, typer.Option("--data", help="The data set.  [default: that of the search]")]
Channels = Annotated[int | None, typer.Option("--channels", help="Width of the network.  [default: as in the search]")]
Cells = Annotated[int | None, typer.Option("--cells", help="Depth of the network.  [default: as in the search]")]
Device = Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command("train", short_help="Train the winner fully, and test it once.")(train_command)
    app.command("export", short_help="Write the trained winner as plain files.")(export_command)
    app.command("export-optuna", short_help="Write a run into a storage of Optuna, for optuna-dashboard.")(
        export_optuna_command
    )
    app.command("front", short_help="List the Pareto front of a search.")(front_command)
    app.command("latency")(latency_command)


def export_optuna_command(
    run: RunFolder,
    storage: Annotated[
        str, typer.Option("--storage", help="URL of the storage, or the file of a journal.")
    ] = "sqlite:///optuna.db",
    study: Annotated[str | None, typer.Option("--study", help="Its name there.  [default: that of the folder]")] = None,
) -> None:
    """Write the trials of a run into a storage of Optuna, where optuna-dashboard shows them.

    Example: ogive export-optuna runs/first --storage sqlite:///optuna.db

    Parameters are the variables of the space, values the metrics in their own direction. Of a search with several
    fidelities a trial is an architecture, with intermediate values, and pruned unless it reached the highest. Written
    again, the study has whatever the run has more; one of that name that is of something else is left as it is.

    Then: optuna-dashboard sqlite:///optuna.db
    """
    found = catalog.load("export_to_optuna")(run, storage, study=study)
    state = "is there already, as it is" if found.unchanged else "was written"
    console.print(f"The study {found.name} of {counted(found.trials, 'trial')} {state}: {storage}", highlight=False)


def train_command(
    run: Annotated[Path, typer.Argument(help="The run folder, or the name of a published network's final training.")],
    trial: Annotated[int | None, typer.Option("--trial", help="Another trial than the best.")] = None,
    prefer: Prefer = None,
    data: DataName = None,
    channels: Channels = None,
    cells: Cells = None,
    recipe: Annotated[str, typer.Option("--recipe", help='Options of the training: "epochs=60, cutout=8".')] = "",
    preset: Annotated[
        str | None, typer.Option("--preset", help="tiny, small or paper, for a published one.  [default: small]")
    ] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Of a published one.  [default: 0]")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of a published one.  [default: runs/NAME-PRESET-seedN]")
    ] = None,
    device: Device = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of torch.")] = None,
    tensorboard: Annotated[
        bool | None, typer.Option(help="Write event files beside metrics.jsonl.  [default: if installed]")
    ] = None,
    validate: Annotated[
        bool, typer.Option("--validate", help="Hold out the validation images and measure on them after each epoch.")
    ] = False,
) -> None:
    """Train the winner of a search fully, and measure it once on the test images, or on the test text.

    Example: ogive train runs/photos --recipe "epochs=60, cutout=2"

    It is trained on the training and the validation images together. To see whether it learns by heart, hold the latter
    out: their curve stands beside that of the former on the page, and the network has seen fewer images.

    Example: ogive train runs/photos --validate

    Several trials may be trained, with --trial; each test of one is a look at the test set, and they are counted.

    Example: ogive train runs/ptb --recipe "preset=small, epochs=20"

    The final trainings of published networks have names, such as darts-v2-cifar10, ddarts-cifar100 or darts-v2-ptb:

    Example: ogive train darts-v2-cifar10 --preset tiny

    Example: ogive train darts-v2-imagenet --preset small --data images:photos

    On several GPUs: torchrun --nproc-per-node 2 --no-python ogive train runs/photos --device cuda
    """
    events = find_spec("tensorboard") is not None if tensorboard is None else tensorboard

    def show(step: Any) -> None:
        note = f"{step.words}, {duration(step.seconds_left)} left"
        bar.at(step.epoch - 1 + int(step.share), note, total=step.epochs)

    arguments = {
        "data": data,
        "recipe": recipe,
        "device": catalog.load("usable_device")(device),
        "threads": threads,
        "command": command_line(),
        "progress": show,
    }
    published = _is_published(run)
    _refuse_foreign(
        published,
        run,
        trial=trial,
        prefer=prefer,
        channels=channels,
        cells=cells,
        preset=preset,
        seed=seed,
        out=out,
        validate=validate or None,
    )
    try:
        with Bar("training", None) as bar:
            if published:
                size, number_ = preset or "small", seed or 0
                place = out or Path("runs") / f"{run}-{size}-seed{number_}"
                facts = catalog.load("evaluate_published")(str(run), place, preset=size, seed=number_, **arguments)
            else:
                facts = catalog.load("train_winner")(
                    run,
                    trial=trial,
                    prefer=prefer or (),
                    channels=channels,
                    cells=cells,
                    tensorboard=events,
                    validate=validate,
                    **arguments,
                )
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on after the last finished epoch.")
        raise typer.Exit(130) from None
    if not facts:  # another process of torchrun reports
        return
    console.print(f"{facts['arch']}: {facts['reached']}", highlight=False)
    shown = ("val_ppl", "params", "macs", "latency_ms", "epochs", "training_s")
    whole = (*COUNTS, "epochs")
    rows = [(name, number(facts[name], 0 if name in whole else 2)) for name in shown if name in facts]
    table(None, ("figure", "value>"), rows)
    console.print(f"look {facts['look']} at the test set of {place if published else run}")
    console.print(
        f"kept in {place}" if published else _next(read_run(run), facts["trial"], facts["arch"]), highlight=False
    )


def _next(run: Run, trained: int, arch: str) -> str:
    """What a trained trial is to its run today, and the command that exports it."""
    choice, export = run.choice, ["ogive", "export", str(run.folder)]
    if choice.trial is not None and str(choice.trial.arch) == arch:
        return f"It is the winner: {choice.rule}.\nnext: {shlex.join(export)}"
    best = "there is none" if choice.trial is None else f"that is trial {choice.trial.number}, {choice.rule}"
    return f"Trial {trained} is not the winner: {best}.\nnext: {shlex.join([*export, '--trial', str(trained)])}"


def _is_published(run: Path) -> bool:
    """Whether a published training is meant; SpecError for a bare name that neither a folder nor a training has."""
    if run.exists() or run.parent != Path():  # a missing folder is told of where it is opened
        return False
    names = catalog.load("published_names")()
    if str(run) not in names:
        raise SpecError(
            f"The run folder {run} does not exist, and no published training has that name. {nearest(str(run), names)} "
            "`ogive search … --out FOLDER` makes a run folder."
        )
    return True


def _refuse_foreign(published: bool, run: Path, **options: object) -> None:
    """SpecError for an option that the other kind of training has."""
    foreign = ("trial", "prefer", "channels", "cells", "validate") if published else ("preset", "seed", "out")
    for name in foreign:
        if options[name] is not None:
            kind = "a published network, which has its own" if published else "a run folder: write it as --recipe"
            raise SpecError(f"--{name} is no option of {run}, {kind}.")


def export_command(
    run: RunFolder,
    trial: Annotated[int | None, typer.Option("--trial", help="Another trained trial than the winner.")] = None,
    to: Annotated[str, typer.Option("--to", help=f"Some of {','.join(FORMATS)}, with commas.")] = "torch",
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder of the files.  [default: RUN/artifacts/export]")
    ] = None,
    name: Annotated[
        str | None, typer.Option("--name", help="Name of the files, without suffix.  [default: winner, or trial_N]")
    ] = None,
    raw: Annotated[bool, typer.Option("--raw", help="ONNX takes images as bytes, 0 to 255.")] = False,
    data: DataName = None,
) -> None:
    """Write the trained winner as plain files, each checked against the network.

    The winner is the best trial of today, and refused while another one is trained; --trial takes any trained trial.

    Example: ogive export runs/demo/evolution --to torch,onnx,export

    ONNX normalises inside and takes numbers from 0 to 1 or, with --raw, bytes:

    Example: ogive export runs/demo/evolution --to onnx --raw
    """
    formats = [text.strip() for text in to.split(",") if text.strip()]
    for wanted in formats:
        if wanted not in FORMATS:
            raise UnknownName("export format", wanted, FORMATS)
    with Bar("formats", len(formats)) as bar:
        count = iter(range(len(formats)))
        exported = catalog.load("export_winner")(
            run,
            trial=trial,
            formats=formats,
            out=out,
            name=name,
            raw=raw,
            data=data,
            progress=lambda text: bar.at(next(count), text),
        )
    rows = [
        (entry.format, ", ".join(str(path) for path in entry.paths), f"{entry.largest_difference:.2g}")
        for entry in exported
    ]
    table(None, ("format", "files", "largest difference>"), rows)


def front_command(
    run: RunFolder,
    prefer: Prefer = None,
    objective: Annotated[
        list[str] | None, typer.Option("--objective", help="Rank the trials by another one; repeat for a front.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON, for other programs.")] = False,
) -> None:
    """List the trials of a search that no other beats in all objectives, and which of them is the best by its rule.

    Example: ogive front runs/nasbench201-nsga2-seed0 --prefer "params<=500000"

    Example: ogive front runs/nasbench201-nsga2-seed0 --json

    Example: ogive front runs/nasbench201-evolution-seed0 --objective val_acc --objective params
    """
    read = reranked(read_run(run), objective) if objective else read_run(run)
    limits = read.limits if prefer is None else limits_of(prefer)
    check_limits(limits, tuple(read.metrics.values()))
    choice, front = read.chosen(limits), pareto_front(read.final_trials)
    best = None if choice.trial is None else choice.trial.number
    rule = choice.missing if choice.trial is None else choice.rule
    texts = [_published_text(read, trial.arch) for trial in front]
    if as_json:
        _print_front(read, front, texts, best, rule)
        return
    rows = [
        (
            f"{'* ' if trial.number == best else ''}{trial.number}",
            *(value for _, value in reached(read.objectives, trial)),
            str(trial.arch),
            text or "",
        )
        for trial, text in zip(front, texts, strict=True)
    ]
    table(None, ("trial>", *(f"{text}>" for text in read.objectives), "architecture", "text form"), rows)
    console.print(rule if best is None else f"* {rule}", highlight=False)


def _published_text(run: Run, arch: Architecture) -> str | None:
    """The text form of an architecture in its field; None in a space of one's own, which has no other than ogive's."""
    name = str(run.config["space"])
    if name.partition("(")[0] not in catalog.names("space"):
        return None
    text: str = catalog.build("space", name).format(arch)
    return text


def _print_front(run: Run, front: Sequence[Trial], texts: Sequence[str | None], best: int | None, rule: str) -> None:
    """The front as JSON: what each trial measured, by the names of the metrics, of which `run` has the records."""
    trials = [
        {"trial": one.number, "arch": str(one.arch), "text": text, "scores": one.scores, "metrics": dict(one.metrics)}
        for one, text in zip(front, texts, strict=True)
    ]
    records = [metric.to_json() for metric in run.metrics.values()]
    found = {"objectives": run.objectives, "metrics": records, "best": best, "rule": rule, "front": trials}
    print(json.dumps(found, indent=1, ensure_ascii=False))


def latency_command(
    target: Annotated[str, typer.Argument(help="A run folder, or an architecture.")],
    data: DataName = None,
    shape: Annotated[
        str, typer.Option("--shape", help="Channels, height and width, or the length of a row, without --data.")
    ] = "3,32,32",
    classes: Annotated[int, typer.Option("--classes", help="Number of classes, without --data.")] = 10,
    channels: Channels = None,
    cells: Cells = None,
    batch_size: Annotated[int, typer.Option("--batch-size", help="Images in a batch.")] = 1,
    device: Device = "cpu",
    threads: Annotated[int, typer.Option("--threads", help="Threads of torch, or of the runtime.")] = 1,
    runtime: Annotated[
        str | None,
        typer.Option("--runtime", help="torch, onnx or onnx_int8 (ONNX Runtime); tells memory and size, too."),
    ] = None,
    command: Annotated[
        str, typer.Option("--command", help='A program that prints milliseconds for a file: "bench.sh {onnx}".')
    ] = "",
) -> None:
    """Measure the latency of a network on this machine, or wherever a program measures it.

    Example: ogive latency nasbench201:3,3,3,3,3,3 --channels 16 --cells 5 --threads 1

    Example: ogive latency runs/nasbench201-evolution-seed0 --runtime onnx_int8
    """
    if runtime is not None or command:
        if device != "cpu":
            raise SpecError(f"A runtime or a command measures on the processor, or where it likes: leave {device} out.")
        found_arch, found = catalog.load("measure_in_runtime")(
            target,
            data=data,
            shape=shape_of(shape),
            classes=classes,
            channels=channels,
            cells=cells,
            batch_size=batch_size,
            threads=threads,
            runtime=runtime or "torch",
            command=command,
        )
        console.print(f"{found_arch} in {command or runtime}, batch of {batch_size}", highlight=False)
        table("", ("metric", "value>"), [(name, measured(name, value)) for name, value in found.items()])
        return
    arch, report = catalog.load("measure_latency")(
        target,
        data=data,
        shape=shape_of(shape),
        classes=classes,
        channels=channels,
        cells=cells,
        batch_size=batch_size,
        device=catalog.load("usable_device")(device),
        threads=threads,
    )
    console.print(
        f"{arch} on {report.device}, batch of {report.batch_size}, {report.threads} thread(s)", highlight=False
    )
    console.print(
        f"median {report.median_ms:.3f} ms [{report.low_ms:.3f}, {report.high_ms:.3f}], p10 {report.p10_ms:.3f}, "
        f"p90 {report.p90_ms:.3f}; processor time {report.cpu_ms:.3f} ms; "
        f"{report.runs} runs after {report.warm_up_runs} to warm up",
    )
    for doubt in report.doubts:
        console.print(doubt)
    if not report.steady:
        console.print("The times had not settled when the warm-up ended: the machine is busy, or was.")
