"""The archive and a replay in a real browser, served by the commands that people use."""

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest
from archived_run import RESULT, archived, write_figures
from browsing import PHONE, check_fits_a_phone, check_with_axe, served
from labelled_run import make_clip, make_frames, make_run
from PIL import Image
from playwright.sync_api import Browser, Page, expect
from untrained_run import untrained_run

from prefrl.labels.sheets import make_sheets
from prefrl.labels.store import LabelStore
from prefrl.run_directory import RunDirectory, write_json
from prefrl.run_status import StatusFile
from prefrl.runs.replay import play
from prefrl.runs.trained import load_trained
from prefrl.runs.video import write_mp4
from prefrl.types import Film

Open = Callable[..., Page]
STEPS, LENGTH = 20, 8
EVIL = "<img src=x onerror=\"document.title='caught'\">"


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Open]:
    """Opens a link in a browser of its own; no script error is tolerated."""
    contexts, errors = [], []

    def opened(link: str, **options) -> Page:
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options})
        context.set_default_timeout(10_000)
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(link)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


# --- the archive ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "runs"
    for seed in range(4):
        note = "Does the dot reach the middle with 200 labels?"
        run = archived(path / f"dot-{seed}", note=note, seed=seed)
        write_figures(run, [seed + 70 * (1 - np.exp(-i / 8)) for i in range(40)])
        write_json(run.result, {**RESULT, "seed": seed, "true_return": {"mean": 70.0 + seed}})
    few = archived(path / "few", note="And with 20?", labels=20, result={
        **RESULT, "labels": 20, "true_return": {"mean": 9.5},
    })  # fmt: skip
    write_figures(few, [i / 4 for i in range(40)])
    for name in ("gone", "live"):
        archived(path / name, result=None)
    evil = archived(path / "evil", note=EVIL, result=None)
    write_json(evil.config, {"env": {"id": EVIL}, EVIL: EVIL})
    made = make_run(path / "people", pairs=3, size=(8, 8))
    made.store.close()
    write_figures(made.directory, [1.0, 2.0])
    made.directory.log.write_text(
        f"2026-01-01T00:00:00+00:00  warning: {'a long line ' * 30}\n" * 40
    )
    frames = [np.full((64, 64, 3), 4 * i, np.uint8) for i in range(20)]
    write_mp4(made.directory.videos / "evaluation.mp4", frames, 15)
    return path


@pytest.fixture(scope="module")
def link(folder: Path) -> Iterator[str]:
    with served("serve", folder) as printed:
        yield printed


def names(page: Page) -> list[str]:
    return page.locator("tbody tr:visible th a").all_inner_texts()


def test_runs_are_found_sorted_and_opened(link, open_page):
    page = open_page(link)
    assert "token" not in page.url
    expect(page.get_by_role("heading", name="Runs")).to_be_visible()
    expect(page.locator("#count")).to_have_text("9 runs")
    for name, sparks in (("few", 1), ("gone", 0)):
        row = page.locator("tbody tr", has=page.get_by_role("link", name=name))
        expect(row.locator("svg.spark")).to_have_count(sparks)
    page.click("[data-sort=return]")
    assert names(page)[:3] == ["few", "dot-0", "dot-1"]
    page.click("[data-sort=return]")
    assert names(page)[:2] == ["dot-3", "dot-2"]
    # What has no return comes last.
    assert set(names(page)[5:]) == {"evil", "gone", "live", "people"}
    page.fill("#find", "MIDDLE dot")
    assert names(page) == ["dot-3", "dot-2", "dot-1", "dot-0"]
    expect(page.locator("#count")).to_have_text("4 of 9 runs")
    page.click("text=dot-1")
    expect(page.get_by_role("heading", name="dot-1")).to_be_visible()
    expect(page.get_by_role("img", name="True return, training: 1 at step 1,000")).to_be_visible()


def test_chosen_runs_are_compared_and_the_choice_is_kept_on_the_way_back(link, open_page):
    page = open_page(link)
    expect(page.locator("#compare")).to_be_disabled()
    for name in ("dot-0", "dot-1", "dot-2", "dot-3", "few"):
        page.check(f"[aria-label='Choose {name}']")
    expect(page.locator("#chosen")).to_have_text("5 runs are chosen.")
    page.click("#compare")
    expect(page.get_by_role("heading", name="Comparison")).to_be_visible()
    charts = page.get_by_role("img", name=re.compile("True return against"))
    expect(charts).to_have_count(3)
    expect(page.locator("polygon.band")).to_have_count(3)
    colours = page.evaluate(
        "[...document.querySelectorAll('svg')[0].querySelectorAll('.curve')]"
        ".map((line) => getComputedStyle(line).stroke)"
    )
    assert len(set(colours)) == 2
    expect(page.locator("table.differences").first).to_contain_text("label.budget")
    page.go_back()
    expect(page.locator("#chosen")).to_have_text("5 runs are chosen.")


