"""Verbs for model files: convert, verify, inspect. None of them needs a zoo."""

from __future__ import annotations

import json as json_format
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoo import present
from zoo.cli.common import Json

if TYPE_CHECKING:
    from converters.verify.report import OutputReport, Report


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("convert")(convert)
    app.command("verify")(verify)
    app.command("inspect")(inspect)


def convert(
    source: Annotated[Path, typer.Argument(help="The model file.", metavar="SRC")],
    to: Annotated[
        str,
        typer.Option(
            help="Frameworks, with commas: pytorch,paddle,mindspore,onnx; of a checkpoint also"
            " containers: safetensors,torch,pdparams,ckpt,npz."
        ),
    ],
    out: Annotated[Path, typer.Option(help="Directory that gets one for each framework.")],
    inputs: Annotated[
        Path | None, typer.Option(help=".npz file to verify with.", show_default="made up")
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(
            help="Sizes to verify with for a dynamic dimension: W=320,191. May be repeated."
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Run the results beside the source.")] = True,
    name: Annotated[str, typer.Option(help="What to call the model in its source.")] = "",
    source_framework: Annotated[
        str | None,
        typer.Option("--from", help="Checkpoint: whose names and layouts it has."),
    ] = None,
    key: Annotated[
        str | None,
        typer.Option(help="Checkpoint: where in it the weights are: model.ema; . for all of it."),
    ] = None,
    map_file: Annotated[
        Path | None,
        typer.Option("--map", help="Checkpoint: YAML file of renames, kinds and rules."),
    ] = None,
    dtype: Annotated[
        list[str] | None,
        typer.Option(
            help="Checkpoint: cast floats to this type, or one type to another: int64=int32."
        ),
    ] = None,
    shard_size: Annotated[
        str | None,
        typer.Option(help="Checkpoint: largest file of safetensors or torch: 5GB, 500MB."),
    ] = None,
    kinds_from: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint: a class, package.module:Class, whose modules tell what its tensors"
            " are. Runs that class in its framework."
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Checkpoint: the class that it belongs to, package.module:Class: the whole model"
            " is converted. Runs that class in its framework; needs --inputs."
        ),
    ] = None,
    model_args: Annotated[
        str,
        typer.Option(help="Arguments of --model or --kinds-from, as JSON: a list or an object."),
    ] = "{}",
    json: Json = False,
) -> None:
    """Convert a model into native source and weights, each verified against it.

    A checkpoint (weights by name, without a graph) is converted into the names and layouts of a framework, or
    as it is into another container; with --model it is a model like others.
    """
    from converters.convert import convert as convert_model
    from zoo.cli.checkpoint import convert_checkpoint_file, is_checkpoint

    targets = [target.strip() for target in to.split(",") if target.strip()]
    arguments = _arguments(model_args)
    if is_checkpoint(source, targets, model):
        convert_checkpoint_file(
            source,
            targets,
            out,
            source_framework=source_framework,
            key=key,
            map_file=map_file,
            dtypes=dtype or [],
            shard_size=shard_size,
            kinds_from=kinds_from,
            arguments=arguments,
            json=json,
        )
        return
    _require_unused(
        source,
        {
            "--map": map_file,
            "--dtype": dtype,
            "--shard-size": shard_size,
            "--kinds-from": kinds_from,
        },
    )
    with present.steps(quiet=json) as step:
        done = convert_model(
            source,
            targets,
            out,
            inputs=inputs,
            sizes=sizes(size or []),
            check=verify,
            name=name,
            model=model,
            arguments=arguments,
            key=key,
            framework=source_framework,
            progress=step,
        )
    rows: list[dict[str, Any]] = []
    for result in done.results:
        files = [path for path in sorted(result.directory.iterdir()) if path.is_file()]
        report = result.report
        rows.append(
            {
                "framework": result.framework,
                "directory": str(result.directory),
                "files": [path.name for path in files],
                "bytes": sum(path.stat().st_size for path in files),
                "max_abs_error": report.max_abs if report is not None else None,
                "verification": report.to_json() if report is not None else None,
            }
        )
    imported = done.source
    if json:
        routes = [attempt.to_json() for attempt in imported.tried]
        origin = {"kind": imported.kind, "framework": imported.framework, "routes": routes}
        present.document(
            {"source": {**origin, "findings": list(imported.findings)}, "results": rows}
        )
        return
    if imported.tried:
        present.table(
            ("route to ONNX", "sizes", "max error", "result"),
            [
                (
                    attempt.route,
                    attempt.dynamic,
                    f"{max(attempt.max_abs):.1e}" if attempt.max_abs else "",
                    attempt.reason or "chosen",
                )
                for attempt in imported.tried
            ],
        )
    for finding in imported.findings:
        print(f"note: {finding}")
    present.table(
        ("framework", "files", "size", "max error", "warnings", "directory"),
        [
            (
                row["framework"],
                len(row["files"]),
                present.size(row["bytes"]),
                "" if row["max_abs_error"] is None else f"{row['max_abs_error']:.1e}",
                "; ".join((row["verification"] or {}).get("warnings", [])),
                row["directory"],
            )
            for row in rows
        ],
    )
    _errors([result.report for result in done.results if result.report is not None])


