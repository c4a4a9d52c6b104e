"""Videos of frames: files that browsers play, and a window."""

import itertools
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from prefrl.config import ConfigError

Frames = Iterable[NDArray[np.uint8]]

X264 = {"crf": "20", "preset": "ultrafast", "g": "30"}  # a page that scrubs seeks often
MOST_GIF_RATE = 50.0  # browsers slow down what is faster
PALETTE_FRAMES = 50  # of a GIF, from which its colours are chosen


def write_mp4(path: Path, frames: Frames, fps: float) -> None:
    """Write H.264 that browsers play, and begin to play before they have all of it.

    Args:
        path: Of the video.
        frames: `[H, W, 3] uint8`, of one size, even on both sides.
        fps: Frames a second.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        _taking_the_place_of(path) as partial,
        av.open(str(partial), "w", options={"movflags": "faststart"}) as container,
    ):
        _encode(container, frames, fps)


@contextmanager
def _taking_the_place_of(path: Path) -> Iterator[Path]:
    """A name beside a file, for this process alone; what is written there becomes the file."""
    partial = path.with_name(f"{path.stem}.{os.getpid()}.partial{path.suffix}")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _encode(container: av.container.OutputContainer, frames: Frames, fps: float) -> None:
    stream = container.add_stream("libx264", Fraction(fps).limit_denominator(1000), options=X264)
    stream.pix_fmt = "yuv420p"  # the only one all browsers play

    def encode(frame: NDArray[np.uint8]) -> None:
        container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))

    before = None
    with ThreadPoolExecutor(1) as pool:  # one frame is encoded while the next is drawn
        for frame in frames:
            if before is None:
                stream.height, stream.width = frame.shape[:2]
            else:
                before.result()
            before = pool.submit(encode, frame)
        if before is not None:
            before.result()
    container.mux(stream.encode())


def write_gif(path: Path, frames: Callable[[], Frames], fps: float) -> None:
    """Write a GIF of at most 50 frames a second that goes round for ever.

    Args:
        path: Of the GIF.
        frames: Begins them anew: the colours are chosen before anything is written.
        fps: Frames a second.
    """
    count = sum(1 for _ in frames())
    sample = itertools.islice(frames(), 0, None, -(-count // PALETTE_FRAMES))
    # Without dithering, which would flicker and make the file many times as large.
    palette = Image.fromarray(np.concatenate(list(sample))).quantize(dither=Image.Dither.NONE)
    every = math.ceil(fps / MOST_GIF_RATE)
    pictures = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.NONE)
        for frame in itertools.islice(frames(), 0, None, every)
    )
    # A GIF counts in hundredths of a second: frame by frame rounded, it would run too fast.
    ends = np.round(100 * every / fps * np.arange(-(-count // every) + 1)) * 10
    with _taking_the_place_of(path) as partial:
        next(pictures).save(
            partial, save_all=True, append_images=pictures, duration=np.diff(ends).tolist(), loop=0
        )


def check_window() -> None:
    """Refuse what `show` cannot do.

    Raises:
        ConfigError: OpenCV cannot open windows, or there is no display.
    """
    if not cv2.currentUIFramework():
        raise ConfigError(
            "--window: this OpenCV was built without windows (pip install opencv-python in place "
            "of opencv-python-headless); without --window a video is written"
        )
    displays = ("DISPLAY", "WAYLAND_DISPLAY")
    if sys.platform.startswith("linux") and not any(map(os.environ.get, displays)):
        raise ConfigError("--window: there is no display; without --window a video is written")


def show(frames: Frames, fps: float, title: str) -> None:
    """Play in a window until its end, or until q or Escape is pressed; see `check_window`."""
    for frame in frames:
        cv2.imshow(title, cv2.cvtColor(frame, cv2.COLOR_RGB2BGR))
        if cv2.waitKey(max(1, round(1000 / fps))) in (ord("q"), 27):
            break
    cv2.destroyAllWindows()
