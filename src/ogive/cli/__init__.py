"""The command line: ``ogive demo``, ``list``, ``search``, ``resume``, ``train``, ``export``, ``report`` and others."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["main"]


def main() -> None:
    """Run one command. What the user can mend is one line on standard error and exit status 2, never a traceback."""
    try:
        _run()
    except KeyboardInterrupt:  # where no command was there yet, or any more, to say how to go on
        sys.exit(130)


def _run() -> None:
    # Everything is imported in here, so that Ctrl-C in the first tenths of a second is no traceback either.
    import logging

    import typer

    from ogive.cli.application import application
    from ogive.core.errors import OgiveError, in_line, quoted

    # What typer raises for a command line that it cannot read: click's class, or its own copy of it.
    usage_error: type[Any] = typer.BadParameter.__mro__[1]
    handler, said = logging.StreamHandler(), set[str]()
    # A command may read a run several times, and says what is wrong with it once.
    handler.addFilter(lambda record: not (record.getMessage() in said or said.add(record.getMessage())))  # type: ignore[func-returns-value]
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING, handlers=[handler])
    broken = next((word for word in sys.argv if any("\ud800" <= sign <= "\udfff" for sign in word)), None)
    if broken is not None:  # no file of JSON could hold it
        print(f"error: the command line must be UTF-8, but holds {quoted(broken)}", file=sys.stderr)
        sys.exit(2)
    try:
        arguments = _plugged(sys.argv[1:])
        command = arguments[0] if arguments else None
        sys.exit(application(command)(arguments, prog_name="ogive", standalone_mode=False))
    except usage_error as error:
        message = error.format_message()
        if "\n" in message:  # no command was given: this is the help
            error.show()
        else:
            print(f"error: {message}", file=sys.stderr)
        sys.exit(2)
    except typer.Abort:  # Ctrl-C, where typer does not say so itself
        sys.exit(130)
    except OgiveError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    except OSError as error:
        place = "" if error.filename is None else f": {quoted(error.filename)}"
        print(f"error: {error.strerror or in_line(error)}{place}", file=sys.stderr)
        sys.exit(2)


def _plugged(arguments: list[str]) -> list[str]:
    """The arguments of the command, without the files of ``--plugin FILE``, which are in use from now on."""
    from pathlib import Path

    from ogive.core.errors import SpecError
    from ogive.plugins import use

    left, words = [], iter(arguments)
    for word in words:
        option, equals, value = word.partition("=")
        if option != "--plugin":
            left.append(word)
            continue
        file = value if equals else next(words, "")
        if not file:
            raise SpecError("--plugin names a Python file with parts of your own: --plugin my_parts.py.")
        use(Path(file))
    return left
