"""The label page in a real browser: answers, and what becomes of them."""

import time

import pytest
from labelled_run import TOKENS, add_pairs, make_run
from page_server import KEYS, READY, as_shown, frames, press, shown, wait_until
from playwright.sync_api import Page, Route, expect

from prefrl.run_status import StatusFile
from prefrl.types import Label

CONFIRMED = "() => !Object.keys(localStorage).some((key) => key.includes(':outbox:'))"


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


@pytest.mark.parametrize("answered_first", [True, False])
def test_undo_stands_even_if_pairs_asked_for_before_it_come_after_it(open_page, answered_first):
    page = open_page()
    page.wait_for_load_state("networkidle")
    held = []

    def ask_for_pairs() -> None:
        page.route("**/api/leases", lambda route: held.append((route, route.fetch())), times=1)
        page.evaluate("dispatchEvent(new Event('pageshow'))")
        wait_until(lambda: page.wait_for_timeout(20) or bool(held))

    if not answered_first:
        ask_for_pairs()
    query = press(page, "ArrowLeft")
    page.wait_for_function(CONFIRMED)
    if answered_first:
        page.wait_for_load_state("networkidle")
        ask_for_pairs()
    page.keyboard.press("Backspace")
    page.wait_for_function(CONFIRMED)
    route, response = held[0]
    with page.expect_request("**/api/leases"):  # the page asks anew once it has dealt with this
        route.fulfill(response=response)
    assert shown(page) == query


def test_a_pair_whose_answer_is_unsent_does_not_come_again_after_a_reload(run, open_page):
    page = open_page()
    page.route("**/api/answers", lambda route: route.abort())
    query = press(page, "ArrowLeft")
    expect(page.locator("#unsaved")).to_contain_text("1 answer is not saved yet")
    page.reload()
    page.wait_for_selector(READY)
    assert shown(page) != query
    page.unroute("**/api/answers")
    wait_until(lambda: [label.query_id for label in run.store.labels()] == [query])


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
    page.wait_for_function(CONFIRMED)  # an answer can be counted before the browser is told so
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
