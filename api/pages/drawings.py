"""What pages draw: where things stand, in the units of an SVG; templates/drawings.html draws them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from converters.verify.report import OutputReport, Report
from zoo.manifest import Artifact, Manifest

# Rows of a verification that are shown; the manifest has all.
MOST_ROWS = 40


@dataclass(frozen=True)
class Compared:
    """An output of one case.

    Attributes:
        number: Of the case, from 1.
        inputs: Shapes by name, as text.
        output: What was found.
    """

    number: int
    inputs: str
    output: OutputReport


@dataclass(frozen=True)
class Mark:
    """A dot of the error plot, and its words."""

    x: float
    y: float
    label: str
    value: str
    passed: bool
    exact: bool


@dataclass(frozen=True)
class ErrorPlot:
    """Largest absolute errors on a logarithmic scale.

    Attributes:
        width: Of the drawing.
        height: Of the drawing.
        left: Where the scale begins; a mark there is an error of nothing at all.
        right: Where it ends.
        ticks: Place and exponent of powers of ten.
        tolerance: Place of the absolute tolerance; None where it is 0.
        marks: One for each row.
    """

    width: int
    height: int
    left: int
    right: int
    ticks: tuple[tuple[float, int], ...]
    tolerance: float | None
    marks: tuple[Mark, ...]


def rows(report: Report) -> tuple[Compared, ...]:
    """All outputs of all cases."""
    return tuple(
        Compared(number, ", ".join(f"{n} {_shape(s)}" for n, s in case.inputs.items()), output)
        for number, case in enumerate(report.cases, 1)
        for output in case.outputs
    )


def error_plot(report: Report, shown: Sequence[Compared]) -> ErrorPlot | None:
    """The errors of some rows as a drawing; None where there is nothing to draw."""
    measured = [row for row in shown if row.output.max_abs is not None]
    if not measured:
        return None
    positive = [row.output.max_abs for row in measured if row.output.max_abs]
    marked = [value for value in (*positive, report.widest) if value]
    low = math.floor(math.log10(min(marked, default=1e-7))) - 1
    high = math.ceil(math.log10(max(marked, default=1e-3)))
    high = max(high, low + 3)
    left, right, step, top = 190, 690, 24, 8

    def place(value: float) -> float:
        return round(left + (math.log10(value) - low) / (high - low) * (right - left), 1)

    every = max(1, math.ceil((high - low) / 8))
    marks = tuple(
        Mark(
            x=place(value) if value else left,
            y=top + step * i + step / 2,
            label=_cut(f"{row.number} · {row.output.name}", 26),
            value=f"{value:.1e}" if value else "0",
            passed=row.output.passed,
            exact=not value,
        )
        for i, row in enumerate(measured)
        for value in [row.output.max_abs or 0.0]
    )
    return ErrorPlot(
        width=740,
        height=top + step * len(marks) + 30,
        left=left,
        right=right,
        ticks=tuple((place(10.0**n), n) for n in range(low + 1, high + 1, every)),
        tolerance=place(report.widest) if report.widest else None,
        marks=marks,
    )


@dataclass(frozen=True)
class Node:
    """A box of the lineage.

    Attributes:
        kind: base, upload, hub or form.
        lines: What stands in it.
        framework: Whose form it is.
        x: Left edge.
        y: Upper edge.
    """

    kind: str
    lines: tuple[str, ...]
    framework: str = ""
    x: int = 0
    y: int = 0


@dataclass
class Lineage:
    """From the upload to every form.

    Attributes:
        nodes: Boxes by key.
        edges: From key to key.
        width: Of the drawing.
        height: Of the drawing.
    """

    nodes: dict[str, Node] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    width: int = 0
    height: int = 0

    def paths(self) -> list[str]:
        """The edges as paths of an SVG."""
        found = []
        for start, end in self.edges:
            a, b = self.nodes[start], self.nodes[end]
            x0, y0 = a.x + BOX_WIDTH, a.y + BOX_HEIGHT // 2
            x1, y1 = b.x, b.y + BOX_HEIGHT // 2
            bend = (x1 - x0) // 2
            found.append(f"M{x0} {y0}C{x0 + bend} {y0} {x1 - bend} {y1} {x1 - 7} {y1}")
        return found


BOX_WIDTH, BOX_HEIGHT, GAP_X, GAP_Y = 168, 62, 48, 14
_COLUMNS = ("base", "upload", "hub", "form")


def lineage(manifest: Manifest) -> Lineage:
    """The upload, what became of it on the way, and every form, each with its digest."""
    drawn = Lineage()
    base = manifest.lineage.base_model
    if base is not None:
        drawn.nodes["base"] = Node("base", (_cut(base.removeprefix("https://"), 22),))
    # What was uploaded as it is comes first, so that the others find where they come from.
    for artifact in sorted(manifest.artifacts, key=lambda item: not _is_upload(item, manifest)):
        if _is_upload(artifact, manifest):
            _add_upload(drawn, artifact.format, _entry(artifact), artifact.framework)
        else:
            _add_form(drawn, manifest, artifact)
    return _placed(drawn)


def _entry(artifact: Artifact) -> str:
    return next(file.sha256 for file in artifact.files if file.path == artifact.entry)


def _is_upload(artifact: Artifact, manifest: Manifest) -> bool:
    derived = manifest.lineage.derived_from
    return artifact.source is None and derived in (None, _entry(artifact))


def _add_upload(drawn: Lineage, kind: str, sha256: str, framework: str) -> str:
    key = f"upload {sha256}"
    if key not in drawn.nodes:
        drawn.nodes[key] = Node("upload", (kind, _short(sha256)), framework)
        if "base" in drawn.nodes:
            drawn.edges.append(("base", key))
    return key


def _add_form(drawn: Lineage, manifest: Manifest, artifact: Artifact) -> None:
    first = artifact.source
    came = first.sha256 if first is not None else str(manifest.lineage.derived_from)
    owner = artifact.route[0] if artifact.route else ""
    before = _add_upload(drawn, first.format if first is not None else "", came, owner)
    # The ONNX form is written from the graph, too.
    for hop in artifact.route[1:] if artifact.framework == "onnx" else artifact.route[1:-1]:
        hub = f"hub {came} {hop}"
        if hub not in drawn.nodes:
            drawn.nodes[hub] = Node("hub", (hop,), hop)
            drawn.edges.append((before, hub))
        before = hub
    form = f"form {artifact.framework}"
    lines = (artifact.format, _short(_entry(artifact)))
    drawn.nodes[form] = Node("form", lines, artifact.framework)
    drawn.edges.append((before, form))


def _short(sha256: str) -> str:
    return f"sha256:{sha256[:10]}"


def _placed(drawn: Lineage) -> Lineage:
    used = [kind for kind in _COLUMNS if any(n.kind == kind for n in drawn.nodes.values())]
    columns: Mapping[str, list[str]] = {
        kind: [key for key, node in drawn.nodes.items() if node.kind == kind] for kind in used
    }
    tallest = max(map(len, columns.values()))
    drawn.width = len(used) * (BOX_WIDTH + GAP_X) - GAP_X + 4
    drawn.height = tallest * (BOX_HEIGHT + GAP_Y) - GAP_Y + 4
    for i, keys in enumerate(columns.values()):
        empty = (tallest - len(keys)) * (BOX_HEIGHT + GAP_Y) // 2
        for j, key in enumerate(keys):
            node = drawn.nodes[key]
            x, y = 2 + i * (BOX_WIDTH + GAP_X), 2 + empty + j * (BOX_HEIGHT + GAP_Y)
            drawn.nodes[key] = Node(node.kind, node.lines, node.framework, x, y)
    return drawn


def _shape(lengths: Sequence[int]) -> str:
    return "×".join(map(str, lengths)) or "scalar"


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "…"