def _errors(reports: Sequence[Report]) -> None:
    """Print the largest error of each output in each framework, and how far it may be."""
    said: dict[str, dict[str, OutputReport]] = {}
    for report in reports:
        for output in (output for case in report.cases for output in case.outputs):
            known = said.setdefault(output.name, {}).setdefault(report.candidate, output)
            if (output.max_abs or 0.0) > (known.max_abs or 0.0):
                said[output.name][report.candidate] = output
    if not said:
        return
    print()
    columns = [report.candidate for report in reports]
    rows = []
    for name, found in said.items():
        errors = [f"{found[c].max_abs or 0.0:.1e}" if c in found else "" for c in columns]
        widest = max(found.values(), key=lambda output: output.atol or 0.0)
        exact = widest.atol is None or widest.rtol is None
        allowed = "none" if exact else f"{widest.atol:.0e} + {widest.rtol:.0e} of the value"
        rows.append((name, *errors, allowed))
    present.table(("largest error of", *columns, "tolerance"), rows)
    cases = [case.inputs for case in reports[0].cases]
    sizes = "; ".join(", ".join(f"{n} {[*s]}" for n, s in shapes.items()) for shapes in cases)
    print(f"verified at: {sizes}")


def _require_unused(source: Path, given: Mapping[str, Any]) -> None:
    """Refuse options that say how tensors are written, for a model whose graph says it."""
    from converters.errors import UsageError

    if used := [option for option, value in given.items() if value]:
        raise UsageError(
            f"{source.name} is converted as a model: {', '.join(used)} is for checkpoints alone",
            fix="leave it out; what a model computes in, its own framework changes: model.float()",
        )


def _arguments(text: str) -> Any:
    from converters.errors import UsageError

    try:
        return json_format.loads(text)
    except ValueError as error:
        raise UsageError(f"--model-args: no JSON: {error}", fix="write a list or object") from error


def sizes(texts: list[str]) -> dict[str, tuple[int, ...]]:
    """Read `W=320,191`.

    Raises:
        UsageError: It is something else.
    """
    from converters.errors import UsageError

    found = {}
    for text in texts:
        name, equals, numbers = text.partition("=")
        parts = numbers.split(",")
        if not equals or not name or not all(part.strip().isdigit() for part in parts):
            raise UsageError(
                f"--size {text}: expected a name and sizes", fix="write --size W=320,191"
            )
        found[name.strip()] = tuple(int(part) for part in parts)
    return found


def verify(
    reference: Annotated[Path, typer.Argument(help="Artifact directory that is the truth.")],
    candidate: Annotated[Path, typer.Argument(help="Artifact directory to check.")],
    inputs: Annotated[
        Path | None, typer.Option(help=".npz file to run both with.", show_default="made up")
    ] = None,
    json: Json = False,
) -> None:
    """Compare two artifacts on the same inputs; exit status 4 when they differ."""
    from converters.errors import MismatchError, RuntimeFailed
    from converters.verify import read_case
    from converters.verify import verify as compare

    cases = None if inputs is None else [read_case(inputs)]
    report = compare(reference, candidate, cases)
    if json:
        present.document(report.to_json())
    else:
        rows = [
            (
                output.name,
                list(output.shape),
                "" if output.max_abs is None else f"{output.max_abs:.1e}",
                "" if output.max_rel is None else f"{output.max_rel:.1e}",
                "passed" if output.passed else output.reason,
            )
            for case in report.cases
            for output in case.outputs
        ]
        present.table(("output", "shape", "max error", "relative", "result"), rows)
    if report.reference_error:
        raise RuntimeFailed(f"{reference} itself fails: {report.reference_error}")
    if not report.passed:
        failures = report.failures()
        raise MismatchError(f"{candidate} {report.verdict} {reference}: {failures[0]}")


def inspect(
    source: Annotated[Path, typer.Argument(help="The model file.", metavar="SRC")],
    key: Annotated[
        str | None,
        typer.Option(help="Checkpoint: where in it the weights are: model.ema; . for all of it."),
    ] = None,
    json: Json = False,
) -> None:
    """Say what a file is: format, signature, operators, parameters, tensors. Runs nothing of it."""
    from converters.inspect import inspect as describe
    from zoo.cli.checkpoint import show

    facts: dict[str, Any] = describe(source, key)
    if json:
        present.document(facts)
        return
    if "signature" not in facts:
        show(source, facts)
        return
    print(f"{source.name}: {facts['format']}, opset {facts['opset']}, {facts['producer']}")
    print(f"{facts['parameters']:,} parameters, {present.size(facts['parameter_bytes'])}")
    signature = facts["signature"]
    rows = [
        (side[:-1], spec["name"], _type_of(spec), spec["shape"])
        for side in ("inputs", "outputs")
        for spec in signature[side]
    ]
    present.table(("", "name", "type", "shape"), rows)
    present.table(("operator", "count"), list(facts["operators"].items()), right="c")


def _type_of(spec: dict[str, Any]) -> str:
    """The type of an input or output in words."""
    return f"{spec['kind']} of {spec['dtype']}" if "kind" in spec else str(spec["dtype"])