def test_the_page_of_a_run_plays_its_video(link, open_page):
    page = open_page(link)
    page.click("text=people")
    page.wait_for_selector("video")
    play = "async () => { const [film] = document.querySelectorAll('video'); await film.play();"
    assert page.evaluate(f"{play} return film.duration; }}") == pytest.approx(20 / 15, abs=0.1)


def test_the_page_of_a_run_grows_by_itself(folder, link, open_page):
    run = RunDirectory(folder / "live")
    page = open_page(link)
    page.clock.install()
    page.click("text=live")
    expect(page.locator("#head")).to_contain_text("live")  # or there is no page that could grow
    expect(page.locator("svg")).to_have_count(0)
    StatusFile(run).update({"policy": "learning", "env_steps": 4321})
    write_figures(run, [1.0, 2.0])
    page.clock.run_for(11_000)
    expect(page.locator("svg[role=img]").first).to_be_visible()
    expect(page.locator("#head")).to_contain_text("running: learning")
    expect(page.locator("#head")).to_contain_text("4,321")


def test_html_in_a_run_is_not_run(link, open_page):
    page = open_page(link)
    expect(page.locator("tbody")).to_contain_text(EVIL)
    page.click("text=evil")
    expect(page.locator(".summary")).to_have_text(EVIL)
    page.wait_for_timeout(200)
    assert "caught" not in page.title()
    assert page.locator("img").count() == 0


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious_in_the_archive(link, open_page, theme, size):
    page = open_page(link, color_scheme=theme, **size)
    look(page, size)
    page.check("[aria-label='Choose dot-0']")
    page.check("[aria-label='Choose few']")
    page.click("#compare")
    look(page, size)
    page.go_back()
    page.click("text=people")
    for details in page.locator("summary").all():
        details.click()
    look(page, size)
    page.goto(re.sub(r"/runs/.*", "/compare", page.url))
    look(page, size)


def look(page: Page, size: dict) -> None:
    check_with_axe(page)
    if size:
        check_fits_a_phone(page)


# --- a replay ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def played(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    """A run of which people can be shown two clips."""
    run = untrained_run(
        tmp_path_factory.mktemp("view") / "run", "prefrl/MovingDotPosition-v0",
        env_arguments=(f"max_frames={4 * STEPS}",), env_clip_length=LENGTH,
    )  # fmt: skip
    clips = [make_clip(seed) for seed in (1, 2)]
    with LabelStore.open(run.labels) as store:
        films = [Film(make_frames(seed, (8, 8)), 15.0) for seed in (1, 2)]
        store.add_queries(
            [], {clip.id: clip for clip in clips},
            {clip.id: make_sheets(film) for clip, film in zip(clips, films, strict=True)},
        )  # fmt: skip
    return run


@pytest.fixture(scope="module")
def view(played: RunDirectory) -> Iterator[str]:
    with served("replay", played.path, "--view", "--episodes", "2") as printed:
        yield printed


@pytest.fixture(scope="module")
def film(played: RunDirectory, view: str) -> np.ndarray:
    """The upper parts of the video's frames, which are pictures."""
    (path,) = played.videos.glob("replay-last-*.mp4")
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return np.stack(frames)[:, :420].astype(int)


DRAWN = """() => {
    const video = document.querySelector("video");
    const canvas = document.createElement("canvas");
    [canvas.width, canvas.height] = [320, 420];
    const context = canvas.getContext("2d");
    context.drawImage(video, 0, 0, 320, 420, 0, 0, 320, 420);
    return canvas.toDataURL();
}"""


def frame_shown(page: Page, film: np.ndarray) -> int:
    """Which of the video's frames is on the screen."""
    page.wait_for_function("() => !document.querySelector('video').seeking")
    page.wait_for_timeout(100)
    png = base64.b64decode(page.evaluate(DRAWN).partition(",")[2])
    shown = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), int)
    return int(np.abs(film - shown).mean((1, 2, 3)).argmin())


