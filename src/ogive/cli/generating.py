"""``ogive deepnets`` and ``ogive ghn``: the architectures of DeepNets-1M, and hypernetworks that learn from them."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ogive import catalog
from ogive.cli.searching import command_line
from ogive.cli.show import Bar, console, duration, number, table
from ogive.core.errors import SpecError

__all__ = ["register"]


def register(app: typer.Typer) -> None:
    """Add the command of this file to the application."""
    app.command("deepnets")(deepnets_command)
    ghn = typer.Typer(help="Train and compare hypernetworks.", no_args_is_help=True, rich_markup_mode=None)
    ghn.command("train")(train_command)
    ghn.command("evaluate")(evaluate_command)
    ghn.command("published")(published_command)
    ghn.callback()(_commands)
    app.add_typer(ghn, name="ghn")
    app.command("predict-params", short_help="Give a network of your own predicted parameters.")(predict_command)


def _commands() -> None:
    """Train and compare hypernetworks, which predict the parameters of networks."""


def deepnets_command(
    out: Annotated[Path, typer.Argument(help="The folder to write; what is there of the same networks is kept.")],
    split: Annotated[
        str, typer.Option("--split", help="train, val, test, wide, deep, dense, bnfree or search.")
    ] = "train",
    count: Annotated[int, typer.Option("--count", min=1, help="How many networks.")] = 1_000_000,
    seed: Annotated[
        int | None, typer.Option("--seed", help="What they are drawn from.  [default: 0 for val, 1 for the others]")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, help="How many processes write.")] = 1,
    source: Annotated[
        Path | None, typer.Option("--from", help="The authors' file deepnets1m_*.hdf5: their networks, not drawn ones.")
    ] = None,
) -> None:
    """Draw networks of DeepNets-1M and write them to files; the same command goes on where one was stopped.

    Example: ogive deepnets deepnets/train --count 1000000 --workers 2

    Example: ogive deepnets deepnets/val --split val --count 500

    Example: ogive deepnets authors/val --split val --from deepnets1m_eval.hdf5
    """
    if source is not None:
        if seed is not None:
            raise SpecError("The authors' networks are there already: leave --seed out.")
        with Bar(f"networks of {split}", None) as bar:
            kept = catalog.load("keep_authors")(source, out, split, count, tell=bar.at)
        console.print(
            f"{len(kept.shards):,} networks of the split {split} in {out}; of those that were read now, "
            f"{kept.agreeing:,} have the nodes and edges of the file."
        )
        return
    drawn_from = (0 if split == "val" else 1) if seed is None else seed
    with Bar(f"networks of {split}", count) as bar:
        shards = catalog.load("write_deepnets")(out, split, count, drawn_from, workers=workers, tell=bar.at)
    nodes = shards.nodes()
    console.print(
        f"{len(shards):,} networks of the split {split} in {out}: {nodes.min()} to {nodes.max()} nodes, "
        f"{nodes.mean():.1f} on average."
    )


def train_command(
    out: Annotated[Path, typer.Option("--out", help="The file of the weights, *.safetensors.")],
    data: Annotated[
        str | None, typer.Option("--data", help="Images.  [default: CIFAR-10, as the preset has it]")
    ] = None,
    preset: Annotated[str, typer.Option("--preset", help="tiny (seconds), small (minutes) or paper.")] = "small",
    kind: Annotated[str, typer.Option("--kind", help="ghn2, ghn1, mlp, ghn3-t, logah-t, …")] = "ghn2",
    recipe: Annotated[str, typer.Option("--recipe", help='Other options: "epochs=30, meta_batch=8, width=32".')] = "",
    networks: Annotated[
        Path | None, typer.Option("--networks", help="A folder of ogive deepnets.  [default: drawn as they are needed]")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", help="What weights, networks and images are drawn from.")] = 0,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of torch.")] = None,
) -> None:
    """Train a hypernetwork on networks of DeepNets-1M; the same command goes on where one was stopped.

    Example: ogive ghn train --preset tiny --out tiny.safetensors

    Example: ogive ghn train --data cifar10 --preset small --out ghn2.safetensors --threads 1

    Example: ogive ghn train --data images:photos --preset paper --networks deepnets/train --out ghn2.safetensors

    On several GPUs: torchrun --nproc-per-node 2 --no-python ogive ghn train --preset paper --out FILE --device cuda
    """

    def show(step: Any) -> None:
        note = f"{step.words}, {duration(step.seconds_left)} left"
        bar.at(step.epoch - 1 + step.share, note, total=step.epochs)

    try:
        with Bar("training", None) as bar:
            facts = catalog.load("train_ghn")(
                out,
                kind=kind,
                preset=preset,
                data=data,
                options=recipe,
                networks=networks,
                seed=seed,
                device=catalog.load("usable_device")(device),
                threads=threads,
                command=command_line(),
                tell=show,
            )
    except KeyboardInterrupt:
        console.print("Interrupted. The same command goes on after the last finished epoch.")
        raise typer.Exit(130) from None
    if not facts:  # another process of torchrun reports
        return
    unseen = facts["recipe"]["validation_networks"]
    console.print(
        f"{kind} of {number(facts['params'], 0)} parameters in {out}: {unseen} unseen networks reach "
        f"{number(facts['val_acc'])} % on average, after {duration(facts['training_s'])} of training."
    )


def evaluate_command(
    files: Annotated[list[Path], typer.Argument(help="Files of hypernetworks.")],
    data: Annotated[str, typer.Option("--data", help="Images, of which the test part is looked at.")],
    splits: Annotated[
        str, typer.Option("--splits", help="Splits of DeepNets-1M, separated by commas.")
    ] = "val,wide,deep,dense,bnfree",
    networks: Annotated[int, typer.Option("--networks", min=1, help="How many networks of each split.")] = 50,
    images: Annotated[int, typer.Option("--images", min=2, help="How many test images.")] = 1000,
    channels: Annotated[int, typer.Option("--channels", min=4, help="Width; four times that in wide.")] = 8,
    random_seeds: Annotated[int, typer.Option("--random-seeds", min=0, help="Draws of random weights.")] = 3,
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of torch.")] = None,
) -> None:
    """Compare hypernetworks on unseen networks, beside random initialisation: accuracy with statistics of each batch.

    Example: ogive ghn evaluate ghn2.safetensors mlp.safetensors --data "cifar10(size=16)" --splits val,deep

    Example: ogive ghn evaluate ghn2.safetensors --data "cifar10(size=16)" --networks 20 --images 500
    """
    wanted = [split.strip() for split in splits.split(",")]
    with Bar("splits", (len(files) + bool(random_seeds)) * len(wanted)) as bar:
        done: list[Any] = []

        def show(reached: Any) -> None:
            done.append(reached)
            bar.at(len(done), f"{reached.source} on {reached.split}: {reached.mean:.2f} %")

        found = catalog.load("evaluate_ghn")(
            files,
            data=data,
            splits=wanted,
            networks=networks,
            images=images,
            channels=channels,
            random_seeds=random_seeds,
            threads=threads,
            tell=show,
        )
    rows = [
        (one.split, one.source, number(one.mean), number(one.standard_error), number(max(one.accuracies)))
        for one in found
    ]
    table(None, ("split", "parameters", "accuracy>", "s.e.>", "max>"), rows)


def published_command(
    file: Annotated[Path, typer.Argument(help="deepnets1m_eval_results.parquet, the results of the authors.")],
) -> None:
    """Show what the authors of GHN-2 measured: means of each split, and rank correlations with trained networks.

    Example: ogive ghn published deepnets1m_eval_results.parquet
    """
    rows = [
        (
            one.data,
            one.split,
            one.source,
            str(one.networks),
            number(one.mean, 1),
            number(one.standard_error, 1),
            number(one.best, 1),
            number(one.tau, 3),
        )
        for one in catalog.load("published_ghn_results")(file)
    ]
    columns = ("data", "split", "parameters", "networks>", "accuracy>", "s.e.>", "max>", "τ with trained>")
    table(None, columns, rows)


def predict_command(
    target: Annotated[str, typer.Argument(metavar="FILE.py:FUNCTION", help="What makes the network.")],
    data: Annotated[str, typer.Option("--data", help="Images that it is for.")],
    ghn: Annotated[
        Path | None, typer.Option("--ghn", help="A file of a hypernetwork.  [default: the one that comes with ogive]")
    ] = None,
    statistics: Annotated[
        str, typer.Option("--statistics", help="Of batch normalisations: recalibrated, or batch.")
    ] = "recalibrated",
    images: Annotated[int, typer.Option("--images", min=2, help="Training images to recalibrate on.")] = 2000,
    out: Annotated[Path | None, typer.Option("--out", help="The file of its weights.  [default: none]")] = None,
    device: Annotated[str, typer.Option("--device", help="cpu, cuda, cuda:1, …")] = "cpu",
    threads: Annotated[int | None, typer.Option("--threads", help="Threads of torch.")] = None,
) -> None:
    """Give a network of your own the parameters that a hypernetwork predicts, and measure it, without any training.

    Example: ogive predict-params model.py:make --data "cifar10(size=16)" --out predicted.safetensors

    Example: ogive predict-params model.py:make --ghn ghn2.safetensors --data cifar10 --statistics batch
    """
    _, facts = catalog.load("predict_parameters")(
        target,
        data=data,
        ghn=ghn,
        statistics=statistics,
        images=images,
        out=out,
        device=catalog.load("usable_device")(device),
        threads=threads,
        command=command_line(),
    )
    kept = len(facts["unpredicted"])
    how = f"of {images} training images" if statistics == "recalibrated" else "of each batch"
    console.print(
        f"{number(facts['params'], 0)} parameters predicted in {duration(facts['prediction_s'])}"
        + (f", {kept} tensors left as they were" if kept else "")
        + f": {number(facts['val_acc'])} % of {facts['validation_images']} validation images, statistics {how}."
    )
    if out is not None:
        console.print(f"kept in {out}")
