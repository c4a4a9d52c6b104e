"""The label page over HTTP: pairs, answers, undo."""

import uuid

import cv2
import numpy as np
import pytest
from labelled_run import LabelledRun, add_pairs, make_frames
from page_client import QUERY, Page


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
