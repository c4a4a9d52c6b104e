"""Films as sprite sheets: lossless pictures that a browser draws frame by frame, in any order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import sqlalchemy as sa
from numpy.typing import NDArray

from prefrl.labels.codec import StoreError
from prefrl.labels.schema import SHEETS, UnknownId, known_ids
from prefrl.types import FILM_WIDTH, Film

# Larger canvases and textures are refused or scaled down by phones.
MOST_SIDE = 4096
# zlib's usual level: a clip of Pong takes 15 KB, with OpenCV's own choice for PNG 39 KB.
COMPRESSION = (cv2.IMWRITE_PNG_COMPRESSION, 6)


@dataclass(frozen=True)
class Sheets:
    """A film as PNG files, each a grid of frames.

    Frame i is on file `i // (columns * rows)`, in cell `i % (columns * rows)` of its grid, counted
    row by row. The last file ends with the row of the last frame.

    Attributes:
        pngs: The files; no side is longer than 4,096 pixels.
        width: Of a frame, in pixels.
        height: Of a frame.
        columns: Frames in a row of the grid.
        rows: Rows of a full grid.
        frames: How many there are in all.
        frames_per_second: At which they are to be shown.
    """

    pngs: tuple[bytes, ...]
    width: int
    height: int
    columns: int
    rows: int
    frames: int
    frames_per_second: float


def make_sheets(film: Film) -> Sheets:
    """The film's frames, every pixel as it was; only very large frames are made smaller.

    Raises:
        StoreError: A frame cannot be encoded.
    """
    frames = _fitting(film.frames)
    n, height, width, _ = frames.shape
    most_columns, most_rows = MOST_SIDE // width, MOST_SIDE // height
    rows = min(-(-n // most_columns), most_rows)
    columns = min(-(-n // rows), most_columns)  # no emptier cells than needed
    pngs = tuple(
        _encode(frames[start : start + columns * rows], columns)
        for start in range(0, n, columns * rows)
    )
    return Sheets(pngs, width, height, columns, rows, n, film.frames_per_second)


def sheet_frames(sheets: Sheets) -> NDArray[np.uint8]:
    """The frames that were put into sheets, `[T + 1, H, W, 3]`.

    Raises:
        StoreError: A file is damaged, or of another size than the sheets say.
    """
    cells = []
    for png in sheets.pngs:
        picture = cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
        if picture is None:
            raise StoreError("a picture of a clip is damaged")
        rows = picture.shape[0] // sheets.height
        if picture.shape != (rows * sheets.height, sheets.columns * sheets.width, 3):
            raise StoreError(f"a picture of a clip is {picture.shape[1]}x{picture.shape[0]} large")
        grid = picture[..., ::-1].reshape(rows, sheets.height, sheets.columns, sheets.width, 3)
        cells.append(grid.swapaxes(1, 2).reshape(-1, sheets.height, sheets.width, 3))
    frames = np.concatenate(cells)[: sheets.frames]
    return np.ascontiguousarray(frames, np.uint8)


def _fitting(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Frames that are no larger than they can be shown."""
    _, height, width, _ = frames.shape
    scale = min(1.0, FILM_WIDTH / width, MOST_SIDE / height)
    if scale == 1.0:
        return frames
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.stack(
        [np.asarray(cv2.resize(f, size, interpolation=cv2.INTER_AREA), np.uint8) for f in frames]
    )


def _encode(frames: NDArray[np.uint8], columns: int) -> bytes:
    """One PNG of a grid of frames; cells after the last are black."""
    n, height, width, _ = frames.shape
    rows = -(-n // columns)
    cells = np.zeros((rows * columns, height, width, 3), np.uint8)
    cells[:n] = frames
    grid = cells.reshape(rows, columns, height, width, 3).swapaxes(1, 2)
    picture = grid.reshape(rows * height, columns * width, 3)[..., ::-1]  # OpenCV's order is BGR
    done, png = cv2.imencode(".png", np.ascontiguousarray(picture), COMPRESSION)
    if not done:
        raise StoreError(f"{n} frames of {width}x{height} cannot be encoded as a PNG")
    return png.tobytes()


def sheet_rows(clip_id: str, sheets: Sheets) -> list[dict[str, Any]]:
    """The rows of the table, one a file."""
    return [
        {
            "clip_id": clip_id,
            "number": number,
            "width": sheets.width,
            "height": sheets.height,
            "columns": sheets.columns,
            "rows": sheets.rows,
            "frames": sheets.frames,
            "frames_per_second": sheets.frames_per_second,
            "png": png,
        }
        for number, png in enumerate(sheets.pngs)
    ]


def insert_sheets(connection: sa.Connection, rows: Sequence[dict[str, Any]]) -> None:
    """Insert the rows of clips that have no pictures yet."""
    known = known_ids(connection, SHEETS.c.clip_id, dict.fromkeys(row["clip_id"] for row in rows))
    fresh = [row for row in rows if row["clip_id"] not in known]
    if fresh:
        connection.execute(SHEETS.insert(), fresh)


def read_sheets(connection: sa.Connection, name: str, clip_id: str) -> Sheets:
    """The sheets of one clip.

    Raises:
        UnknownId: None are stored.
    """
    statement = sa.select(SHEETS).where(SHEETS.c.clip_id == clip_id).order_by(SHEETS.c.number)
    rows = connection.execute(statement).all()
    if not rows:
        raise UnknownId(f"{name}: there are no pictures of a clip {clip_id!r}")
    first = rows[0]
    return Sheets(
        tuple(row.png for row in rows),
        first.width, first.height, first.columns, first.rows, first.frames, first.frames_per_second,
    )  # fmt: skip
