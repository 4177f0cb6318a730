"""``ogive list``, ``doctor``, ``report``, ``demo`` and ``reproduce``: the commands that show."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ogive import catalog
from ogive.cli.show import Bar, console, duration, number, table
from ogive.core.errors import UnknownName

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the commands of this file to the application."""
    app.command("demo", short_help="Search, train, export and report on real images.")(demo_command)
    app.command("list", short_help="List the parts of a search, or their options.")(list_command)
    app.command("doctor", short_help="Check Python, torch, packages, tables, data.")(doctor_command)
    app.command("report")(report_command)
    app.command("reproduce", short_help="Reproduce a row of a published table.")(reproduce_command)


def list_command(
    kind: Annotated[str | None, typer.Argument(help=f"One of {', '.join(catalog.KINDS)}.")] = None,
    name: Annotated[str | None, typer.Argument(help="A part of that kind, to see its options.")] = None,
) -> None:
    """List the parts that a search is made of, or the options of one of them.

    Examples: ogive list; ogive list strategy; ogive list strategy evolution
    """
    if kind is not None and name is not None:
        _list_options(kind, name)
        return
    if kind is not None and kind not in catalog.KINDS:
        raise UnknownName("kind of part", kind, catalog.KINDS)
    for shown in catalog.KINDS if kind is None else (kind,):
        names = catalog.names(shown)
        if kind is None:
            console.print(f"{shown + ':':13}{', '.join(names)}")
        else:
            _list_parts(shown, names)
    if kind is None:
        console.print("\nA part is written name(part, key=value). More: ogive list KIND, ogive list KIND NAME")


def _list_parts(kind: str, names: list[str]) -> None:
    """What each part of a kind is and, of spaces and data, which tasks they serve: a pair needs one in common."""
    if kind not in ("space", "data"):
        table(None, (kind, "what it is"), [(part, catalog.summary(kind, part)) for part in names])
        return
    rows = [
        (
            part,
            ", ".join(catalog.tasks(kind, part)) or ("tables" if kind == "space" else ""),
            ", ".join(catalog.inputs(kind, part)),
            catalog.summary(kind, part),
        )
        for part in names
    ]
    table(None, (kind, "for", "of" if kind == "space" else "holds", "what it is"), rows)


def doctor_command() -> None:
    """Check what this machine has: Python, torch, optional packages, cache folder, tables, data.

    Example: ogive doctor
    """
    findings = catalog.load("doctor")()
    for finding in findings:
        console.print(f"{'ok  ' if finding.ok else 'miss'} {finding.what}: {finding.detail}")
    if any(finding.needed and not finding.ok for finding in findings):
        raise typer.Exit(1)


def report_command(
    runs: Annotated[list[Path], typer.Argument(help="Run folders; several are drawn against each other.")],
    out: Annotated[
        Path | None,
        typer.Option("--out", help="The page.  [default: report.html in the first run]"),
    ] = None,
    objective: Annotated[
        list[str] | None, typer.Option("--objective", help="Rank the trials by another one; repeat for a front.")
    ] = None,
    kernels: Annotated[
        bool, typer.Option("--kernels", help="First keep in the runs what NASWOT sees of three of their candidates.")
    ] = False,
) -> None:
    """Write one self-contained HTML page about one or several runs.

    Example: ogive report runs/evolution runs/random --out report.html

    Another objective ranks what was measured, in a page of its own, and changes nothing that is stored:

    Example: ogive report runs/evolution --objective "latency_tradeoff(target_ms=2)"
    """
    from ogive.reranking import reranked
    from ogive.runs import read_run

    read = [read_run(folder) for folder in runs]
    if kernels:
        from ogive.scoring import keep_kernels_of_run

        for run in read:
            keep_kernels_of_run(run, run.artifacts / "kernels.npz")
    read = [reranked(run, objective) for run in read] if objective else read
    page = catalog.load("write_page")(read, out or runs[0] / ("report-ranked.html" if objective else "report.html"))
    console.print(f"wrote {page}")


