from __future__ import annotations

import hashlib
import json

from zoo.access import LOCAL
from zoo.hub.records import Addition

BAD = '"><script>alert(1)</script><img src=x onerror=alert(2)>{{7*7}}'
CARD = f"""---
license: mit
---
# Title {BAD}

<script>alert(1)</script><style>body{{display:none}}</style><iframe src="//evil.test"></iframe>
<p onclick="alert(3)" style="position:fixed" id="main" class="top">words</p>
<svg onload=alert(4)><a xlink:href="javascript:alert(5)">x</a></svg><form action=/logout><button>go</button></form>

[link](javascript:alert(6)) [data](data:text/html,<script>alert(7)</script>) [kind](https://kind.test/)
![picture](https://evil.test/pixel.png) <math><mtext><img src=x onerror=alert(8)></mtext></math>

| a | b |
| --- | --- |
| `1` | **2** |
"""


def put(registry, data):
    digest = hashlib.sha256(data).hexdigest()
    registry.store.put([data], digest)
    return digest


def hostile(registry, add):
    source = put(registry, f'"""{BAD}"""\n# {BAD}\n'.encode())
    path = "a'b&c <script>.py".replace("<", "(").replace(">", ")")
    outputs = [{"name": BAD, "max_abs": 1.0, "passed": False, "reason": BAD}]
    report = {"reference": "paddle", "passed": False, "rtol": 0, "atol": 0, "problems": [BAD],
              "warnings": [BAD], "versions": {BAD: BAD},
              "cases": [{"inputs": {BAD: [1]}, "outputs": outputs},
                        {"inputs": {"x": [7]}, "error": "it fell over"}]}  # fmt: skip
    add(
        registry,
        "org/hostile",
        summary=BAD,
        tags=[BAD],
        licence={"expression": "LicenseRef-X AND MIT", "text": BAD, "conditions": [BAD]},
        lineage={"publisher": BAD, "data": BAD, "base_model": "https://x.test/" + BAD.replace(" ", "")},
        signature={"inputs": [], "outputs": [{"name": BAD, "dtype": "float32", "shape": None}]},
        notices=[BAD],
        artifacts=[
            {"framework": "mindspore", "format": "ckpt", "precision": "fp32", "entry": path,
             "converter": BAD, "files": [{"path": path, "sha256": source}], "verification": report}
        ],
    )  # fmt: skip
    card = put(registry, CARD.encode())
    registry.repositories.change(
        "org/hostile", "main", [Addition("README.md", card)], LOCAL, title="x"
    )
    registry.repositories.create("org/files", LOCAL)
    registry.repositories.change(
        "org/files", "main", [Addition("README.md", card), Addition(path, source)], LOCAL, title="x"
    )


def is_harmless(page):
    for tag, attributes in page.elements:
        assert tag not in ("style", "iframe", "object", "embed", "img", "math", "base"), tag
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name not in ("style", "srcdoc"), (tag, name)
            if name in ("href", "src", "action", "formaction"):
                assert (value or "").startswith(("/", "#", "?", "https://")), (tag, value)
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(ids) == len(set(ids))
    assert "49" not in page.text


def test_what_strangers_write_is_text(zoo, read, add):
    registry, browser = zoo()
    hostile(registry, add)
    for path in ("/", "/models/org/hostile", "/models/org/files", f"/?q={BAD}&task={BAD}"):
        for language in ("en", "zh"):
            page = read(browser.get(path, headers={"Accept-Language": language}))
            is_harmless(page)
    page = read(browser.get("/models/org/hostile"))
    assert page.text.count("<script>alert(1)</script>") > 8
    assert "x [7]: it fell over" in page.text
    assert page.find("a", href="https://kind.test/", rel="noopener noreferrer nofollow")
    assert "evil.test" not in browser.get("/models/org/hostile").text
    is_harmless(read(browser.get("/models/org/%3Cscript%3E"), 404))
    is_harmless(read(browser.get("/%3Cscript%3Ealert(1)%3C/script%3E/x"), 404))
    is_harmless(read(browser.get(f"/login?to={BAD}")))


def test_a_page_for_every_form(zoo, read, add):
    registry, browser = zoo()
    made = add(registry, "org/model")
    page = read(browser.get("/models/org/model"))
    (tab,) = page.find("a", **{"aria-current": "page", "class": "pytorch"})
    assert tab["href"] == "/models/org/model/1.0.0/pytorch"
    text = page.text
    assert "zoo --endpoint http://zoo.test pull org/model --framework pytorch" in text
    assert 'zoo.load("org/model", framework="pytorch", endpoint="http://zoo.test")' in text
    assert "hf download org/model --revision pytorch" in text
    for file in made.artifacts[1].files:
        assert page.find("code", title=file.sha256)
        download = page.find("a", href=f"/v1/models/org/model/versions/1.0.0/artifacts/pytorch/files/{file.path}")  # fmt: skip
        assert browser.get(download[0]["href"]).content
    assert "3.0e-06" in text and "2.0e-05" in text and "0.0001 plus 0.001 of" in text  # noqa: PT018
    assert len(page.find("circle")) == 2
    assert page.find("span", **{"class": "k"})
    assert "<b>not bold</b>" in text
    assert "use it for any purpose" in text
    assert len(page.find("rect")) == 2
    assert read(browser.get("/models/org/model/latest")).text == text
    onnx = read(browser.get("/models/org/model/1.0.0/onnx"))
    assert "The other forms are compared with this one." in onnx.text
    assert "That" not in read(browser.get("/models/org/model/1.0.0/paddle"), 404).text


