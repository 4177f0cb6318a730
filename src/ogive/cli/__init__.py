"""The command line: ``ogive demo``, ``list``, ``search``, ``resume``, ``train``, ``export``, ``report`` and others."""

from __future__ import annotations

import logging
import sys

import typer

from ogive.cli import inputs, inspecting, searching, winning
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

for module in (searching, winning, inspecting, inputs):
    module.register(app)


def main() -> None:
    """Run one command. Errors of ogive are one line on standard error and exit status 2, never a traceback."""
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)
    try:
        app(prog_name="ogive")
    except OgiveError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except BrokenPipeError:
        # `ogive list | head` closes our output early; that is no error.
        sys.stderr.close()
        sys.exit(0)
