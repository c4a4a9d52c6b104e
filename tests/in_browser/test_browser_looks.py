"""The label page in a real browser: what it looks like."""

from dataclasses import replace

import numpy as np
import pytest
from browsing import PHONE, check_with_axe
from labelled_run import write_metrics
from page_server import READY, as_shown, press, wait_until
from playwright.sync_api import Page, expect


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
