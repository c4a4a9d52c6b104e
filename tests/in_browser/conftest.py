from collections.abc import Iterator
from pathlib import Path

import pytest
from labelled_run import TOKENS, LabelledRun, make_run
from page_server import READY, Open, Server
from playwright.sync_api import Browser, BrowserContext, Page, expect

# The page looks at the run every 5 s, which is as long as Playwright would wait.
expect.set_options(timeout=15_000)


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
