"""What verbs share: the options of the command itself, and how options are spelt."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from pydantic import ValidationError

from zoo.errors import InvalidSetting
from zoo.settings import Settings


@dataclass(frozen=True)
class Options:
    """The options before the verb."""

    settings: Settings
    data: Path
    endpoint: str


def root(
    context: typer.Context,
    data: Annotated[
        Path | None, typer.Option(help="Directory of the local zoo.", show_default=False)
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Address of the zoo's server.", show_default=False)
    ] = None,
    version: Annotated[bool, typer.Option("--version", help="Show the version.")] = False,
) -> None:
    """Settings that all verbs share."""
    if version:
        from zoo import __version__

        print(f"zoo {__version__}")
        raise typer.Exit
    settings = Settings.from_environment()
    try:
        server = settings.server if endpoint is None else Settings(server=endpoint).server
    except ValidationError as error:
        raise InvalidSetting(
            f"--endpoint {endpoint}: not the address of a server",
            fix="write one such as http://127.0.0.1:8000",
        ) from error
    context.obj = Options(settings, data or settings.data, server)


def options(context: typer.Context) -> Options:
    """The options before the verb, where a verb needs them."""
    found: Options = context.find_object(Options) or Options(Settings(), Settings().data, "")
    return found


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Name = Annotated[str, typer.Argument(help="org/model or org/model@version.", metavar="NAME")]
Framework = Annotated[
    str, typer.Option("--framework", "-f", help="onnx, pytorch, paddle or mindspore.")
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, ascend, mlu, musa or xpu.")]
