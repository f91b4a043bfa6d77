"""What hub clients upload is seen before a version is published, and where no version can be."""

from __future__ import annotations

import hashlib

from zoo.access import LOCAL, Role
from zoo.hub.records import Addition
from zoo.jobs.records import Failure, Submission
from zoo.manifest import Manifest


def upload(registry, name, path="notes.txt", content=b"words", **options):
    digest = hashlib.sha256(content).hexdigest()
    registry.store.put([content], digest)
    registry.repositories.create(name, LOCAL, **options)
    registry.repositories.change(name, "main", [Addition(path, digest)], LOCAL, title="x")
    return digest


def refuse(registry, name, problem):
    (waiting,) = [item for item in registry.intake.due(0) if item.name == name]
    registry.intake.refuse(waiting, problem)


def names(page):
    return [a["href"].removeprefix("/models/") for a in page.find("a") if "/models/" in a["href"]]


def test_uploads_are_listed_until_a_version_is_published(zoo, read, add):
    registry, browser = zoo()
    add(registry, "org/published")
    for name in ("org/plain", "org/wrong", "Acme/other"):
        upload(registry, name)
    upload(registry, "org/hidden", private=True)
    registry.access.create("alice", {"org": Role.READ})
    refuse(registry, "org/wrong", "no model is <here>; add one")
    page = read(browser.get("/uploads"))
    assert names(page) == ["Acme/other", "org/wrong", "org/plain"]
    assert page.text.count("not converted") == 1
    assert "no model is <here>; add one" in page.text
    assert names(read(browser.get("/uploads?q=PLAIN"))) == ["org/plain"]
    assert "Nothing is here" in read(browser.get("/uploads?q=nothing")).text
    # The catalogue leads there, with the same words.
    answer = browser.get("/?q=pla")
    assert read(answer).find("a", href="/uploads?q=pla")
    assert "<title>Models · Polyzoo</title>" in answer.text
    add(registry, "acme/Other")
    assert names(read(browser.get("/uploads"))) == ["org/wrong", "org/plain"]


def test_pages_of_uploads(zoo, read):
    registry, browser = zoo()
    for number in range(31):
        registry.repositories.create(f"org/r{number:02}", LOCAL)
    first = read(browser.get("/uploads"))
    assert names(first) == [f"org/r{number:02}" for number in range(30, 0, -1)]
    (following,) = first.find("a", rel="next")
    last = read(browser.get(following["href"]))
    assert names(last) == ["org/r00"]
    assert last.find("a", rel="first", href="/uploads")
    assert browser.get("/uploads?cursor=nonsense").status_code == 422


def submission(registry, name, version):
    digest = hashlib.sha256(name.encode()).hexdigest()
    registry.store.put([name.encode()], digest)
    artifact = {"framework": "onnx", "format": "onnx", "precision": "fp32", "entry": "m",
                "files": [{"path": "m", "sha256": digest}]}  # fmt: skip
    head = {"name": name, "version": version, "task": "ocr", "summary": "Reads.",
            "licence": {"expression": "MIT"}, "lineage": {"publisher": "Org"}}  # fmt: skip
    manifest = Manifest.model_validate({**head, "artifacts": [artifact]})
    return Submission(manifest=manifest, convert={"targets": ["pytorch"]})


def test_a_model_says_what_became_of_its_uploads(zoo, read, add):
    registry, browser = zoo()
    jobs = browser.app.state.jobs
    upload(registry, "org/wrong")
    upload(registry, "org/fails")
    refuse(registry, "org/wrong", "no model is here; add one")
    page = read(browser.get("/models/org/wrong"))
    assert "looked at anew. no model is here; add one" in page.text
    assert "Conversion" not in read(browser.get("/models/org/fails")).text
    add(registry, "org/good")
    jobs.enter("w")
    for name, version in (("org/fails", "1"), ("org/good", "2")):
        job, _ = jobs.submit(submission(registry, name, version))
        page = read(browser.get(f"/models/{name}"))
        assert page.find("a", href=f"/jobs/{job.id}")
        assert "waiting" in page.text
        jobs.claim(job.id, 1, "w")
        jobs.end(
            job.id, "w", error=Failure(code="x", message="It <b>fell</b>.", fix="mend it", status=3)
        )
        page = read(browser.get(f"/models/{name}"))
        assert (
            "cannot be converted yet. Nothing was published. It <b>fell</b>. mend it" in page.text
        )
    # What was published since says more.
    add(registry, "org/good", version="3.0.0")
    assert "fell" not in read(browser.get("/models/org/good")).text
