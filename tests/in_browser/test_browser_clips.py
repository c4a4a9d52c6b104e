"""The label page in a real browser: clips and keys."""

import time

import numpy as np
import pytest
from labelled_run import add_pairs
from page_server import READY, frames, press, wait_until
from playwright.sync_api import expect

pytestmark = pytest.mark.alone


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