def test_what_was_found_when_a_model_was_read_is_told(zoo, read, add):
    registry, browser = zoo()
    origin = {"format": "huggingface", "findings": [BAD, "fixed in this graph: length", 7]}
    deep = {"source": {"format": "artifact", "findings": [], "lineage": {"source": origin}}}
    for name, content in {
        "told": json.dumps(deep),
        "odd": '{"source": {"findings": "x", "lineage": [1]}}',
        "broken": "[" * 100_000,
    }.items():
        path, digest = "manifest.json", put(registry, content.encode())
        add(
            registry,
            f"org/{name}",
            artifacts=[
                {"framework": "pytorch", "format": "any", "precision": "fp32", "entry": path,
                 "files": [{"path": path, "sha256": digest}]}
            ],
        )  # fmt: skip
        page = read(browser.get(f"/models/org/{name}"))
        assert not page.find("img")
        assert len(page.find("p", **{"class": "note"})) == (2 if name == "told" else 0)
        assert ("fixed in this graph: length" in page.text) == (name == "told")


def test_an_older_version_says_so_and_is_fetched_as_such(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/model")
    add(registry, "org/model", version="2.0.0+local")
    page = read(browser.get("/models/org/model/1.0.0"))
    assert "there is a newer one" in page.text
    assert "pull org/model@1.0.0" in page.text
    assert "--revision 1.0.0 --include 'pytorch/*'" in page.text
    latest = read(browser.get("/models/org/model"))
    assert "2.0.0+local" in latest.text
    hrefs = [a["href"] for a in latest.find("a") if "2.0.0" in (a["href"] or "")]
    assert hrefs
    for href in hrefs:
        assert browser.get(href).status_code == 200, href


def test_files_without_a_version_have_a_page_too(zoo, read):
    registry, browser = zoo()
    registry.repositories.create("org/fresh", LOCAL)
    assert "It is empty." in read(browser.get("/models/org/fresh")).text
    digest = put(registry, b"# Hello\n\n- [ ] one\n")
    registry.repositories.change(
        "org/fresh", "main", [Addition("README.md", digest)], LOCAL, title="x"
    )
    page = read(browser.get("/models/org/fresh"))
    assert "hf download org/fresh" in page.text
    assert "Hello" in page.text
    (file,) = [a for a in page.find("a") if "resolve" in (a["href"] or "")]
    assert browser.get(file["href"]).content.startswith(b"# Hello")


def test_addresses_that_hub_clients_print_lead_to_the_page(zoo, add):
    registry, browser = zoo()
    add(registry, "jobs/model")
    add(registry, "org/model")
    assert browser.get("/org/none").status_code == browser.get("/v1/none").status_code == 404
    # It takes no method from the API's addresses.
    wrong = browser.get("/v1/uploads")
    assert (wrong.status_code, wrong.headers["allow"]) == (405, "POST")
    for path in ("/jobs/model/tree/main", "/jobs/model/commit/0123", "/org/model"):
        place = browser.get(path)
        assert place.status_code == 307
        assert place.headers["location"] == f"/models/{'/'.join(path.split('/')[1:3])}"


def test_the_card_that_we_write_ourselves_is_not_repeated(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/model")
    registry.repositories.files("org/model", "main", LOCAL)
    assert "Model card" not in read(browser.get("/models/org/model")).text


def test_long_files_and_many_are_cut(zoo, read, add):
    registry, browser = zoo()
    long = put(registry, b"x = 1\n" * 50_000)
    middle = put(registry, b"y = 2\n" * 15_000)
    few = [{"path": "a.py", "sha256": long}, {"path": "b.py", "sha256": middle}]
    many = [{"path": f"f{i:03}", "sha256": put(registry, b"z")} for i in range(300)]
    artifact = {"framework": "paddle", "format": "pdparams", "precision": "fp32", "entry": "a.py",
                "files": few + many}  # fmt: skip
    add(registry, "org/long", artifacts=[artifact])
    page = read(browser.get("/models/org/long"))
    assert "too long to be shown" in page.text
    assert page.text.count("x = 1") == 0
    assert page.text.count("y = 2") == 15_000
    assert "and 102 more" in page.text
    assert "f299" not in page.text


def test_the_graph_is_drawn_by_the_viewer(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/model")
    assert read(browser.get("/models/org/model")).find(
        "a", href="/models/org/model/1.0.0/onnx/graph"
    )
    page = read(browser.get("/models/org/model/1.0.0/onnx/graph"))
    (frame,) = page.find("iframe")
    viewer = browser.get(frame["src"])
    policy = viewer.headers["content-security-policy"]
    assert "script-src 'self';" in policy
    assert "connect-src 'self'" in policy
    assert "frame-ancestors 'self'" in policy
    (file,) = read(viewer).find("meta", name="file")
    place = file["content"].removeprefix("..")
    assert browser.get(place).content == b"org/model"
    # What makes it ask elsewhere for a newer one.
    assert not read(viewer).find("meta", name="version")
    assert not read(viewer).find("meta", name="date")
    assert browser.get("/viewer/view.js").headers["content-type"].startswith("text/javascript")
    for path in (
        "/viewer/server.py",
        "/viewer/__init__.py",
        "/viewer/..%2Fpyproject.toml",
        "/viewer/?file=//x.test/",
    ):
        assert browser.get(path).status_code == 404, path
