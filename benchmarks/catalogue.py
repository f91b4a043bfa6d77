"""Listing and searching 100,000 models with 1,000,000 artifacts; writes its section of docs/benchmarks.md.

    python benchmarks/catalogue.py [--models N] [--requests N] [--folder DIR]

The models are rows like those that publishing writes, put there in bulk by the same functions. Every question
is asked many times with other words, other filters and other places in the list; what is told is how long
the median and the slowest of a hundred took, by a call in Python and over HTTP, for one client. The same
client asks a server with one route of FastAPI that does nothing, in the same run, which says what of a
request is not ours. Memory is watched while every question is asked on several connections, and once more.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import memory
import psutil
from page import machine, write_section
from sqlalchemy import insert
from sqlmodel import Session

from zoo.catalogue.listing import INDEX, document
from zoo.catalogue.search import folded
from zoo.catalogue.tables import Artifact, File, Form, Model, Repository, Version
from zoo.hub import listing as repositories
from zoo.registry import Registry

ROOT = Path(__file__).resolve().parent.parent
GOAL_MS = 20.0  # the slowest of a hundred
BATCH = 2000
CONNECTIONS = 4

FRAMEWORKS = ("onnx", "pytorch", "paddle", "mindspore")
PRECISIONS = ("fp32", "fp32", "fp32", "fp16", "bf16", "int8")
TARGETS = ("cpu", "cuda", "ascend", "mlu", "musa", "xpu")
TASKS = tuple(f"{what}-{verb}" for what in ("text", "image", "speech", "video", "object")
              for verb in ("recognition", "classification", "detection", "generation"))  # fmt: skip
LICENCES = ("Apache-2.0", "Apache-2.0", "MIT", "BSD-3-Clause", "MIT AND (Apache-2.0 OR 0BSD)")
FAMILIES = ("bert", "roberta", "MiniLM", "resnet50", "pp-ocrv4", "whisper", "llama", "unet", "vit")
CHINESE = "中文识别模型语音检测图像分类生成文本大小快速高精度多语言训练推理"
SYLLABLES = tuple(c + v for c in "bdfgklmnprst" for v in "aeiou")


def word(draw: random.Random) -> str:
    """A word that is no word."""
    return "".join(draw.choices(SYLLABLES, k=draw.randint(2, 4)))


def fill(registry: Registry, count: int) -> None:
    """Publish models in bulk: the rows that publishing writes, through the same tables and indexes."""
    draw = random.Random(7)
    words = [word(draw) for _ in range(5000)]
    orgs = [f"{draw.choice(words)}{number}" for number in range(max(count // 50, 1))]
    begin = datetime(2025, 1, 1)
    versions = artifacts = 0
    for start in range(1, count + 1, BATCH):
        rows: dict[type[Any], list[dict[str, Any]]] = {
            t: [] for t in (Model, Version, Artifact, File, Form, Repository)
        }
        with Session(registry._engine) as session, session.begin():
            connection = session.connection()
            for number in range(start, min(start + BATCH, count + 1)):
                model, forms = _model(draw, words, orgs, number, begin)
                tags = repositories.document(
                    model["name"], f"\n{model['task']}\n" + folded(model["tags"]) + "\n"
                )
                rows[Model].append({**model, "id": number})
                rows[Form] += [{**form, "model_id": number} for form in forms]
                repository = {
                    "id": number, "name": model["name"], "created_at": begin,
                    "updated_at": model["updated_at"], "changed": number, "published": True, "card": "{}",
                    "tags": tags.labels,
                }  # fmt: skip
                rows[Repository].append(repository)
                for place in range(2 + number % 2):
                    versions += 1
                    manifest = json.dumps({**model, "updated_at": "", "artifacts": forms * 2})
                    rows[Version].append({
                        "id": versions, "model_id": number, "version": f"1.{place}",
                        "digest": f"{versions:064x}", "published_at": model["updated_at"],
                        "manifest": manifest,
                    })  # fmt: skip
                    for framework in FRAMEWORKS:
                        artifacts += 1
                        rows[Artifact].append({
                            "id": artifacts, "version_id": versions, "framework": framework,
                            "format": "x", "precision": "fp32",
                        })  # fmt: skip
                        rows[File].append({
                            "artifact_id": artifacts, "path": "model.bin",
                            "sha256": f"{artifacts:064x}", "size": artifacts,
                        })  # fmt: skip
                INDEX.add(connection, number, document(Model(**model), [Form(**f) for f in forms]))
                repositories.INDEX.add(connection, number, tags)
            for table, values in rows.items():
                connection.execute(insert(table), values)


def _model(
    draw: random.Random, words: list[str], orgs: list[str], number: int, begin: datetime
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    name = f"{draw.choice(orgs)}/{draw.choice(FAMILIES)}-{draw.choice(words)}-{number}"
    summary = " ".join(draw.choices(words, k=8)).capitalize() + "."
    if number % 4 == 0:
        summary += "".join(draw.choices(CHINESE, k=8)) + "。"
    task, tags = draw.choice(TASKS), "\n".join(draw.sample(words, 2))
    forms = [
        {
            "framework": framework,
            "precision": draw.choice(PRECISIONS),
            "targets": "".join(f"\n{t}" for t in draw.sample(TARGETS, draw.randint(1, 3))) + "\n",
            "verified": draw.random() < 0.7,
        }
        for framework in FRAMEWORKS
    ]
    model = {
        "name": name, "task": task, "summary": summary, "tags": tags, "latest": "1.1",
        "licence": "LicenseRef-rare" if number % 10_000 == 0 else draw.choice(LICENCES),
        "frameworks": "\n".join(FRAMEWORKS), "updated_at": begin + timedelta(seconds=number),
        "words": folded("\n".join((name, task, summary, tags))),
    }  # fmt: skip
    return model, forms


def questions(
    registry: Registry, count: int
) -> dict[str, Callable[[random.Random], dict[str, Any]]]:
    """What is asked, each a function that draws one of the kind."""
    places = _places(registry, count)

    def deep(sort: str, **asked: str) -> Callable[[random.Random], dict[str, Any]]:
        return lambda draw: {**asked, "sort": sort, "cursor": draw.choice(places[sort])}

    def one(draw: random.Random) -> str:
        return word(random.Random(draw.randint(0, 1 << 30)))

    return {
        "first page, by name": lambda _: {},
        "first page, last published first": lambda _: {"sort": "updated"},
        "deep page, by name": deep("name"),
        "deep page, last published first": deep("updated"),
        "framework": lambda draw: {"framework": draw.choice(FRAMEWORKS)},
        "task": lambda draw: {"task": draw.choice(TASKS)},
        "task, last published first": lambda d: {"task": d.choice(TASKS), "sort": "updated"},
        "common licence": lambda draw: {"licence": draw.choice(("MIT", "Apache-2.0"))},
        "rare licence": lambda _: {"licence": "LicenseRef-rare"},
        "target": lambda draw: {"target": draw.choice(TARGETS)},
        "precision": lambda draw: {"precision": draw.choice(PRECISIONS)},
        "verified": lambda _: {"verified": True},
        "not verified": lambda _: {"verified": False},
        "one form: framework, precision, target, verified": lambda draw: {
            "framework": draw.choice(FRAMEWORKS), "precision": draw.choice(PRECISIONS),
            "target": draw.choice(TARGETS), "verified": True,
        },
        "task, licence, form": lambda draw: {
            "task": draw.choice(TASKS), "licence": "MIT", "framework": draw.choice(FRAMEWORKS),
            "precision": "int8", "target": draw.choice(TARGETS),
        },
        "common word": lambda draw: {"q": draw.choice(FAMILIES)},
        "common word, by name": lambda draw: {"q": draw.choice(FAMILIES), "sort": "name"},
        "common word, deep page": deep("relevance", q="bert"),
        "rare word": lambda draw: {"q": f"{draw.choice(SYLLABLES)}-{draw.randint(1, count)}"},
        "rare word, by name": lambda draw: {"q": f"-{draw.randint(1, count)}", "sort": "name"},
        "word that may be in the text": lambda draw: {"q": one(draw)},
        "two words": lambda draw: {"q": f"{draw.choice(FAMILIES)} {draw.choice(TASKS)[:5]}"},
        "two letters": lambda draw: {"q": draw.choice(SYLLABLES)},
        "Chinese, two characters": lambda draw: {"q": "".join(draw.choices(CHINESE, k=2))},
        "Chinese, one character, by name": lambda draw: {"q": draw.choice(CHINESE), "sort": "name"},
        "word and filters": lambda draw: {
            "q": draw.choice(FAMILIES), "task": draw.choice(TASKS), "target": "ascend",
        },
        "word that is nowhere": lambda draw: {"q": f"zzz{draw.randint(0, 99)}"},
    }  # fmt: skip


def _places(registry: Registry, count: int) -> dict[str, list[str]]:
    """Cursors all over the lists."""
    found: dict[str, list[str]] = {}
    for sort, asked in (("name", {}), ("updated", {}), ("relevance", {"q": "bert"})):
        cursor, found[sort] = None, []
        while len(found[sort]) < 40:
            limit = min(1000, max(count // 50, 1)) if sort != "relevance" else 50
            page = registry.models(**asked, sort=sort, limit=limit, cursor=cursor)  # type: ignore[arg-type]
            if page.next_cursor is None:
                break
            cursor = page.next_cursor
            found[sort].append(cursor)
    return found


def hub_questions() -> dict[str, Callable[[random.Random], dict[str, Any]]]:
    """What hub clients ask."""
    return {
        "hub: newest": lambda _: {"limit": 50},
        "hub: last modified": lambda _: {"limit": 50, "sort": "lastModified"},
        "hub: search": lambda draw: {"limit": 50, "search": draw.choice(FAMILIES)},
        "hub: filter": lambda draw: {"limit": 50, "filter": draw.choice(TASKS)},
    }


def timed(ask: Callable[[dict[str, Any]], object], kind: Any, count: int) -> list[float]:
    """Milliseconds: of the median, of the slowest of a hundred, and what that took of the processor."""
    draw = random.Random(1)
    took: list[float] = []
    busy: list[float] = []
    for asked in [kind(draw) for _ in range(count)]:
        begun, worked = time.perf_counter(), time.thread_time()
        ask(asked)
        took.append((time.perf_counter() - begun) * 1e3)
        busy.append((time.thread_time() - worked) * 1e3)
    last = min(int(count * 0.99), count - 1)
    return [sorted(took)[count // 2], sorted(took)[last], sorted(busy)[last]]


class Web:
    """One client of a server on this machine, on one connection."""

    def __init__(self, port: int) -> None:
        self._connection = HTTPConnection("127.0.0.1", port, timeout=60)

    def get(self, path: str, asked: dict[str, Any]) -> bytes:
        """The body of an answer."""
        query = urlencode({k: str(v).lower() if v is True or v is False else v
                           for k, v in asked.items()})  # fmt: skip
        self._connection.request("GET", f"{path}?{query}")
        response = self._connection.getresponse()
        body = response.read()
        if response.status != 200:
            raise RuntimeError(f"{path}?{query}: {response.status} {body[:300]!r}")
        return body


BARE = """
from fastapi import FastAPI
app = FastAPI()
@app.get("/")
def bare(): return {"items": []}
"""


@contextmanager
def serving(
    arguments: Sequence[str], port: int, folder: Path
) -> Iterator[tuple[int, psutil.Process]]:
    """A server until it is no longer needed: its port, and its process."""
    with subprocess.Popen(
        [sys.executable, *arguments],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            for _ in range(600):
                with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
                    break
                time.sleep(0.1)
            yield port, psutil.Process(process.pid)
        finally:
            process.terminate()


def free_port() -> int:
    """A port that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def throughput(port: int, path: str, kind: Any, count: int) -> float:
    """Requests a second on several connections at once."""
    draw = random.Random(2)
    asked = [[kind(draw) for _ in range(count)] for _ in range(CONNECTIONS)]

    def work(mine: list[dict[str, Any]]) -> None:
        web = Web(port)
        for one in mine:
            web.get(path, one)

    begun = time.perf_counter()
    with ThreadPoolExecutor(CONNECTIONS) as pool:
        list(pool.map(work, asked))
    return CONNECTIONS * count / (time.perf_counter() - begun)