def drag(page: Page, *shares: float) -> None:
    """Press on the curve, drag along these shares of its width, let go."""
    box = page.locator("#curve svg").first.bounding_box()
    assert box is not None
    places = [box["x"] + share * box["width"] for share in shares]
    page.mouse.move(places[0], box["y"] + 20)
    page.mouse.down()
    for x in places[1:]:
        page.mouse.move(x, box["y"] + 40)
    page.mouse.up()


def test_the_picture_follows_a_drag_along_the_curve(view, film, open_page):
    page = open_page(view)
    page.wait_for_function("() => document.querySelector('video').readyState >= 2")
    drag(page, 0.1, 0.3, 0.5)
    expect(page.locator("#step")).to_have_text("step 10 of 20")
    expect(page.locator("#curve")).to_have_attribute("aria-valuenow", "10")
    assert frame_shown(page, film) == 10
    drag(page, 0.5, 0.9, 2.0)
    expect(page.locator("#step")).to_have_text("step 20 of 20")
    assert frame_shown(page, film) == 20
    drag(page, 0.5, -1)
    assert frame_shown(page, film) == 0
    page.mouse.move(600, 700)  # the button is up: nothing follows
    expect(page.locator("#step")).to_have_text("step 0 of 20")
    page.click("nav >> text=2")
    drag(page, 0.2, 0.25)
    assert frame_shown(page, film) == STEPS + 1 + 5


def test_the_curve_follows_the_video_and_both_end_with_the_episode(view, film, open_page):
    page = open_page(view)
    page.click("#play")
    expect(page.locator("#play")).to_have_text("Pause")
    expect(page.locator("#step")).to_have_text("step 20 of 20")
    expect(page.locator("#play")).to_have_text("Play")
    assert frame_shown(page, film) == 20
    page.click("#play")  # from the start again
    expect(page.locator("#step")).not_to_have_text("step 20 of 20")


def test_keys_and_marked_moments_lead_through_the_episode(played, view, film, open_page):
    page = open_page(view)
    episode = play(load_trained(played), "last", episodes=2).episodes[0]
    highest = int(np.argmax(episode.disagreement)) + 1
    page.locator("[data-action=moment]").first.click()
    expect(page.locator("#step")).to_have_text(f"step {highest} of 20")
    assert frame_shown(page, film) == highest
    for name, values in {"predicted": episode.predicted.mean(0), "true": episode.true}.items():
        now, total = (
            float(
                page.locator(f"[data-{what}={name}]").inner_text().split(" ")[0].replace("−", "-")
            )
            for what in ("now", "sum")
        )
        assert now == pytest.approx(values[highest - 1], rel=0.01)
        assert total == pytest.approx(values[:highest].sum(), rel=0.01)
    page.focus("#curve")
    for key, step in {"Home": 0, "ArrowRight": 1, "PageUp": 1 + LENGTH, "ArrowLeft": LENGTH,
                      "End": STEPS, "PageDown": STEPS - LENGTH}.items():  # fmt: skip
        page.keyboard.press(key)
        expect(page.locator("#step")).to_have_text(f"step {step} of 20")


def test_one_click_puts_the_stretch_into_the_queue_and_people_are_shown_it(played, view, open_page):
    page = open_page(view)
    drag(page, 0.5)
    expect(page.locator("[data-action=queue]")).to_have_text("Put steps 7 to 14 into the queue")
    page.click("[data-action=queue]")
    expect(page.locator("#said")).to_contain_text("Steps 7 to 14 are in the queue")
    trajectory = play(load_trained(played), "last").episodes[0].trajectory
    with LabelStore.open(played.labels) as store:
        queries = store.pending("anna")
        clips = store.clips([id for query in queries for id in (query.left, query.right)])
    assert len(queries) == 1
    (found,) = [clip for clip in clips.values() if len(clip) == LENGTH]
    assert (found.observations == trajectory.observations[6 : 6 + LENGTH + 1]).all()
    with served("label", played.path) as label_page:
        other = open_page(label_page)
        other.click("[data-action=begin]")
        other.wait_for_selector(f"#stage[data-query='{queries[0].id}']:not(.vacant)")


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("size", [{}, PHONE], ids=["desktop", "phone"])
def test_axe_finds_nothing_serious_in_a_replay(view, open_page, theme, size):
    page = open_page(view, color_scheme=theme, **size)
    page.locator("[data-action=moment]").first.click()
    look(page, size)
