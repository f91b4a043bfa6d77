"""Verbs for models in a zoo: pull, push, ls, show, search, run."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Annotated, Any

import typer

from zoo import present
from zoo.cli.common import Device, Framework, Json, Name, options
from zoo.errors import InvalidManifest
from zoo.reference import parse_reference


def add_to(app: typer.Typer) -> None:
    """Add the verbs."""
    for name, verb in (
        ("pull", pull), ("push", push), ("ls", ls), ("show", show), ("search", search), ("run", run),
    ):  # fmt: skip
        app.command(name)(verb)


def pull(
    context: typer.Context,
    name: Name,
    framework: Framework,
    out: Annotated[
        Path | None, typer.Option(help="Directory to make.", show_default="MODEL/FRAMEWORK")
    ] = None,
    force: Annotated[bool, typer.Option(help="Replace a directory with other content.")] = False,
    json: Json = False,
) -> None:
    """Fetch a model's form for one framework into a directory."""
    check_framework(framework)
    with _client(context) as client, present.transfers(quiet=json) as progress:
        place = client.pull(name, framework, out, force=force, progress=progress)
    if json:
        files = sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())
        present.document({"directory": str(place), "framework": framework, "files": files})
    else:
        print(place)


def push(
    context: typer.Context,
    source: Annotated[
        Path, typer.Argument(help="The --out directory of `zoo convert`, or a model file.")
    ],
    name: Annotated[str, typer.Argument(help="org/model@version.", metavar="NAME")],
    head: Annotated[
        Path | None,
        typer.Option(
            help="YAML file with the rest of the manifest: task, summary, licence, lineage."
        ),
    ] = None,
    task: Annotated[str | None, typer.Option(help="What the model does: text-recognition.")] = None,
    summary: Annotated[str | None, typer.Option(help="One line on the model.")] = None,
    licence: Annotated[str | None, typer.Option(help="SPDX expression: Apache-2.0.")] = None,
    publisher: Annotated[str | None, typer.Option(help="Who made the model.")] = None,
    convert: Annotated[
        str | None,
        typer.Option(
            help="SRC is a model file: the zoo converts it to these frameworks, with commas, and"
            " publishes when all are verified. In --head: convert: {targets: [...]}.",
        ),
    ] = None,
    size: Annotated[
        list[str] | None,
        typer.Option(help="With --convert: sizes to verify with for a dynamic dimension: W=320."),
    ] = None,
    webhook: Annotated[
        str | None, typer.Option(help="With --convert: address that is called at the end.")
    ] = None,
    wait: Annotated[
        bool,
        typer.Option("--wait", help="With --convert: show the steps; end with its exit status."),
    ] = False,
    json: Json = False,
) -> None:
    """Upload converted forms, or a file that the zoo converts, and publish it as one version."""
    fields = _head(head)
    policy = fields.pop("convert", None)
    reference = parse_reference(name)
    fields.update({"name": reference.name, "version": reference.version or fields.get("version")})
    given = {"task": task, "summary": summary}
    fields.update({key: value for key, value in given.items() if value is not None})
    if licence is not None:
        fields["licence"] = {**(fields.get("licence") or {}), "expression": licence}
    if publisher is not None:
        fields["lineage"] = {**(fields.get("lineage") or {}), "publisher": publisher}
    if convert is not None or policy is not None:
        from zoo.cli.jobs import submit

        submit(
            options(context),
            source,
            fields,
            policy,
            convert,
            size or [],
            webhook,
            wait=wait,
            json=json,
        )
        return
    if wait or webhook is not None or size:
        raise InvalidManifest(
            "--wait, --webhook and --size need a conversion to wait for",
            fix="add --convert pytorch,paddle,mindspore",
        )
    with _client(context) as client, present.transfers(quiet=json) as progress:
        manifest = client.push(source, fields, progress=progress)
    if json:
        present.document({"published": manifest.reference, "digest": manifest.digest})
    else:
        print(f"published {manifest.reference} (sha256:{manifest.digest[:12]})")


