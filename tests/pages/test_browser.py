"""The pages in a real browser: nothing is fetched from elsewhere, keys suffice, axe finds nothing."""

from __future__ import annotations

import hashlib
import shutil

import pytest
from axe_playwright_python.sync_playwright import Axe
from onnx import TensorProto, helper
from playwright.sync_api import expect, sync_playwright

from zoo.access import LOCAL
from zoo.hub.records import Addition
from zoo.jobs.jobs import Jobs
from zoo.jobs.records import Submission
from zoo.registry import Registry

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
FLAGS = (
    "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-sync",
    "--disable-background-networking", "--disable-component-update",
)  # fmt: skip
NAME = "browsed/model"
UPLOADED = "browsed/upload"

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no chromium: apt-get install chromium")


@pytest.fixture(scope="module")
def chromium():
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture(scope="module")
def registry(server, add):
    """The zoo behind the server, with a model whose graph can be drawn."""
    opened = Registry(server.data)
    graph = helper.make_graph(
        [helper.make_node("Relu", ["x"], ["y"])],
        "layer",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["N", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["N", 4])],
    )
    add(opened, NAME, graph=helper.make_model(graph).SerializeToString())
    opened.repositories.create(UPLOADED, LOCAL)
    readme = Addition("README.md", hashlib.sha256(b"# Words").hexdigest())
    opened.store.put([b"# Words"], readme.sha256)
    opened.repositories.change(UPLOADED, "main", [readme], LOCAL, title="x")
    for waiting in opened.intake.due(0):
        if waiting.name == UPLOADED:
            opened.intake.refuse(waiting, "no model is here")
    yield opened
    opened.close()


@pytest.fixture
def job(registry, request):
    """A job that waits, and a function that does what a worker does."""
    jobs = Jobs(registry)
    manifest = registry.version(NAME, "1.0.0").manifest
    version = f"2.{abs(hash(request.node.name)) % 10**9}"
    changes = {"version": version, "artifacts": (manifest.artifact("onnx"),)}
    submission = Submission.model_validate(
        {"manifest": manifest.model_copy(update=changes), "convert": {"targets": ["paddle"]}}
    )
    made, _ = jobs.submit(submission)
    worker = f"worker-{version}"
    jobs.enter(worker)
    yield made.id, jobs, worker
    jobs.leave([worker])
    jobs.close()


@pytest.fixture
def look(chromium, server):
    """Opens a page as `look(path, …)`; what goes wrong in it, or is asked elsewhere, fails the test."""
    opened, wrong = [], []

    def open_page(path, expected=200, **options):
        context = chromium.new_context(**{"locale": "en", **options})
        opened.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"{path}: {error}"))
        page.on(
            "console",
            lambda said: (
                wrong.append(f"{path}: {said.text}")
                if said.type in ("error", "warning") and expected == 200
                else None
            ),
        )
        page.on(
            "request",
            lambda asked: (
                wrong.append(f"{path}: asks {asked.url}")
                if not asked.url.startswith((server.url, "data:", "blob:"))
                else None
            ),
        )
        answer = page.goto(server.url + path)
        assert answer is not None
        assert answer.status == expected
        return page

    yield open_page
    for context in opened:
        context.close()
    assert wrong == []


@pytest.mark.parametrize(
    ("width", "scheme", "locale"), [(1280, "light", "en"), (390, "dark", "zh-CN")]
)
def test_every_page_is_accessible_and_fits_the_window(registry, job, look, width, scheme, locale):
    identifier, _, _ = job
    paths = {
        "/": 200,
        "/?q=nothing-has-this": 200,
        f"/models/{NAME}": 200,
        f"/models/{NAME}/1.0.0/onnx": 200,
        f"/models/{UPLOADED}": 200,
        "/uploads": 200,
        "/jobs": 200,
        f"/jobs/{identifier}": 200,
        "/login": 200,
        "/models/no/such": 404,
    }
    for path, status in paths.items():
        page = look(
            path,
            status,
            viewport={"width": width, "height": 800},
            color_scheme=scheme,
            locale=locale,
            reduced_motion="reduce",
        )
        tag = "zh-Hans" if locale.startswith("zh") else "en"
        assert page.evaluate("document.documentElement.lang") == tag
        assert page.evaluate("document.documentElement.scrollWidth") <= width, path
        found = Axe().run(page).response["violations"]
        assert [(v["id"], v["nodes"][0]["html"]) for v in found] == [], path


def test_keys_lead_through_the_tabs(registry, look):
    page = look(f"/models/{NAME}")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.hash") == "#main"
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.matches('.tabs .onnx')"):
            break
    shown = "getComputedStyle(document.activeElement).outlineStyle"
    assert page.evaluate(shown) == "solid"
    page.keyboard.press("Enter")
    page.wait_for_url(f"**/models/{NAME}/1.0.0/onnx")
    expect(page.locator(".tabs .onnx")).to_have_attribute("aria-current", "page")
    expect(page.locator("#verification + p")).to_contain_text("compared with this one")


def test_the_form_and_the_snapshot_need_no_script(registry, job, look):
    identifier, jobs, worker = job
    page = look("/", java_script_enabled=False)
    page.get_by_label("Words").fill("browsed")
    page.get_by_label("Framework", exact=True).select_option("PyTorch")
    page.get_by_role("button", name="Search").click()
    expect(page.get_by_role("link", name=NAME)).to_be_visible()
    page.get_by_role("link", name="中文").click()
    expect(page.get_by_role("heading", level=1)).to_have_text("通用于每个框架的模型")
    jobs.claim(identifier, 1, worker)
    jobs.begin(identifier, "fetch", worker)
    page = look(f"/jobs/{identifier}", java_script_enabled=False)
    expect(page.locator(".steps")).to_contain_text("Fetch the files")
    page.get_by_role("button", name="Cancel this job").click()
    expect(page.get_by_role("status")).to_contain_text("cancelled")


def test_a_running_job_is_followed(registry, job, look):
    identifier, jobs, worker = job
    page = look(f"/jobs/{identifier}")
    status, steps = page.get_by_role("status"), page.locator(".steps")
    expect(status).to_contain_text("waiting")
    jobs.claim(identifier, 1, worker)
    expect(status).to_contain_text("running", timeout=20_000)
    jobs.begin(identifier, "fetch", worker)
    expect(steps).to_contain_text("Fetch the files running", timeout=20_000)
    jobs.finish(identifier, "fetch", worker, "done", "<b>all</b> there")
    jobs.begin(identifier, "emit paddle", worker)
    expect(steps).to_contain_text("<b>all</b> there", timeout=20_000)
    expect(steps).to_contain_text("Write PaddlePaddle source and weights running")
    jobs.cancel(identifier)
    expect(status).to_contain_text("cancelled", timeout=20_000)
    expect(page.get_by_role("button", name="Begin it anew")).to_be_visible()


def test_the_graph_is_drawn(registry, look):
    page = look(f"/models/{NAME}/1.0.0/onnx/graph")
    drawn = page.frame_locator("iframe")
    expect(drawn.locator("#canvas")).to_contain_text("Relu", timeout=30_000)
