"""docs/benchmarks.md: a section for each benchmark, which writes its own and leaves the others."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "benchmarks.md"
TITLE = "# Benchmarks"


def machine() -> str:
    """What was measured on, as words."""
    return f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"


def write_section(title: str, lines: Sequence[str], page: Path = PAGE) -> None:
    """Put a section in place of the one with this title, or behind the others.

    Args:
        title: Of the section, without the hashes.
        lines: What stands below it, in Markdown.
        page: The file.
    """
    before = page.read_text(encoding="utf-8") if page.exists() else TITLE + "\n"
    head, *sections = before.split("\n## ")
    kept = {section.partition("\n")[0]: section.partition("\n")[2] for section in sections}
    kept[title] = "\n" + "\n".join(lines)
    whole = [head.strip(), *(f"## {name}\n\n{text.strip()}" for name, text in kept.items())]
    page.write_text("\n\n".join(whole) + "\n", encoding="utf-8")