def _head(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    import yaml

    try:
        fields = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, yaml.YAMLError) as error:
        raise InvalidManifest(f"{path}: {error}", fix="name a YAML file with the fields") from None
    if not isinstance(fields, dict):
        raise InvalidManifest(f"{path}: expected fields such as `task: text-recognition`")
    fields.pop("artifacts", None)
    return fields


OnlyFramework = Annotated[str | None, typer.Option("--framework", "-f", help="Only with it.")]
Task = Annotated[str | None, typer.Option(help="Only for this task.")]
Org = Annotated[str | None, typer.Option(help="Only of this organisation.")]
Licence = Annotated[str | None, typer.Option(help="Only under this licence: Apache-2.0.")]
Precision = Annotated[str | None, typer.Option(help="Only with a form of it: fp32, fp16, int8.")]
Target = Annotated[
    str | None, typer.Option(help="Only with a form for it: cpu, cuda, ascend, mlu, musa, xpu.")
]
Verified = Annotated[
    bool | None,
    typer.Option(
        "--verified/--unverified",
        help="Only with, or without, a form that is known to compute what it should.",
        show_default=False,
    ),
]
Limit = Annotated[
    int | None, typer.Option(help="At most so many.", min=1, show_default="all of them")
]
UNPUBLISHED = ("unpublished", "waiting", "refused")
STATE = (
    "published; unpublished (uploaded by hub clients, without a version); or only those of them that are"
    " waiting, or refused."
)
SORT = "By name, updated (what was published last comes first) or relevance."


def ls(
    context: typer.Context,
    framework: OnlyFramework = None,
    task: Task = None,
    org: Org = None,
    licence: Licence = None,
    precision: Precision = None,
    target: Target = None,
    verified: Verified = None,
    sort: Annotated[str, typer.Option(help=SORT)] = "name",
    state: Annotated[str, typer.Option(help=STATE)] = "published",
    limit: Limit = None,
    json: Json = False,
) -> None:
    """List the models of the zoo; with --state, what was uploaded and is not published."""
    if state != "published":
        others = (framework, task, licence, precision, target, verified)
        if state not in UNPUBLISHED or any(value is not None for value in others):
            raise _no_list(state)
        _list_unpublished(context, org, None if state == "unpublished" else state, limit, json)
        return
    filters = {"org": org, "licence": licence, "precision": precision, "target": target}
    asked = {**filters, "verified": verified, "sort": sort}
    _list(context, None, framework, task, asked, limit, json)


def _no_list(state: str) -> Exception:
    from converters.errors import UsageError

    if state not in UNPUBLISHED:
        return UsageError(
            f"--state {state} is none", fix=f"say published or {', '.join(UNPUBLISHED)}"
        )
    return UsageError(
        f"--state {state} goes with --org and --limit only",
        fix="leave the others out: nobody knows them before a version is published",
    )


def _list_unpublished(
    context: typer.Context, org: str | None, state: str | None, limit: int | None, json: bool
) -> None:
    with _client(context) as client:
        found = list(islice(client.unpublished(org=org, state=state), limit))
    if json:
        present.document({"items": found})
        return
    rows = [
        (
            m["name"],
            m["state"],
            "private" if m["private"] else "",
            m["updated_at"][:16].replace("T", " "),
            m["refused"][0]["problem"]
            if m["refused"]
            else m["job"] and f"zoo jobs show {m['job']}",
        )
        for m in found
    ]
    present.table(("name", "state", "", "uploaded", "why, or where to look"), rows)


