"""The command line: ``ogive demo``, ``list``, ``search``, ``resume``, ``train``, ``export``, ``report`` and others."""

from __future__ import annotations

import logging
import sys
from typing import Annotated, Any

import typer

from ogive.catalog import version
from ogive.cli import inputs, inspecting, scoring, searching, winning
from ogive.cli.show import console
from ogive.core.errors import OgiveError

__all__ = ["app", "main"]

app = typer.Typer(
    name="ogive",
    help="Neural architecture search for PyTorch: any space, strategy, evaluator and objective in one loop.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _print_version(wanted: bool) -> None:
    if wanted:
        console.print(f"ogive {version()}")
        raise typer.Exit


@app.callback()
def options(
    version_wanted: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    """Neural architecture search for PyTorch: any space, strategy, evaluator and objective in one loop."""


for module in (searching, scoring, winning, inspecting, inputs):
    module.register(app)


# What typer raises for a command line that it cannot read: click's class, or its own copy of it.
UsageError: type[Any] = typer.BadParameter.__mro__[1]


def main() -> None:
    """Run one command. What the user can mend is one line on standard error and exit status 2, never a traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        sys.exit(app(prog_name="ogive", standalone_mode=False))
    except UsageError as error:
        message = error.format_message()
        if "\n" in message:  # no command was given: this is the help
            error.show()
        else:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:  # Ctrl-C, where typer does not say so itself
        sys.exit(130)
    except (OgiveError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
