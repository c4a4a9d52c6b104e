"""The label page over HTTP: what may be sent."""

import pytest
from page_client import DESCRIPTION, HOST, QUERY, SAME_ORIGIN

from prefrl.labels.codec import StoreError

UUID = "00000000-0000-4000-8000-000000000000"
ANSWER = {"id": UUID, "session": UUID, "query": QUERY, "answer": "left", "time_to_answer_s": 1.0}


@pytest.mark.parametrize(
    ("path", "body", "reason"),
    [
        ("leases", {"session": UUID}, "n is missing"),
        ("leases", {"n": 4}, "session is missing"),
        ("leases", {"session": UUID, "n": 0}, "n: expected"),
        ("leases", {"session": UUID, "n": 21}, "n: expected"),
        ("leases", {"session": UUID, "n": 1.5}, "n: expected"),
        ("leases", {"session": UUID, "n": True}, "n: expected"),
        ("leases", {"session": UUID, "n": "4"}, "n: expected"),
        ("leases", {"session": UUID, "n": 4, "labeler": "ben"}, "unknown field 'labeler'"),
        ("leases", {"session": "mine", "n": 4}, "session: expected a UUID"),
        ("leases", [], "expected an object"),
        ("release", {"session": None}, "session: expected a UUID"),
        ("answers", ANSWER | {"answer": "both"}, "answer: expected one of left"),
        ("answers", ANSWER | {"answer": ["left"]}, "answer: expected one of left"),
        ("answers", ANSWER | {"answer": "withdrawn"}, "answer: expected one of left"),
        ("answers", ANSWER | {"time_to_answer_s": -1}, "time_to_answer_s: expected"),
        ("answers", ANSWER | {"time_to_answer_s": 1e300}, "time_to_answer_s: expected"),
        ("answers", ANSWER | {"id": UUID.replace("0", "G")}, "id: expected a UUID"),
        ("answers", ANSWER | {"id": UUID + "\n"}, "id: expected a UUID"),
        ("answers", ANSWER | {"query": "Q"}, "query: expected 32"),
        ("undo", {"id": UUID, "session": UUID}, "query is missing"),
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_with_a_reason(page, path, body, reason):
    response = page.client.post(f"/api/{path}", json=body, base_url=HOST, headers=SAME_ORIGIN)
    assert response.status_code == 422
    assert reason in response.json["error"]


@pytest.mark.parametrize(
    ("data", "kind", "code"),
    [
        (b"{", "application/json", 400),
        (b"\xff", "application/json", 400),
        (b"[" * 60_000, "application/json", 400),
        (b'{"session": "x", "n": NaN}', "application/json", 400),
        (b'{"session": "\\ud800", "n": 1}', "application/json", 422),
        (b'{"n": 1e999, "session": "%s"}' % UUID.encode(), "application/json", 422),
        (b"{}", "text/plain", 415),
        (b"n=4", "application/x-www-form-urlencoded", 415),
        (b" " * 65_537, "application/json", 413),
    ],
)
def test_what_is_no_small_json_is_refused(page, data, kind, code):
    response = page.client.post(
        "/api/leases", data=data, content_type=kind, base_url=HOST, headers=SAME_ORIGIN
    )
    assert response.status_code == code
    assert response.json["error"]


@pytest.mark.parametrize("path", ["/api/leases", "/api/answers", "/api/undo", "/api/release"])
def test_a_get_changes_nothing(page, path):
    response = page.get(path)
    assert response.status_code == 405
    assert response.headers["Allow"]
    assert response.json["error"]


def test_a_broken_store_is_no_answer_and_says_nothing_of_paths(page, monkeypatch):
    def broken(*_: object, **__: object) -> None:
        raise StoreError("/home/someone/labels.sqlite3: disk I/O error")

    monkeypatch.setattr("prefrl.labels.desk.LabelDesk.lease", broken)
    response = page.post("/api/leases", session=page.session, n=1)
    assert response.status_code == 503
    assert f"503 {response.json['error']}" in DESCRIPTION.read_text()
    assert "/home" not in response.json["error"]
