"""The label page over HTTP: the figures that it shows."""

import json

import pytest
from labelled_run import TOKENS, add_pairs, make_run, write_metrics
from page_client import PORT, Page

from labeler_ui.app import create_app
from labeler_ui.settings import Settings
from prefrl.run_directory import write_json
from prefrl.run_status import FITTING, WAITING, StatusFile


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
