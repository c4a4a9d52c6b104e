"""The label page over HTTP: who gets in."""

import re

import pytest
from labelled_run import TOKENS
from page_client import HOST, PORT, Page

from prefrl.labels import people


def test_the_link_becomes_a_cookie_and_leaves_the_address(app):
    client = app.test_client()
    response = client.get(f"/?token={TOKENS['anna']}", base_url=HOST)
    assert response.status_code == 303
    assert response.location == "/"
    cookie = response.headers["Set-Cookie"]
    assert cookie.startswith(f"prefrl_{PORT}={TOKENS['anna']};")
    assert "HttpOnly" in cookie
    assert "SameSite=Strict" in cookie
    assert client.get("/", base_url=HOST).status_code == 200


def test_a_link_opened_from_another_site_does_not_redirect_because_the_cookie_would_be_withheld(
    app,
):
    response = app.test_client().get(
        f"/?token={TOKENS['anna']}", base_url=HOST, headers={"Sec-Fetch-Site": "cross-site"}
    )
    assert response.status_code == 200
    assert response.headers["Refresh"] == "0; url=/"
    assert "Set-Cookie" in response.headers


@pytest.mark.parametrize("path", ["/", "/progress", "/api/status", "/api/progress", "/nothing"])
def test_nobody_gets_in_without_a_token(app, path):
    client = app.test_client()
    assert client.get(path, base_url=HOST).status_code == 401
    client.set_cookie(f"prefrl_{PORT}", "c" * 43, domain="127.0.0.1")
    assert client.get(path, base_url=HOST).status_code == 401


def test_a_wrong_token_sets_no_cookie(app):
    response = app.test_client().get("/?token=wrong", base_url=HOST)
    assert response.status_code == 401
    assert "Set-Cookie" not in response.headers
    assert "open the link" in response.text


def test_the_token_in_the_address_opens_only_the_first_page(app):
    client = app.test_client()
    assert client.get(f"/api/status?token={TOKENS['anna']}", base_url=HOST).status_code == 401


def test_a_revoked_invitation_ends_at_once(run, page):
    assert page.get("/api/status").status_code == 200
    run.desk.revoke_invitation("anna")
    refusal = page.get("/api/status")
    assert refusal.status_code == 401
    assert refusal.json["error"]


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:5000", "127.0.0.1.evil.example", "localhost@evil.example", "",
     "127.0.0.1:port", "[::1", "127.0.0.1/x", "0.0.0.0:5000"],
)  # fmt: skip
def test_a_foreign_host_name_is_refused_before_anything_else(app, host, monkeypatch):
    def nothing_else(*_: object) -> None:
        raise AssertionError

    monkeypatch.setattr(app, "full_dispatch_request", nothing_else)
    response = app.test_client().get("/static/base.css", headers={"Host": host}, buffered=True)
    assert response.status_code == 421
    assert "host name" in response.json["error"]


@pytest.mark.parametrize("host", ["127.0.0.1:5000", "localhost:5000", "LOCALHOST", "[::1]:5000"])
def test_this_machine_s_own_names_are_taken(app, host):
    response = app.test_client().get("/static/base.css", headers={"Host": host}, buffered=True)
    assert response.status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "http://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://127.0.0.1:5001"},
        {"Sec-Fetch-Site": "cross-site", "Origin": HOST},
    ],
)
@pytest.mark.parametrize("path", ["leases", "release", "answers", "undo"])
def test_only_the_page_itself_changes_anything(page, headers, path):
    response = page.client.post(f"/api/{path}", json={}, base_url=HOST, headers=headers)
    assert response.status_code == 403
    assert response.json["error"]


def test_an_old_browser_proves_its_origin_otherwise(page):
    body = {"session": page.session, "n": 1}
    response = page.client.post("/api/leases", json=body, base_url=HOST, headers={"Origin": HOST})
    assert response.status_code == 200


@pytest.mark.parametrize("path", ["/", "/progress", "/api/status", "/static/base.css", "/nothing"])
def test_every_answer_forbids_frames_and_foreign_sources_and_shares_with_no_origin(page, path):
    response = page.get(path, Origin="http://evil.example")
    policy = response.headers["Content-Security-Policy"]
    assert "default-src 'self'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    assert response.headers["Referrer-Policy"] == "no-referrer"
    assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


def test_whoever_asks_too_often_waits_and_others_do_not(page, ben, clock):
    while (response := page.get("/api/status")).status_code == 200:
        pass
    assert response.status_code == 429
    assert response.json["error"]
    assert ben.get("/api/status").status_code == 200
    clock.now += 1
    assert page.get("/api/status").status_code == 200


def test_strangers_are_slowed_down_too(app):
    client = app.test_client()
    codes = [client.get("/?token=guess", base_url=HOST).status_code for _ in range(210)]
    assert codes[0] == 401
    assert codes[-1] == 429


def test_a_stranger_s_flood_asks_the_store_no_more_than_the_rate_allows(app, page, monkeypatch):
    assert page.get("/api/status").status_code == 200
    looked_up: list[str] = []
    known = people.name_behind

    def counted(connection, token):
        looked_up.append(token)
        return known(connection, token)

    monkeypatch.setattr(people, "name_behind", counted)
    client = app.test_client()
    for number in range(400):
        client.get(f"/?token=guess{number}", base_url=HOST)
    assert len(looked_up) < 210
    assert page.get("/api/status").status_code == 200  # though it comes from the same address


def test_a_page_that_was_made_for_another_run_or_person_is_shut_out(run, app, page):
    run.desk.add_invitation("Zoë: 2", "z" * 43)
    zoe = Page(app.test_client(), "z" * 43)
    key = re.findall('data-run="([^"]+)"', page.get("/").text)[0]
    for person, whose, status in (
        (page, f"{key}:anna", 200), (page, f"{key}:ben", 401), (page, "0123456789abcdef:anna", 401),
        (page, "", 401), (zoe, f"{key}:Zo%C3%AB%3A%202", 200), (zoe, f"{key}:anna", 401),
    ):  # fmt: skip
        response = person.get("/api/status", **{"X-Prefrl-Page": whose})
        assert response.status_code == status, whose
        assert status == 200 or "another run, or another person" in response.json["error"]
