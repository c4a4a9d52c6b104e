"""The page in a real browser, against a real server process."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browsing import PHONE, check_with_axe
from labelled_run import TOKENS, LabelledRun, add_pairs, make_run, write_metrics
from playwright.sync_api import Browser, BrowserContext, Page, Route, expect

from prefrl.run_status import StatusFile
from prefrl.types import Label

KEYS = {
    "ArrowLeft": "left", "ArrowRight": "right", "ArrowUp": "equal", "ArrowDown": "incomparable",
}  # fmt: skip
SERVE = """
import sys
from pathlib import Path
from labeler_ui.server import Address, listen, serve
with listen(Address(port=int(sys.argv[2]))) as listening:
    print(sys.argv[2], flush=True)
    serve(Path(sys.argv[1]), listening, "127.0.0.1", repeat_share=0.0)
"""


READY = "#stage:not(.vacant)"


class Server:
    """The page's process, which can be killed and started again."""

    def __init__(self, run: Path) -> None:
        self.run = run
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            self.port = found.getsockname()[1]
        self.start()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        path = os.pathsep.join(entry for entry in [os.getcwd(), *sys.path] if entry)
        self._process = subprocess.Popen(
            [sys.executable, "-c", SERVE, str(self.run), str(self.port)],
            env={**os.environ, "PYTHONPATH": path},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        assert self._process.stdout.readline() == f"{self.port}\n"

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()
        self._process.stdout.close()


@pytest.fixture
def run(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[LabelledRun]:
    """With twelve pairs, unless a test is parametrized by what `make_run` takes."""
    made = make_run(tmp_path / "dot", **{"pairs": 12, **getattr(request, "param", {})})
    yield made
    made.store.close()


@pytest.fixture
def server(run: LabelledRun) -> Iterator[Server]:
    started = Server(run.path)
    yield started
    started.kill()


Open = Callable[..., Page]


@pytest.fixture
def open_page(browser: Browser, server: Server) -> Iterator[Open]:
    """Opens a page in a browser of its own; no script error is tolerated."""
    contexts: list[BrowserContext] = []
    errors: list[str] = []

    def opened(name: str = "anna", practised: bool = True, **options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{server.address}/?token={TOKENS[name]}")
        if practised:
            page.click("[data-action=begin]")
            page.wait_for_selector(READY)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def shown(page: Page) -> str:
    query = page.get_attribute(f"{READY}[data-query]:not([data-query=''])", "data-query")
    assert query
    return query


def press(page: Page, key: str) -> str:
    """Answer by key; returns the query that was answered."""
    query = shown(page)
    page.keyboard.press(key)
    return query


def frames(page: Page) -> list[int]:
    """Which frame each canvas shows: films carry its number in their first pixels."""
    script = """[...document.querySelectorAll("canvas")].map(
        (canvas) => canvas.getContext("2d").getImageData(2, 2, 1, 1).data[0] / 4)"""
    return [round(number) for number in page.evaluate(script)]


def wait_until(holds: Callable[[], bool], timeout_s: float = 10.0) -> None:
    end = time.monotonic() + timeout_s
    while not holds():
        assert time.monotonic() < end, "it did not come true in time"
        time.sleep(0.02)


# --- the flow ------------------------------------------------------------------------------------


def test_a_person_opens_the_link_practises_and_answers_by_key_and_button(run, server, open_page):
    page = open_page(practised=False)
    assert page.url == f"{server.address}/"
    expect(page.locator("#help")).to_be_visible()
    page.click("[data-action=practise]")
    expect(page.locator("#notice")).to_contain_text("Practice pair 1 of 3")
    for key in ("ArrowLeft", "ArrowUp", "ArrowRight"):
        page.keyboard.press(key)
        expect(page.locator("#notice")).to_contain_text("Yes:")
    page.wait_for_function("() => document.querySelector('#stage').dataset.query")
    assert run.store.labels() == []

    given = [(press(page, key), answer) for key, answer in KEYS.items()]
    for answer in KEYS.values():
        given.append((shown(page), answer))
        page.click(f"[data-action={answer}]")
    wait_until(lambda: len(run.store.labels()) == 8)
    assert [(label.query_id, as_shown(run, label)) for label in run.store.labels()] == given
    assert all(0 < label.time_to_answer_s < 20 for label in run.store.labels())
    page.reload()
    expect(page.locator("#given")).to_have_text("8 of 20 answers")
    expect(page.locator("#help")).to_be_hidden()  # once is enough


def as_shown(run: LabelledRun, label) -> str:
    query = next(query for query in run.queries if query.id == label.query_id)
    turned = {"left": "right", "right": "left"}
    same_side = label.shown_left == query.left
    return label.answer if same_side else turned.get(label.answer, label.answer)


def test_undo_goes_back_ten_answers_even_after_a_reload(run, open_page):
    page = open_page()
    given = []
    for _ in range(10):
        page.wait_for_selector(READY)
        given.append(press(page, "ArrowLeft"))
    wait_until(lambda: run.store.counts().answered == 10)
    page.reload()
    page.wait_for_selector(READY)
    for query in reversed(given):
        page.keyboard.press("Backspace")
        page.wait_for_selector(f"#stage[data-query='{query}']")
    wait_until(lambda: run.store.counts().answered == 0)
    page.keyboard.press("ArrowUp")
    wait_until(lambda: run.store.counts().by_answer["equal"] == 1)
    assert shown(page) == given[1]


def test_undo_pressed_twenty_times_goes_back_as_far_as_it_can(run, open_page):
    add_pairs(run.store, range(12, 30))
    page = open_page()
    refused: list[str] = []
    page.on("response", lambda got: refused.append(got.url) if got.status >= 400 else None)
    for _ in range(20):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowLeft")
    wait_until(lambda: run.store.counts().answered == 20)
    for _ in range(20):
        page.keyboard.press("Backspace")
        page.wait_for_timeout(50)
    expect(page.locator("#notice")).to_contain_text("nothing to take back")
    wait_until(lambda: run.store.counts().answered == 5)
    page.wait_for_load_state("networkidle")
    assert refused == []


def test_undo_says_if_the_agent_had_learnt_from_the_answer(run, open_page):
    page = open_page()
    press(page, "ArrowLeft")
    wait_until(lambda: run.store.counts().answered == 1)
    run.store.mark_trained(run.store.changes_since(0).position)
    page.keyboard.press("Backspace")
    expect(page.locator("#notice")).to_contain_text("had learnt from that answer")


def test_a_reload_in_mid_answer_shows_the_same_pair(open_page):
    page = open_page()
    press(page, "ArrowLeft")
    before = shown(page), first_frames(page)
    page.reload()
    page.wait_for_selector(READY)
    assert (shown(page), first_frames(page)) == before


def first_frames(page: Page) -> list[str]:
    """The pictures with which both clips begin."""
    for _ in range(30):
        page.keyboard.press(",")
    assert frames(page) == [0, 0]
    return page.evaluate("[...document.querySelectorAll('canvas')].map((c) => c.toDataURL())")


def test_answers_survive_the_server_s_death_and_a_reload_and_arrive_once(run, server, open_page):
    page = open_page()
    page.wait_for_function(PREFETCHED)
    server.kill()
    given = [press(page, "ArrowLeft"), press(page, "ArrowRight")]
    expect(page.locator("#unsaved")).to_contain_text("2 answers are not saved yet")
    server.start()
    expect(page.locator("#unsaved")).to_be_hidden()
    wait_until(lambda: len(run.store.labels()) == 2)
    assert [label.query_id for label in run.store.labels()] == given
    page.reload()
    page.wait_for_selector(READY)
    assert shown(page) not in given
    assert len(run.store.labels()) == 2


# The pair on the screen and the next three, each two pictures.
PREFETCHED = """() => performance.getEntriesByType("resource")
    .filter((entry) => entry.name.endsWith(".png") && entry.responseEnd).length >= 8"""


def test_an_answer_whose_confirmation_is_lost_is_sent_again_and_stored_once(run, open_page):
    page = open_page()
    lost = []

    def lose_first(route: Route) -> None:
        if lost:
            return route.continue_()
        lost.append(route.fetch().json())
        return route.abort()

    page.route("**/api/answers", lose_first)
    query = press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")
    expect(page.locator("#unsaved")).to_be_hidden()
    assert lost == [{"stored": True, "repeated": False}]
    assert [label.query_id for label in run.store.labels()] == [query]


def test_answers_kept_by_a_closed_tab_are_sent_by_the_next(run, server, open_page):
    page = open_page()
    page.route("**/api/answers", lambda route: route.abort())
    query = press(page, "ArrowLeft")
    other = page.context.new_page()
    page.close()
    other.goto(server.address)
    wait_until(lambda: [label.query_id for label in run.store.labels()] == [query])


def test_an_answer_is_sent_such_that_it_outlives_its_tab(run, open_page):
    page = open_page()
    page.evaluate("""() => {
        const asked = window.fetch;
        window.fetch = (path, options) => {
            if (options?.method === "POST") document.title += ` ${path} ${options.keepalive}`;
            return asked(path, options);
        };
    }""")
    press(page, "ArrowLeft")
    wait_until(lambda: len(run.store.labels()) == 1)
    assert "/api/answers true" in page.title()


def test_a_closed_page_gives_its_pairs_back_unless_an_answer_is_unsent(run, server, open_page):
    page = open_page()
    page.route("**/api/answers", lambda route: route.abort())
    press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")
    page.goto(f"{server.address}/progress")
    page.wait_for_timeout(500)
    assert run.desk.ready(time.time(), "ben") == 8
    page.unroute("**/api/answers")
    page.goto(server.address)
    wait_until(lambda: len(run.store.labels()) == 1)
    page.wait_for_load_state("networkidle")
    page.goto(f"{server.address}/progress")
    wait_until(lambda: run.desk.ready(time.time(), "ben") == 11)


def test_an_answer_after_more_than_a_day_is_taken(run, open_page):
    page = open_page(practised=False)
    page.clock.install()
    page.reload()
    page.click("[data-action=begin]")
    page.wait_for_selector(READY)
    page.clock.fast_forward("25:00:00")
    press(page, "ArrowLeft")
    wait_until(lambda: len(run.store.labels()) == 1)
    assert run.store.labels()[0].time_to_answer_s == 24 * 3600


def test_a_pair_whose_answer_was_refused_comes_again(run, open_page):
    page = open_page()
    refusal = {"status": 422, "json": {"error": "it was not to be"}}
    page.route("**/api/answers", lambda route: route.fulfill(**refusal), times=1)
    query = press(page, "ArrowLeft")
    expect(page.locator("#notice")).to_contain_text("was not taken: it was not to be")
    for _ in range(12):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowLeft")
    wait_until(lambda: len(run.store.labels()) == 12)
    assert query in {label.query_id for label in run.store.labels()}


def test_two_people_answer_at_once_and_no_pair_is_answered_twice(run, open_page):
    people = [open_page("anna"), open_page("ben")]

    def all_answered() -> bool:
        for page in people:
            if page.locator(READY).count():
                page.keyboard.press("ArrowLeft")
                page.wait_for_timeout(60)
        return len(run.store.labels()) == 12

    wait_until(all_answered, 30)
    assert len({label.query_id for label in run.store.labels()}) == 12
    assert {label.labeler for label in run.store.labels()} == {"anna", "ben"}


def test_without_pairs_the_page_says_so_and_carries_on_by_itself(run, open_page):
    page = open_page()
    for _ in range(11):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowUp")
    page.wait_for_selector(READY)
    page.wait_for_timeout(100)
    painted = "performance.getEntriesByName('answer-to-frame').length"
    before = page.evaluate(painted)
    page.keyboard.press("ArrowUp")
    expect(page.locator("#vacancy")).to_contain_text("No pair is left")
    page.keyboard.press("ArrowUp")  # there is nothing to answer
    page.wait_for_timeout(100)
    assert page.evaluate(painted) == before  # no pair followed the last answer
    add_pairs(run.store, range(12, 14))
    page.wait_for_selector(READY)
    expect(page.locator("#vacancy")).to_be_hidden()
    assert run.store.counts().answered == 12


@pytest.mark.parametrize(
    ("doing", "words", "activity"),
    [("evaluating", "and the run has ended", "the run has ended"),
     (None, "and this page is closed", "agent is not running")],
)  # fmt: skip
@pytest.mark.parametrize("run", [{"pairs": 2, "budget": 2}], indirect=True)
def test_the_end_of_a_run_is_said_and_no_alarm(run, server, open_page, doing, words, activity):
    if doing:
        StatusFile(run.directory).update({"policy": doing})
    page = open_page()
    for _ in range(2):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#vacancy")).to_have_text("All answers are given. Thank you.")
    server.kill()
    expect(page.locator("#vacancy")).to_contain_text(f"All answers are given, {words}")
    expect(page.locator("#activity")).to_have_text(activity)
    expect(page.locator("#given")).to_have_text("2 of 2 answers")
    for stale in ("#unsaved", "#pace", "#left-over", "#ready"):
        expect(page.locator(stale)).to_be_hidden()


@pytest.mark.parametrize("run", [{"pairs": 2, "budget": 2}], indirect=True)
def test_an_answer_that_is_not_saved_when_the_run_ends_is_an_alarm(run, server, open_page):
    page = open_page()
    page.route("**/api/answers", lambda route: route.abort())
    press(page, "ArrowLeft")
    for query in run.queries:
        run.store.add_labels([Label(query.id, query.id, "ben", "left", 1e9, 1.0, query.left)])
    expect(page.locator("#given")).to_have_text("2 of 2 answers")
    server.kill()
    expect(page.locator("#unsaved")).to_contain_text("No connection to the run. 1 answer is not")
    expect(page.locator("#activity")).not_to_have_text("the run has ended")


def test_pairs_ready_are_those_after_the_one_on_the_screen(run, open_page):
    page = open_page()
    expect(page.locator("#ready")).to_have_text("11 pairs ready")
    for left in ("10 pairs", "9 pairs", *(f"{n} pairs" for n in range(8, 1, -1)), "1 pair"):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowLeft")
        expect(page.locator("#ready")).to_have_text(f"{left} ready")
    page.wait_for_selector(READY)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#ready")).to_have_text("the last pair ready")


def test_undo_in_the_practice_says_which_pair_is_back(open_page):
    page = open_page(practised=False)
    page.click("[data-action=practise]")
    page.keyboard.press("ArrowLeft")
    expect(page.locator("#notice")).to_contain_text("Practice pair 2 of 3")
    page.keyboard.press("Backspace")
    expect(page.locator("#notice")).to_have_text("Practice pair 1 of 3. Nothing of this is stored.")
    page.keyboard.press("Backspace")
    expect(page.locator("#notice")).to_have_text("There is nothing to take back.")


def test_a_revoked_person_is_told_and_their_answers_are_kept(run, open_page):
    page = open_page()
    run.desk.revoke_invitation("anna")
    press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("Your link has ended")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")


def test_answers_wait_while_another_run_is_on_the_port(run, server, open_page, tmp_path):
    page = open_page()
    page.wait_for_function(PREFETCHED)
    server.kill()
    other = make_run(tmp_path / "other")
    server.run = other.path
    server.start()
    query = press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("Another run, or another person, is on")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")
    server.kill()
    server.run = run.path
    server.start()
    wait_until(lambda: [label.query_id for label in run.store.labels()] == [query])
    assert other.store.labels() == []
    other.store.close()


def test_answers_wait_while_another_person_has_the_browser(run, server, open_page):
    page = open_page("anna")
    other = page.context.new_page()
    other.goto(f"{server.address}/?token={TOKENS['ben']}")
    query = press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("Another run, or another person, is on")
    assert run.store.labels() == []
    other.goto(f"{server.address}/?token={TOKENS['anna']}")
    wait_until(lambda: len(run.store.labels()) == 1)
    assert [(label.query_id, label.labeler) for label in run.store.labels()] == [(query, "anna")]


@pytest.mark.parametrize(
    ("status", "body"), [(404, "<h1>Not found</h1>"), (404, "{}"), (200, "{}"), (200, "null")]
)
def test_answers_wait_while_another_program_is_on_the_port(run, open_page, status, body):
    page = open_page()
    page.route("**/api/answers", lambda route: route.fulfill(status=status, body=body))
    query = press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")
    page.unroute("**/api/answers")
    wait_until(lambda: [label.query_id for label in run.store.labels()] == [query])


# --- clips and keys ------------------------------------------------------------------------------


def test_both_clips_play_in_step_at_fifteen_frames_a_second_and_loop(open_page):
    page = open_page()
    page.keyboard.press("r")
    seen, began = [], time.monotonic()
    while time.monotonic() < began + 2.8:  # 26 frames take 1.73 s, the hold 0.6 s
        left, right = frames(page)
        assert left == right
        seen.append((time.monotonic() - began, left))
    assert max(frame for _, frame in seen) == 25
    fast = [frame / at for at, frame in seen if 0.5 < at < 1.6]
    assert 12 < float(np.median(fast)) < 16.5
    assert seen[-1][1] < 15  # the second round


def test_pause_step_speed_and_replay(open_page):
    page = open_page()
    page.keyboard.press("Space")
    first = frames(page)
    page.wait_for_timeout(250)
    assert frames(page) == first
    for _ in range(30):
        page.keyboard.press(",")
    assert frames(page) == [0, 0]
    page.keyboard.press(".")
    page.click("[data-action=forward]")
    assert frames(page) == [2, 2]
    page.click("[data-action='speed-2']")
    expect(page.locator("[data-speed='2']")).to_have_attribute("aria-pressed", "true")
    page.keyboard.press("Space")
    page.wait_for_timeout(500)
    assert frames(page)[0] >= 12
    page.keyboard.press("1")
    expect(page.locator("[data-speed='0.5']")).to_have_attribute("aria-pressed", "true")
    page.click("[data-action=replay]")
    assert frames(page)[0] <= 2


def test_a_held_key_answers_once_and_keys_with_modifiers_not_at_all(run, open_page):
    page = open_page()
    page.keyboard.press("Control+ArrowLeft")
    page.keyboard.down("ArrowLeft")
    for _ in range(5):
        page.keyboard.down("ArrowLeft")
    page.keyboard.up("ArrowLeft")
    page.wait_for_timeout(500)
    assert len(run.store.labels()) == 1


def test_the_space_bar_presses_a_button_only_if_it_was_reached_by_keyboard(run, open_page):
    page = open_page()
    page.click("[data-action=equal]")
    page.keyboard.press("Space")
    expect(page.locator("#pause-name")).to_have_text("Play")
    page.focus("[data-action=equal]")
    page.keyboard.press("Space")
    wait_until(lambda: len(run.store.labels()) == 2)


def test_keys_answer_nothing_while_the_help_is_open(run, open_page):
    page = open_page()
    page.keyboard.press("?")
    expect(page.locator("#help")).to_be_visible()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Escape")
    expect(page.locator("#help")).to_be_hidden()
    page.wait_for_timeout(300)
    assert run.store.labels() == []


def test_who_wants_less_motion_starts_each_pair_by_hand(open_page):
    page = open_page(reduced_motion="reduce")
    page.wait_for_timeout(400)
    assert frames(page) == [0, 0]
    page.keyboard.press("Space")
    page.wait_for_timeout(2800)
    assert frames(page) == [0, 0]  # played once
    expect(page.locator("#pause-name")).to_have_text("Play")
    press(page, "ArrowLeft")
    page.wait_for_timeout(300)
    assert frames(page) == [0, 0]


def test_the_next_pair_is_painted_within_100_ms_of_the_key(run, open_page):
    add_pairs(run.store, range(12, 72))
    page = open_page()
    for _ in range(60):
        page.wait_for_selector(READY)
        page.keyboard.press("ArrowLeft")
        page.wait_for_timeout(150)
    took = page.evaluate("performance.getEntriesByName('answer-to-frame').map((m) => m.duration)")
    assert len(took) == 60
    assert float(np.percentile(took, 95)) <= 100, sorted(took)[-5:]


# --- looks ---------------------------------------------------------------------------------------


def test_clips_are_at_least_320_pixels_wide_and_everything_fits_a_laptop(open_page):
    page = open_page(viewport={"width": 1280, "height": 720})
    boxes = page.evaluate(BOXES)
    assert min(width for _, _, width, _ in boxes) >= 320
    assert boxes[0][1] == boxes[1][1]  # side by side
    assert page.evaluate("document.documentElement.scrollHeight") <= 720


BOXES = """[...document.querySelectorAll("canvas")].map((canvas) => {
    const { x, y, width, height } = canvas.getBoundingClientRect();
    return [x, y, width, height];
})"""


LYING = {**PHONE, "viewport": {"width": 740, "height": 360}}


@pytest.mark.parametrize(
    "run",
    [{"size": (210, 160)}, {"size": (160, 160)}, {"size": (160, 400)}],
    ids=["tall", "square", "wide"],
    indirect=True,
)
@pytest.mark.parametrize("phone", [PHONE, LYING], ids=["standing", "lying"])
def test_on_a_phone_both_clips_and_all_buttons_are_seen_at_once(run, open_page, phone):
    page = open_page(**phone)
    width, height = phone["viewport"].values()
    (x0, y0, w0, h0), (x1, y1, w1, h1) = page.evaluate(BOXES)
    assert (w0, h0) == pytest.approx((w1, h1), abs=0.1)
    aspect = page.locator("canvas").first.evaluate("(canvas) => canvas.width / canvas.height")
    assert w0 / h0 == pytest.approx(aspect, rel=0.01)
    assert max(w0, h0) >= 210  # as large as a frame of Atari is at least
    assert y1 >= y0 + h0 if phone is PHONE else (x1 >= x0 + w0 and y0 == y1)
    for button in page.locator("#answers button, #playback button").all():
        box = button.bounding_box()
        assert box is not None
        assert box["height"] >= 40
        assert box["x"] + box["width"] <= width
        assert box["y"] + box["height"] <= height
    root = "[document.documentElement.scrollWidth, document.documentElement.scrollHeight]"
    assert page.evaluate(root) == [width, height]


def test_the_help_of_a_phone_speaks_of_what_is_on_it(open_page):
    page = open_page(practised=False, **PHONE)
    words = page.inner_text("#help")
    assert "the upper clip is better" in words
    assert "Undo" in words
    for absent in ("left clip", "right clip", "←", "⌫", "Esc"):
        assert absent not in words
    lying = open_page(practised=False, **LYING)
    assert "the left clip is better" in lying.inner_text("#help")


def test_the_help_tells_how_to_close_it_by_key_and_stays_away_then(run, open_page):
    page = open_page(practised=False)
    expect(page.locator("#help")).to_contain_text("Esc closes it, and the keys work")
    page.keyboard.press("Escape")
    press(page, "ArrowLeft")
    wait_until(lambda: len(run.store.labels()) == 1)
    page.reload()
    page.wait_for_selector(READY)
    expect(page.locator("#help")).to_be_hidden()


def test_on_a_phone_buttons_and_swipes_answer(run, open_page):
    page = open_page(**PHONE)
    page.tap("[data-action=left]")
    swipe(page, 260, 100)
    swipe(page, 100, 260)
    swipe(page, 150, 180)  # too short to mean anything
    wait_until(lambda: len(run.store.labels()) == 3)
    page.wait_for_timeout(300)
    assert [as_shown(run, label) for label in run.store.labels()] == ["left", "left", "right"]


def swipe(page: Page, start: int, end: int) -> None:
    touch = page.context.new_cdp_session(page)
    places = np.linspace(start, end, 5)
    touch.send("Input.dispatchTouchEvent", touched("touchStart", start))
    for x in places[1:]:
        touch.send("Input.dispatchTouchEvent", touched("touchMove", float(x)))
    touch.send("Input.dispatchTouchEvent", {"type": "touchEnd", "touchPoints": []})
    touch.detach()


def touched(kind: str, x: float) -> dict:
    return {"type": kind, "touchPoints": [{"x": x, "y": 320}]}


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious(run, server, open_page, theme, size):
    write_metrics(run.directory)
    page = open_page(practised=False, color_scheme=theme, **size)
    check_with_axe(page)
    page.click("[data-action=begin]")
    page.wait_for_selector(READY)
    press(page, "ArrowLeft")
    page.wait_for_timeout(800)  # the button's light has gone out
    check_with_axe(page)
    page.goto(f"{server.address}/progress")
    check_with_axe(page)


def test_the_table_of_people_fits_a_phone(run, server, open_page):
    run.desk.add_invitation("Bartholomew of the long name", "z" * 43)
    page = open_page(**PHONE)
    press(page, "ArrowLeft")
    wait_until(lambda: len(run.store.labels()) == 1)
    (label,) = run.store.labels()
    name = "Bartholomew of the long name"
    run.store.add_labels([replace(label, id="other", labeler=name)])
    page.goto(f"{server.address}/progress")
    expect(page.locator(".people")).to_contain_text(name)
    scroll = page.locator(".scroll")
    assert scroll.evaluate("(box) => box.scrollWidth <= box.clientWidth")


def test_a_chosen_theme_stays(open_page):
    page = open_page(color_scheme="light")
    background = "getComputedStyle(document.body).backgroundColor"
    light = page.evaluate(background)
    page.click("#theme")
    dark = page.evaluate(background)
    assert dark != light
    page.reload()
    assert page.evaluate(background) == dark


def test_the_progress_page_grows_by_itself(run, server, open_page):
    page = open_page()
    page.clock.install()
    page.goto(f"{server.address}/progress")
    expect(page.locator("svg")).to_have_count(0)
    write_metrics(run.directory)
    page.clock.run_for(11_000)
    expect(page.locator("svg[role=img]")).to_have_count(6)
    expect(page.get_by_role("img", name="Validation accuracy: ")).to_be_visible()