def main() -> None:
    """Fill a zoo, ask it, and write the section."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--requests", type=int, default=200, help="of each question")
    parser.add_argument("--folder", type=Path, help="a zoo that an earlier run has filled, or will")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or Path(scratch)
        registry = Registry(folder)
        filled = ""
        if not registry.models(limit=1).items:
            begun = time.perf_counter()
            fill(registry, options.models)
            filled = f", and was filled in {time.perf_counter() - begun:.0f} s"
        size = (folder / "zoo.db").stat().st_size
        asked = questions(registry, options.models)
        # As the server does: garbage is not looked for among modules, which takes 70 ms.
        gc.collect()
        gc.freeze()
        lines = [
            f"Written by `make bench` (`python benchmarks/catalogue.py`). {machine()}.",
            f"{options.models:,} models, {options.models * 10:,} artifacts; the catalogue has "
            f"{size / 1e6:,.0f} MB{filled}. Pages of 50, {options.requests} requests of each kind, "
            "one client; milliseconds.",
            f"The goal is {GOAL_MS:.0f} ms for the slowest of a hundred; other programs on the same "
            f"processors count ({os.getloadavg()[0]:.0f} wanted them when this began).",
            "",
            "| question | Python: median | slowest of 100 | its processor time | HTTP: median "
            "| slowest of 100 |",
            "| --- | --: | --: | --: | --: | --: |",
        ]
        ports = free_port(), free_port()
        (Path(scratch) / "bare.py").write_text(BARE)
        zoo = ["-m", "api.server", "--data", str(folder), "--port", str(ports[0])]
        bare = ["-m", "granian", "--interface", "asgi", "--port", str(ports[1]), "bare:app"]
        with (
            serving(zoo, ports[0], ROOT) as (port, process),
            serving(bare, ports[1], Path(scratch)) as (other, _),
        ):
            web = Web(port)
            web.get("/v1/models", {"limit": 1})
            start = memory.held(process)
            rows = [("/v1/models", *item) for item in asked.items()]
            rows += [("/api/models", *item) for item in hub_questions().items()]
            for path, name, kind in rows:
                within: tuple[str, ...] = ("-", "-", "-")
                if path == "/v1/models":
                    found = timed(lambda one: registry.models(**one), kind, options.requests)
                    within = (_shown(found[0]), _shown(found[1], GOAL_MS), _shown(found[2]))
                middle, slow, _ = timed(partial(web.get, path), kind, options.requests)
                row = (name, *within, _shown(middle), _shown(slow, GOAL_MS))
                lines.append(f"| {' | '.join(row)} |")
                print(lines[-1], flush=True)
            lines += [
                "",
                "| requests a second, 4 connections | | of a bare route |",
                "| --- | --: | --: |",
            ]
            nothing = throughput(other, "/", lambda _: {}, options.requests)
            lines.append(
                f'| a route of FastAPI that answers `{{"items": []}}` | {nothing:.0f} | 1.00 |'
            )
            for name, kind in (("a page of 50", asked["first page, by name"]),
                               ("a page of 1", lambda _: {"limit": 1}),
                               ("a common word", asked["common word"])):  # fmt: skip
                rate = throughput(port, "/v1/models", kind, options.requests)
                lines.append(f"| {name} | {rate:.0f} | {rate / nothing:.2f} |")
            print("\n".join(lines[-4:]))

            def all_of_it() -> None:
                for path, _, kind in rows:
                    throughput(port, path, kind, options.requests)

            first = memory.most(process, all_of_it)
            lines += ["", memory.told(start, first, memory.most(process, all_of_it))]
            print(lines[-1])
    write_section("Catalogue", lines)


def _shown(milliseconds: float, goal: float | None = None) -> str:
    missed = " **missed**" if goal is not None and milliseconds > goal else ""
    return f"{milliseconds:.1f}{missed}"


if __name__ == "__main__":
    main()
