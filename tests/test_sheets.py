import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from prefrl.labels.sheets import MOST_SIDE, make_sheets
from prefrl.types import Film


def film(n, height, width, seed=0):
    frames = np.random.default_rng(seed).integers(0, 256, (n, height, width, 3), np.uint8)
    return Film(frames, 15.0)


def pictures(sheets):
    """The PNG files as `[H, W, 3] uint8`, RGB."""
    decoded = [cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR) for png in sheets.pngs]
    return [picture[..., ::-1] for picture in decoded]


def frame(sheets, i):
    """Frame i, cut out as the documentation of `Sheets` says."""
    number, cell = divmod(i, sheets.columns * sheets.rows)
    row, column = divmod(cell, sheets.columns)
    top, left = row * sheets.height, column * sheets.width
    return pictures(sheets)[number][top : top + sheets.height, left : left + sheets.width]


@settings(deadline=None, max_examples=40)
@given(n=st.integers(2, 30), height=st.integers(1, 50), width=st.integers(1, 400))
def test_every_frame_comes_back_to_the_last_bit(n, height, width):
    shown = film(n, height, width)
    sheets = make_sheets(shown)
    assert (sheets.frames, sheets.width, sheets.height) == (n, width, height)
    assert sheets.frames_per_second == 15.0
    for i in (0, n // 2, n - 1):
        np.testing.assert_array_equal(frame(sheets, i), shown.frames[i])


def test_an_atari_clip_is_one_sheet_without_waste():
    sheets = make_sheets(film(26, 210, 160))
    assert (len(sheets.pngs), sheets.columns * sheets.rows) == (1, 26)


def test_a_sheet_that_would_be_too_long_is_split():
    shown = film(44, 1000, 400)
    sheets = make_sheets(shown)
    assert len(sheets.pngs) == 2
    assert max(max(picture.shape) for picture in pictures(sheets)) <= MOST_SIDE
    for i in (0, 39, 40, 43):
        np.testing.assert_array_equal(frame(sheets, i), shown.frames[i])


def test_frames_wider_than_they_are_shown_are_made_smaller_in_proportion():
    grey = Film(np.full((2, 400, 1280, 3), 77, np.uint8), 30.0)
    sheets = make_sheets(grey)
    assert (sheets.width, sheets.height) == (400, 125)
    assert (frame(sheets, 1) == 77).all()


def test_a_frame_higher_than_a_sheet_is_made_to_fit():
    sheets = make_sheets(Film(np.zeros((2, 8192, 100, 3), np.uint8), 30.0))
    assert (sheets.width, sheets.height) == (50, MOST_SIDE)


@pytest.mark.parametrize(
    "frames",
    [
        np.zeros((0, 4, 4, 3), np.uint8), np.zeros((2, 4, 4), np.uint8),
        np.zeros((2, 4, 4, 4), np.uint8), np.zeros((2, 4, 4, 3), np.float32),
    ],
    ids=["none", "no colours", "four colours", "not bytes"],
)  # fmt: skip
def test_frames_of_another_form_are_refused(frames):
    with pytest.raises(ValueError, match=r"frames: expected \[T \+ 1, H, W, 3\] uint8, got "):
        Film(frames, 15.0)


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan"), float("inf")])
def test_a_film_has_a_speed(speed):
    with pytest.raises(ValueError, match="frames_per_second: expected more than 0"):
        Film(np.zeros((2, 4, 4, 3), np.uint8), speed)
