import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from flask.testing import FlaskClient
from labelled_run import TOKENS, LabelledRun, add_pairs, make_frames, make_run, write_metrics

import labeler_ui
from labeler_ui.app import create_app
from labeler_ui.settings import Settings
from prefrl.labels import people
from prefrl.labels.codec import StoreError
from prefrl.run_directory import write_json
from prefrl.run_status import FITTING, WAITING, StatusFile

PORT = 5000
DESCRIPTION = Path(labeler_ui.__file__).parent / "openapi.yaml"
HOST = f"http://127.0.0.1:{PORT}"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Page:
    """One page of one person: what the page's scripts do."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.client = client
        self.session = str(uuid.uuid4())
        client.set_cookie(f"prefrl_{PORT}", token, domain="127.0.0.1")

    def post(self, path: str, **body):
        return self.client.post(path, json=body, base_url=HOST, headers=SAME_ORIGIN)

    def get(self, path: str, **headers):
        return self.client.get(path, base_url=HOST, headers=headers, buffered=True)

    def lease(self, n: int = 4) -> list[dict]:
        response = self.post("/api/leases", session=self.session, n=n)
        assert response.status_code == 200, response.text
        return response.json["pairs"]

    def answer(self, query: str, answer: str = "left", id: str | None = None):
        return self.post(
            "/api/answers", id=id or str(uuid.uuid4()), session=self.session, query=query,
            answer=answer, time_to_answer_s=1.5,
        )  # fmt: skip

    def undo(self, query: str, id: str | None = None):
        return self.post("/api/undo", id=id or str(uuid.uuid4()), session=self.session, query=query)


@pytest.fixture
def run(tmp_path: Path) -> Iterator[LabelledRun]:
    made = make_run(tmp_path / "dot")
    yield made
    made.store.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def app(run, clock):
    return create_app(run.path, Settings(port=PORT, clock=clock, repeat_share=0.0))


@pytest.fixture
def page(app) -> Page:
    return Page(app.test_client(), TOKENS["anna"])


@pytest.fixture
def ben(app) -> Page:
    return Page(app.test_client(), TOKENS["ben"])


# --- who gets in ---------------------------------------------------------------------------------


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


# --- what is sent --------------------------------------------------------------------------------

UUID = "00000000-0000-4000-8000-000000000000"
QUERY = "0" * 32
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


# --- pairs, answers, undo ------------------------------------------------------------------------


def test_a_page_gets_pairs_whose_pictures_are_the_films(run, page):
    pairs = page.lease(2)
    assert [pair["query"] for pair in pairs] == [query.id for query in run.queries[:2]]
    assert {pair["lease_s"] for pair in pairs} == {120.0}
    seed_of = {
        id: 2 * number + side
        for number, query in enumerate(run.queries)
        for side, id in enumerate((query.left, query.right))
    }
    for film in (pairs[0]["left"], pairs[0]["right"]):
        frames = unpack(page, film)
        assert np.array_equal(frames, make_frames(seed_of[film["clip"]], (210, 160)))


def unpack(page: Page, film: dict) -> np.ndarray:
    """The frames of a film, cut out of its sheets as the page does."""
    frames: list[np.ndarray] = []
    for address in film["sheets"]:
        response = page.get(address)
        assert response.mimetype == "image/png"
        assert "immutable" in response.headers["Cache-Control"]
        picture = cv2.imdecode(np.frombuffer(response.data, np.uint8), cv2.IMREAD_COLOR)
        assert max(picture.shape) <= 4096
        for y in range(0, picture.shape[0], film["height"]):
            row = picture[y : y + film["height"], :, ::-1]
            frames += np.split(row, row.shape[1] // film["width"], axis=1)
    return np.stack(frames[: film["frames"]])


def test_the_side_on_which_a_clip_is_shown_is_drawn(page, run):
    add_pairs(run.store, range(6, 60), (8, 8))
    shown = {pair["query"]: pair["left"]["clip"] for pair in page.lease(20)}
    queries = {query.id: query for query in run.queries}
    as_stored = [shown[id] == queries[id].left for id in shown]
    assert 2 <= sum(as_stored) <= 18


@pytest.mark.parametrize("said", ["left", "right", "equal", "incomparable"])
def test_an_answer_is_about_what_was_shown_and_stored_about_the_query(run, page, clock, said):
    for pair in page.lease(6):
        clock.now += 3
        assert page.answer(pair["query"], said).json == {"stored": True, "repeated": False}
        label = run.store.labels()[-1]
        query = next(q for q in all_queries(run) if q.id == pair["query"])
        chosen = {"left": query.left, "right": query.right}.get(label.answer, label.answer)
        assert chosen == (pair[said]["clip"] if said in pair else said)
        assert label.shown_left == pair["left"]["clip"]
        assert (label.labeler, label.answered_at) == ("anna", clock.now)
        assert (label.time_to_answer_s, label.snapshot_version) == (1.5, 3)


def all_queries(run: LabelledRun):
    return run.store.pending("nobody")


def test_an_answer_sent_twice_is_stored_once(run, page):
    query = page.lease(1)[0]["query"]
    id = str(uuid.uuid4())
    assert page.answer(query, id=id).json == {"stored": True, "repeated": False}
    assert page.answer(query, id=id).json == {"stored": True, "repeated": True}
    assert len(run.store.labels()) == 1
    assert page.answer(query, "right", id=id).status_code == 409


def test_an_unknown_pair_is_refused(page):
    for response in (page.answer(QUERY), page.undo(QUERY)):
        assert response.status_code == 404
        assert response.json["error"]


def test_a_pair_that_is_lent_to_another_is_not_yours(page, ben, clock):
    query = page.lease(1)[0]["query"]
    assert query not in {pair["query"] for pair in ben.lease(4)}
    assert ben.answer(query).status_code == 404  # that page never had it
    clock.now += 121
    assert query in {pair["query"] for pair in ben.lease(4)}
    refusal = page.answer(query)
    assert refusal.status_code == 409
    assert "no longer yours" in refusal.json["error"]


def test_an_answer_after_the_lease_counts_while_nobody_else_has_the_pair(run, page, clock):
    query = page.lease(1)[0]["query"]
    clock.now += 5000
    assert page.answer(query).status_code == 200
    assert len(run.store.labels()) == 1


def test_a_reload_shows_the_same_pairs_and_sides(page):
    before = page.lease(4)
    assert page.lease(4) == before
    page.post("/api/release", session=page.session)
    assert page.lease(4) == before


def test_a_closed_page_gives_its_pairs_back(page, ben):
    mine = page.lease(6)
    assert ben.lease(1) == []
    assert page.post("/api/release", session=page.session).json == {"released": 6}
    assert [pair["query"] for pair in ben.lease(6)] == [pair["query"] for pair in mine]


def test_undo_brings_the_pair_back_and_the_new_answer_counts(run, page):
    pair = page.lease(1)[0]
    page.answer(pair["query"], "left")
    done = page.undo(pair["query"]).json
    assert done == {"withdrawn": True, "already_trained": False, "pair": pair}
    assert run.store.counts().answered == 0
    page.answer(pair["query"], "equal")
    assert run.store.counts().answered == 1
    assert [label.answer for label in run.store.labels()][1:] == ["withdrawn", "equal"]


def test_undo_sent_twice_withdraws_once(run, page):
    query = page.lease(1)[0]["query"]
    page.answer(query)
    id = str(uuid.uuid4())
    first, second = page.undo(query, id), page.undo(query, id)
    assert first.json == second.json
    assert len(run.store.labels()) == 2


def test_undo_says_whether_the_answer_was_trained_on(run, page):
    query = page.lease(1)[0]["query"]
    page.answer(query)
    run.store.mark_trained(run.store.changes_since(0).position)
    assert page.undo(query).json["already_trained"] is True


def test_what_was_not_answered_cannot_be_undone(page):
    refusal = page.undo(page.lease(1)[0]["query"])
    assert refusal.status_code == 409
    assert refusal.json["error"]


def test_pictures_that_are_not_there_are_not_found(page):
    clip = page.lease(1)[0]["left"]["clip"]
    for path in (f"{clip}/1.png", f"{'0' * 32}/0.png", f"{clip}/{'9' * 30}.png"):
        response = page.get(f"/api/clips/{path}")
        assert response.status_code == 404, path
        assert response.json["error"]


# --- figures -------------------------------------------------------------------------------------


def test_the_status_counts_answers_and_the_pace_of_all(page, ben, clock):
    assert page.get("/api/status").json == {
        "given": 0, "budget": 20, "answers_per_hour": None, "seconds_left": None, "ready": 6,
        "activity": "stopped",
    }  # fmt: skip
    for person in (page, ben, page):
        person.answer(person.lease(1)[0]["query"])
        clock.now += 10
    status = page.get("/api/status").json
    assert (status["given"], status["ready"]) == (3, 3)
    assert status["answers_per_hour"] == round(2 * 3600 / 30)
    assert status["seconds_left"] == 17 * 15
    clock.now += 601
    assert page.get("/api/status").json["answers_per_hour"] is None


def test_the_agent_s_activity_is_shown(run):
    app = create_app(run.path, Settings(port=PORT))
    page = Page(app.test_client(), TOKENS["anna"])
    status, seen = StatusFile(run.directory), []
    for figures in (
        {"policy": "acting at random"}, {"policy": WAITING}, {"reward": FITTING},
        {"reward": "looking for answers"}, {"policy": "learning"},
    ):  # fmt: skip
        status.update(figures)
        seen.append(page.get("/api/status").json["activity"])
    assert seen == ["training", "waiting", "training", "waiting", "training"]
    write_json(run.directory.result, {"status": "finished"})
    assert page.get("/api/status").json["activity"] == "stopped"


def test_the_agent_does_not_wait_once_the_last_answer_is_given(tmp_path):
    run = make_run(tmp_path / "dot", pairs=2, budget=2)
    page = Page(create_app(run.path, Settings(port=PORT)).test_client(), TOKENS["anna"])
    StatusFile(run.directory).update({"policy": WAITING})
    for activity in ("waiting", "training"):
        page.answer(page.lease(1)[0]["query"])
        assert page.get("/api/status").json["activity"] == activity
    run.store.close()


def test_pairs_that_were_asked_beyond_the_budget_are_counted(tmp_path):
    run = make_run(tmp_path / "dot", pairs=3, budget=2)
    page = Page(create_app(run.path, Settings(port=PORT)).test_client(), TOKENS["anna"])
    for given in (1, 2, 3):
        page.answer(page.lease(1)[0]["query"])
        status = page.get("/api/status").json
        assert (status["given"], status["budget"]) == (given, 3)
    assert "3 of 3 answers are given" in page.get("/progress").text
    run.store.close()


def test_a_repeat_asks_again_what_was_answered(run, clock):
    add_pairs(run.store, range(6, 20), (8, 8))
    app = create_app(run.path, Settings(port=PORT, clock=clock, repeat_share=1.0))
    page = Page(app.test_client(), TOKENS["anna"])
    for _ in range(15):
        page.answer(page.lease(1)[0]["query"])
    (figures,) = page.get("/api/progress").json["labelers"]
    assert figures["repeats"] > 0
    assert "Answers to pairs that came a second time are counted" in page.get("/progress").text


def test_the_progress_page_draws_what_the_run_measured(run, page):
    empty = page.get("/progress").text
    assert empty.count("No figures yet") == 6
    assert "No video yet" in empty
    write_metrics(run.directory)
    run.directory.videos.mkdir()
    for name in ("step-100", "step-200", "step-300.partial", "replay-last"):
        (run.directory.videos / f"{name}.mp4").write_bytes(name.encode())
    page.answer(page.lease(1)[0]["query"], "left")
    text = page.get("/progress").text
    assert text.count("<polyline") == 6
    assert "True return, training: " in text
    assert "1 of 20 answers" in text
    assert 'scope="row">anna' in text
    assert 'src="/videos/step-200.mp4?' in text
    assert page.get("/videos/step-200.mp4").data == b"step-200"
    assert page.get("/videos/step-200.mp4", Range="bytes=1-1").data == b"t"


def test_a_video_that_shows_true_rewards_is_not_for_those_who_label(run, page):
    run.directory.videos.mkdir()
    (run.directory.videos / "replay-last.mp4").write_bytes(b"curves")
    assert "No video yet" in page.get("/progress").text
    assert page.get("/videos/replay-last.mp4").status_code == 404


@pytest.mark.parametrize("name", ["none", "..%2flabels", "%2e%2e/config"])
def test_only_videos_are_served(page, run, name):
    run.directory.videos.mkdir()
    assert page.get(f"/videos/{name}.mp4").status_code == 404


def test_torn_and_growing_metrics_are_read_as_far_as_they_go(run, page):
    write_metrics(run.directory, lines=3)
    file = run.directory.metrics / "policy.jsonl"
    file.write_text(file.read_text() + '{"step": 99999, "rollout/true_re')
    curves = {curve["name"]: curve for curve in page.get("/api/progress").json["curves"]}
    assert [step for step, _ in curves["true_return"]["points"]] == [1024, 2048, 3072]
    file.write_text(json.dumps({"step": 5, "rollout/true_return": 2.0}) + "\n")
    curves = {curve["name"]: curve for curve in page.get("/api/progress").json["curves"]}
    assert curves["true_return"]["points"] == [[5, 2]]


def test_no_true_reward_of_a_clip_reaches_the_browser(page):
    pairs = page.lease(4)
    paths = ["/", "/progress", "/api/progress", "/api/status"]
    paths += [address for pair in pairs for address in pair["left"]["sheets"]]
    for path in paths:
        assert b"7654" not in page.get(path).data, path
    assert "7654" not in json.dumps(pairs)
    assert set(pairs[0]["left"]) == {
        "clip", "sheets", "width", "height", "columns", "rows", "frames", "frames_per_second",
    }  # fmt: skip


def test_the_page_asks_the_run_s_own_question_and_escapes_it(run):
    settings = Settings(port=PORT, instructions="Which <b>one</b> is calmer?")
    page = Page(create_app(run.path, settings).test_client(), TOKENS["anna"])
    text = page.get("/").text
    assert "Which &lt;b&gt;one&lt;/b&gt; is calmer?" in text
    assert "<b>one" not in text


def test_the_page_loads_nothing_from_another_host_and_runs_no_inline_script(page):
    for path in ("/", "/progress"):
        text = page.get(path).text
        assert "://" not in text
        assert "<script>" not in text
        assert "style=" not in text
        assert "onclick" not in text
