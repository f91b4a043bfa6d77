"""The command `zoo`: parse, call one function, print. One file for each family of verbs."""

from __future__ import annotations

import logging
import os
import sys
from typing import Any

import typer

from converters.errors import ConversionError
from zoo import present
from zoo.cli import convert, demo, jobs, models, operations, serve, token
from zoo.cli.common import root
from zoo.errors import ZooError

STATUS_USAGE = 2

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="A model zoo that speaks every stack: fetch, convert and verify models for PyTorch, "
    "PaddlePaddle, MindSpore and ONNX.",
)
app.callback()(root)
for family in (demo, convert, models, jobs, serve, token, operations):
    family.add_to(app)


# Typer carries a copy of click, or uses the real one: BadParameter, UsageError, ClickException.
MISUSE: Any = typer.BadParameter.__mro__[2]


def main() -> None:
    """Run the command; errors become one line, a hint and an exit status."""
    # Retries announce themselves; the user wants to hear of the end only.
    logging.getLogger("stamina").setLevel(logging.ERROR)
    sys.exit(status_of(sys.argv[1:]))


def status_of(arguments: list[str]) -> int:
    """Run the command with arguments; returns its exit status."""
    try:
        result = app(args=arguments, prog_name="zoo", standalone_mode=False)
    except typer.Exit as stop:
        return stop.exit_code
    except MISUSE as misuse:
        if not arguments:
            misuse.show()
            return STATUS_USAGE
        where = misuse.ctx.command_path if getattr(misuse, "ctx", None) else "zoo"
        present.failure(misuse.format_message(), f"see `{where} --help`")
        return STATUS_USAGE
    except (KeyboardInterrupt, typer.Abort):
        present.notes().print("interrupted")
        return present.STATUS_INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ZooError, ConversionError) as error:
        if present.debugging():
            raise
        present.failure(error.message, error.fix)
        return error.status
    except OSError as error:
        if present.debugging():
            raise
        where = f"{error.filename}: " if error.filename else ""
        present.failure(
            f"{where}{error.strerror or error}", "check the path, its rights and the disk"
        )
        return 1
    return result if isinstance(result, int) else 0
