from collections.abc import Iterator
from pathlib import Path

import pytest
from labelled_run import TOKENS, LabelledRun, make_run
from page_client import PORT, Clock, Page

from labeler_ui.app import create_app
from labeler_ui.settings import Settings


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