def search(
    context: typer.Context,
    words: Annotated[str, typer.Argument(help="Words in name, summary, task or tags.")],
    framework: OnlyFramework = None,
    task: Task = None,
    org: Org = None,
    licence: Licence = None,
    precision: Precision = None,
    target: Target = None,
    verified: Verified = None,
    sort: Annotated[str, typer.Option(help=SORT)] = "relevance",
    limit: Limit = None,
    json: Json = False,
) -> None:
    """Find models by words; the best match comes first."""
    filters = {"org": org, "licence": licence, "precision": precision, "target": target}
    asked = {**filters, "verified": verified, "sort": sort}
    _list(context, words, framework, task, asked, limit, json)


def _list(
    context: typer.Context,
    words: str | None,
    framework: str | None,
    task: str | None,
    filters: dict[str, Any],
    limit: int | None,
    json: bool,
) -> None:
    if framework is not None:
        check_framework(framework)
    with _client(context) as client:
        found = list(islice(client.models(words, framework, task, **filters), limit))
    if json:
        present.document({"items": found})
        return
    rows = [
        (
            m["name"],
            m.get("latest"),
            m.get("task"),
            " ".join(m.get("frameworks", [])),
            m.get("summary"),
        )
        for m in found
    ]
    present.table(("name", "version", "task", "frameworks", "summary"), rows)


def show(context: typer.Context, name: Name, json: Json = False) -> None:
    """Show a version of a model: its forms, files, licence and evidence."""
    with _client(context) as client:
        manifest = client.manifest(name)
    if json:
        present.document({**manifest.model_dump(mode="json"), "digest": manifest.digest})
        return
    print(f"{manifest.reference}  {manifest.task}  {manifest.licence.expression}")
    print(manifest.summary)
    rows = []
    for artifact in manifest.artifacts:
        evidence = artifact.verification
        outputs = [o for case in evidence.cases for o in case.outputs] if evidence else []
        errors = [output.max_abs for output in outputs if output.max_abs is not None]
        total = sum(file.size or 0 for file in artifact.files)
        rows.append(
            (
                artifact.framework,
                artifact.precision,
                len(artifact.files),
                present.size(total),
                f"{max(errors):.1e}" if errors else "",
                " ".join(artifact.targets),
            )
        )
    present.table(("framework", "precision", "files", "size", "max error", "targets"), rows)


def run(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="org/model[@version], or an artifact directory.")],
    inputs: Annotated[Path, typer.Option(help=".npz file with an array for each input.")],
    outputs: Annotated[Path, typer.Option(help=".npz file to write.")],
    framework: Annotated[
        str | None, typer.Option("--framework", "-f", help="Which form; not for a directory.")
    ] = None,
    device: Device = "auto",
    json: Json = False,
) -> None:
    """Run a model once, in a process of its framework."""
    import os

    import numpy as np

    from converters.errors import UsageError
    from converters.verify import read_case
    from zoo import artifact

    arrays = read_case(inputs).inputs
    directory = Path(name)
    if not directory.is_dir():
        if framework is None:
            raise UsageError("which form should run?", fix="name it with --framework")
        check_framework(framework)
        directory = _cached(context, name, framework)
    results = artifact.run(directory, arrays, device)
    partial = outputs.with_name(f".{outputs.name}.partial.npz")
    np.savez(partial, **results)
    os.replace(partial, outputs)
    shapes = {key: list(value.shape) for key, value in results.items()}
    if json:
        present.document({"outputs": str(outputs), "shapes": shapes})
    else:
        present.table(("output", "shape"), list(shapes.items()))


def _cached(context: typer.Context, name: str, framework: str) -> Path:
    from zoo.fetch import fetch

    with _client(context) as client, present.transfers() as progress:
        return fetch(client, name, framework, progress=progress)


def check_framework(name: str) -> None:
    """Refuse a name that is no framework.

    Raises:
        UsageError: There is no framework of that name.
    """
    from converters.runtimes import framework

    framework(name)


def _client(context: typer.Context) -> Any:
    from zoo.client import Client

    given = options(context)
    return Client(given.endpoint, given.settings)
