"""Writes docs/cli.md from the command itself: `python -m zoo.cli.reference > docs/cli.md`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import typer

from zoo.cli import app

WIDTH = 96  # characters
INTRODUCTION = """\
# The command `zoo`

Written by `python -m zoo.cli.reference`; change the texts in `zoo/cli` instead of this page.

Results go to standard output (`--json`: one JSON document), everything else to standard error. Every
setting has an environment variable, see `zoo/settings.py`. Exit statuses:

| status | meaning |
| ------ | ------- |
| 0 | done |
| 1 | not found, refused, no answer from the server, or a framework failed, be it on the source itself |
| 2 | the call, a manifest or a setting is wrong, or a framework is not installed |
| 3 | the model has something that cannot be converted yet |
| 4 | the results differ |
| 5 | a file is malformed, hostile, or has other bytes than its digest names |
| 130 | interrupted |
"""


def page() -> str:
    """The page as Markdown."""
    command = typer.main.get_command(app)
    root = typer.Context(command, info_name="zoo", max_content_width=WIDTH, terminal_width=WIDTH)
    return "\n".join((INTRODUCTION, *_sections("zoo", command, root)))


def _sections(title: str, command: Any, context: typer.Context) -> Iterator[str]:
    yield _section(title, command.get_help(context))
    for name in command.list_commands(context) if hasattr(command, "list_commands") else ():
        verb = command.get_command(context, name)
        below = typer.Context(
            verb, info_name=name, parent=context, max_content_width=WIDTH, terminal_width=WIDTH
        )
        yield from _sections(f"{title} {name}", verb, below)


def _section(title: str, text: str) -> str:
    lines = "\n".join(line.rstrip() for line in text.strip().splitlines())
    return f"## {title}\n\n```text\n{lines}\n```\n"


if __name__ == "__main__":
    print(page(), end="")