def demo_command(
    seed: Annotated[int, typer.Option("--seed", help="The root of all randomness.")] = 0,
    out: Annotated[
        Path | None, typer.Option("--out", help="Where everything goes.  [default: runs/demo, or runs/demo-seedN]")
    ] = None,
) -> None:
    """Search on real images in about two minutes: evolution against random search, winner trained, exported, reported.

    Example: ogive demo --seed 1
    """
    from ogive.demo import demo, left_out

    folder = out or Path("runs") / ("demo" if seed == 0 else f"demo-seed{seed}")
    if left_out():
        console.print(left_out())
    try:
        with Bar("demo", 100) as bar:
            found = demo(seed=seed, out=folder, progress=bar.at)
    except KeyboardInterrupt:
        console.print(f"Interrupted. `ogive demo --seed {seed} --out {folder}` goes on where it stopped.")
        raise typer.Exit(130) from None
    rows = [
        (
            side.name,
            str(side.trainings),
            number(side.best_val_acc),
            number(side.best_latency_ms),
            number(side.best_score),
        )
        for side in found.sides
    ]
    table(
        f"best of each search, for a latency of {found.target_ms:g} ms, a residual block's here",
        ("strategy", "trainings>", "val_acc>", "latency ms>", "objective>"),
        rows,
    )
    low, high = found.interval
    console.print(
        f"\nwinner: {found.winner['arch']}\n"
        f"  test accuracy {found.winner['test_acc']:.2f} % on {found.winner['test_images']} images "
        f"(95 % binomial interval {low:.1f} to {high:.1f}); {found.winner['params']:,.0f} parameters, "
        f"{found.winner['latency_ms']:.2f} ms here\n"
        f"  one run is no evidence that one strategy beats another: `ogive compare` runs many",
    )
    for path in found.paths:
        console.print(f"  {path}")
    if found.kept:
        console.print(
            f"  all of it was there already and nothing was run: remove {folder}, or give another --out, to do so"
        )
    else:
        console.print(f"  {duration(found.seconds)} in all")


def reproduce_command(
    name: Annotated[str | None, typer.Argument(help="A recipe; without one, all are listed.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="tiny, small or paper.")] = "small",
    out: Annotated[Path, typer.Option("--out", help="Where the rows of the ledger go.")] = Path("reproductions"),
    seeds: Annotated[
        int | None, typer.Option("--seeds", help="Other than the recipe's, of predictors and where weights are shared.")
    ] = None,
    device: Annotated[str, typer.Option("--device", help="cpu or cuda, where weights are shared.")] = "cpu",
    figure: Annotated[
        Path | None,
        typer.Option(
            "--figure", help="Draw accuracy against cost of the rows in --out, or a row's curves, as this .svg."
        ),
    ] = None,
) -> None:
    """Reproduce one row of a published table, and write what came of it into the ledger.

    Example: ogive reproduce nasbench201-evolution --preset tiny

    Example: ogive reproduce --figure reproductions/nasbench201-cost.svg

    Example: ogive reproduce nasbench201-epochs --figure reproductions/nasbench201-epochs-small.svg
    """
    from ogive.reproduce import describe, draw_courses, draw_curves, listed, reproduce

    if figure is not None:
        drawn = draw_courses(out, figure) if name is None else draw_curves(name, preset, out, figure)
        console.print(f"wrote {drawn}")
        return
    if name is None:
        table(None, ("recipe", "published", "ours", "status", "source"), listed(out))
        return
    try:
        with Bar("reproduce", None) as bar:
            row = reproduce(
                name,
                preset=preset,
                out=out,
                seeds=seeds,
                device=device,
                progress=lambda done, total: bar.at(done, total=total),
            )
    except KeyboardInterrupt:
        console.print(
            f"Interrupted. `ogive reproduce {name} --preset {preset}` does not repeat what is in {out / 'runs'}."
        )
        raise typer.Exit(130) from None
    describe(row, console.print)


def _list_options(kind: str, name: str) -> None:
    if kind == "data":
        name = next((known for known in catalog.names(kind) if known.startswith(f"{name}:")), name)
    console.print(f"{name}: {catalog.documentation(kind, name) if kind == 'data' else catalog.summary(kind, name)}")
    inner, options = [] if kind == "data" else catalog.inner_parts(kind, name), catalog.options(kind, name)
    if inner:
        console.print(f"Written {name}({', '.join((*inner, 'option=value') if options else inner)}).")
    if options:
        table(None, ("option", "default"), [(option, str(default)) for option, default in options.items()])
        for task in catalog.tasks_apart(kind, name):
            others = catalog.options(kind, name, task)
            table(f"for the task {task}", ("option", "default"), [(one, str(value)) for one, value in others.items()])
    elif not inner:
        console.print("It takes no options.")
