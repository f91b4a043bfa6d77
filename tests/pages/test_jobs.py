from __future__ import annotations

import pytest

from zoo.access import Role
from zoo.jobs.records import Failure, Submission

OWN = {"Origin": "http://zoo.test"}


@pytest.fixture
def waiting(zoo, add):
    """A zoo with a waiting job of a private model, its browser, and tokens to read and to write."""
    registry, browser = zoo(anonymous="read")
    manifest = add(registry, "org/hidden")
    registry.access.set_private("org/hidden", True)
    changes = {"version": "2.0.0", "artifacts": (manifest.artifact("onnx"),)}
    submission = Submission.model_validate(
        {"manifest": manifest.model_copy(update=changes), "convert": {"targets": ["mindspore"]}}
    )
    jobs = browser.app.state.jobs
    made, _ = jobs.submit(submission)
    secrets = [registry.access.create("x", {"org": role})[1] for role in (Role.READ, Role.WRITE)]
    yield jobs, made.id, browser, *secrets
    jobs.close()


def sign_in(browser, secret):
    assert browser.post("/login", data={"token": secret}, headers=OWN).status_code == 303


def test_jobs_are_as_private_as_their_models(waiting, read):
    _, identifier, browser, reader, _ = waiting
    assert "No job is here" in read(browser.get("/jobs")).text
    hidden = read(browser.get(f"/jobs/{identifier}"), 404)
    assert "org/hidden" not in hidden.text
    sign_in(browser, reader)
    listed = read(browser.get("/jobs?state=queued"))
    assert listed.find("a", href=f"/jobs/{identifier}")
    assert "org/hidden@2.0.0" in listed.text
    assert "No job is here" in read(browser.get("/jobs?state=failed")).text
    page = read(browser.get(f"/jobs/{identifier}"))
    assert "It waits for a worker" in page.text
    assert page.find("div", id="job", **{"data-events": f"/v1/jobs/{identifier}/events"})
    assert not page.find("button", **{"class": "second"})


def test_those_who_may_write_cancel_and_begin_anew(waiting, read):
    jobs, identifier, browser, reader, writer = waiting
    place = f"/jobs/{identifier}"
    # Of a private model, whose jobs are not there for strangers.
    assert browser.post(f"{place}/cancel", headers=OWN).status_code == 404
    sign_in(browser, reader)
    assert "You may not do this" in read(browser.post(f"{place}/cancel", headers=OWN), 403).text
    sign_in(browser, writer)
    for stranger in ({"Origin": "http://evil.test"}, {"Origin": "null"}):
        assert browser.post(f"{place}/cancel", headers=stranger).status_code == 403
    assert jobs.get(identifier).state == "queued"
    assert browser.post(f"{place}/nonsense", headers=OWN).status_code == 422
    assert read(browser.get(place)).find("form", action=f"{place}/cancel")
    done = browser.post(f"{place}/cancel", headers=OWN)
    assert (done.status_code, done.headers["location"]) == (303, place)
    page = read(browser.get(place))
    assert "cancelled" in page.text
    # What has ended is not followed.
    assert not page.find("script")
    assert browser.post(f"{place}/retry", headers=OWN).status_code == 303
    assert "That is not possible now" in read(browser.post(f"{place}/retry", headers=OWN), 409).text
    assert jobs.get(identifier).state == "queued"


def test_what_workers_say_is_text(waiting, read):
    jobs, identifier, browser, reader, _ = waiting
    bad = "<script>alert(1)</script>"
    jobs.enter("w")
    jobs.claim(identifier, 1, "w")
    jobs.begin(identifier, "emit mindspore", "w")
    jobs.finish(identifier, "emit mindspore", "w", "failed", bad)
    operators = ({"name": bad},)
    jobs.end(
        identifier,
        "w",
        error=Failure(code="x", message=bad, fix=bad, status=3, operators=operators),
    )
    sign_in(browser, reader)
    page = read(browser.get(f"/jobs/{identifier}?lang=zh"))
    assert page.text.count(bad) == 4
    assert not page.find("script")
    assert "生成 MindSpore 源代码和权重" in page.text
