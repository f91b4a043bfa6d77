"""Who may see what on pages: signing in, private models, forms of other sites."""

from __future__ import annotations

import base64

import pytest

from zoo.access import Role

OWN = {"Origin": "http://zoo.test", "Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def guarded(zoo, add):
    """A zoo with a public and a private model, a browser, and tokens for one organisation and another."""
    registry, browser = zoo(anonymous="read")
    add(registry, "org/open")
    add(registry, "org/hidden")
    registry.access.set_private("org/hidden", True)
    secrets = [registry.access.create("ann", {org: Role.READ})[1] for org in ("org", "other")]
    return registry, browser, *secrets


def sign_in(browser, secret, to="/", headers=OWN):
    return browser.post("/login", data={"token": secret, "to": to}, headers=headers)


def test_private_models_are_there_for_those_who_signed_in(guarded, read):
    _, browser, mine, others = guarded
    unknown = browser.get("/models/org/absent")
    hidden = browser.get("/models/org/hidden")
    assert unknown.status_code == hidden.status_code == 404
    assert unknown.text.replace("absent", "hidden") == hidden.text
    assert "hidden" not in read(browser.get("/")).text
    sign_in(browser, others)
    assert browser.get("/models/org/hidden").status_code == 404
    done = sign_in(browser, mine, "/models/org/hidden")
    assert (done.status_code, done.headers["location"]) == (303, "/models/org/hidden")
    page = read(browser.get("/models/org/hidden"))
    assert "private" in page.text
    assert "ann" in page.text
    assert "org/ hidden" in read(browser.get("/")).text
    for path in ("/models/org/hidden", "/models/org/hidden/1.0.0/onnx/graph"):
        assert "private" in browser.get(path).headers["cache-control"]
    # Its files, too, and nobody else's cache keeps them.
    file = browser.get("/v1/models/org/hidden/versions/1.0.0/artifacts/onnx/files/model.onnx")
    assert file.content == b"org/hidden"
    assert "public" not in file.headers["cache-control"]
    out = browser.post("/logout", headers=OWN)
    assert out.status_code == 303
    assert browser.get("/models/org/hidden").status_code == 404


def test_the_cookie_is_kept_from_scripts_and_other_sites(guarded, zoo):
    _, browser, mine, _ = guarded
    cookie = sign_in(browser, mine).headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie
    assert "secure" not in cookie
    registry, safe = zoo(public="https://zoo.test/models")
    secret = registry.access.create("ann", {"*": Role.READ})[1]
    done = sign_in(safe, secret, headers={"Origin": "https://zoo.test"})
    assert "secure" in done.headers["set-cookie"].lower()
    assert "path=/models" in done.headers["set-cookie"].lower()
    assert done.headers["location"] == "/models/"


def test_a_cookie_alone_changes_nothing_over_the_api(guarded):
    registry, browser, _, _ = guarded
    writer = registry.access.create("bob", {"org": Role.ADMIN})[1]
    sign_in(browser, writer)
    assert browser.get("/models/org/hidden").status_code == 200
    begun = {"sha256": "0" * 64, "size": 1}
    program = {"Accept": "application/json"}
    assert browser.post("/v1/uploads", json=begun, headers=program).status_code == 401
    removed = browser.request(
        "DELETE", "/api/repos/delete", json={"name": "hidden", "organization": "org"}
    )
    assert removed.status_code == 401
    header = program | {"Authorization": f"Bearer {writer}"}
    assert browser.post("/v1/uploads", json=begun, headers=header).status_code == 201


def test_forms_of_other_sites_are_refused(guarded, read):
    _, browser, mine, _ = guarded
    for headers in (
        {"Origin": "http://evil.test"},
        {"Origin": "null"},
        {"Origin": "http://zoo.test", "Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        refused = sign_in(browser, mine, headers=headers)
        assert "You may not do this" in read(refused, 403).text
        assert "set-cookie" not in refused.headers
        assert browser.post("/logout", headers=headers).status_code == 403


def test_a_wrong_token_is_refused_in_words(guarded, read):
    _, browser, _, _ = guarded
    for token in ("", " ", "zoo_guess", "zoo_\r\nSet-Cookie: a=b", "é", "x" * 5000):
        refused = sign_in(browser, token)
        page = read(refused, 401)
        assert page.find("p", role="alert")
        assert page.find("label", **{"for": "token"})
        assert "set-cookie" not in refused.headers
        assert token.strip() == "" or token not in refused.text


def test_signing_in_leads_to_this_site_only(guarded, read):
    _, browser, mine, _ = guarded
    for to in (
        "//evil.test",
        "https://evil.test",
        "/\\evil.test",
        "evil",
        "",
        "/\r\nX: y",
        "/\t/evil",
    ):
        (field,) = read(browser.get("/login", params={"to": to})).find("input", name="to")
        assert field["value"] == "/"
        assert sign_in(browser, mine, to).headers["location"] == "/"


def test_a_token_that_was_revoked_is_forgotten(guarded, read):
    registry, browser, mine, _ = guarded
    sign_in(browser, mine)
    registry.access.revoke(1)
    answer = browser.get("/")
    page = read(answer, 401)
    assert page.find("form", action="/login")
    assert page.find("input", name="to", value="/")
    assert 'polyzoo_token=""' in answer.headers["set-cookie"]
    assert "org/ open" in read(browser.get("/")).text


def test_a_zoo_for_those_with_a_token_asks_for_it(zoo, read, add):
    registry, browser = zoo(anonymous="none")
    add(registry, "org/model")
    secret = registry.access.create("ann", {"*": Role.READ})[1]
    for path in ("/", "/models/org/model", "/jobs"):
        page = read(browser.get(path), 401)
        assert "Sign in to see this" in page.text
        assert page.find("input", name="to", value=path)
    assert read(browser.get("/login"))
    basic = base64.b64encode(f"ann:{secret}".encode()).decode()
    assert "org/ model" in read(browser.get("/", headers={"Authorization": f"Basic {basic}"})).text
    sign_in(browser, secret)
    assert "org/ model" in read(browser.get("/")).text
