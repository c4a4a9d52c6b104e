from pathlib import Path

import pytest
from visitor import Visitor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "runs"
    made.mkdir()
    return made


@pytest.fixture
def visitor(folder: Path) -> Visitor:
    return Visitor(folder)
