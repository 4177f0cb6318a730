"""The commands put together, as few of them as one command line needs."""

from __future__ import annotations

import importlib
import logging
import os
from typing import Annotated

import typer

from ogive.catalog import version
from ogive.cli.show import console, say_nothing
from ogive.core.errors import SpecError

__all__ = ["OWNERS", "application"]

# Which file of this folder holds each command. Only that one is imported to run it: `ogive list` needs no numpy.
OWNERS = {
    "search": "searching",
    "watch": "looking",
    "score": "scoring",
    "correlate": "scoring",
    "resume": "searching",
    "compare": "searching",
    "train": "winning",
    "front": "winning",
    "export": "winning",
    "export-optuna": "winning",
    "latency": "winning",
    "latency-table": "operating",
    "demo": "inspecting",
    "list": "inspecting",
    "doctor": "inspecting",
    "report": "inspecting",
    "reproduce": "inspecting",
    "tables": "inputs",
    "data": "inputs",
    "deepnets": "generating",
    "ghn": "generating",
    "predict-params": "generating",
    "embed": "embedding",
}

# The commands that do long work, and do it in one process only.
ALONE = ("score", "compare", "demo", "reproduce")


def application(command: str | None = None) -> typer.Typer:
    """The application with the commands of the file that holds `command`, or with all commands."""
    app = typer.Typer(
        name="ogive",
        no_args_is_help=True,
        pretty_exceptions_enable=False,
        rich_markup_mode=None,
        add_completion=False,
        context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    )
    app.callback()(_options)
    files = [OWNERS[command]] if command in OWNERS else dict.fromkeys(OWNERS.values())
    for file in files:
        importlib.import_module(f"ogive.cli.{file}").register(app)
    return app


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"ogive {version()}")
        raise typer.Exit


def _options(
    context: typer.Context,
    version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
    plugin: Annotated[
        list[str] | None,
        typer.Option("--plugin", metavar="FILE", help="A Python file with parts of your own, for any command."),
    ] = None,
) -> None:
    """Neural architecture search for PyTorch: any space, strategy, evaluator and objective in one loop."""
    if int(os.environ.get("WORLD_SIZE", "1")) < 2:
        return
    if context.invoked_subcommand in ALONE:
        raise SpecError(
            f"ogive {context.invoked_subcommand} runs in one process, but torchrun started {os.environ['WORLD_SIZE']}: "
            "start search, resume or train with it."
        )
    if os.environ.get("RANK", "0") != "0":
        say_nothing()
        logging.disable(logging.WARNING)
