"""Videos of a policy that nobody has to ask for: at the end of a run, and at times in between."""

import contextlib
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from prefrl.config import Config
from prefrl.link import Reporter, Stopped
from prefrl.run_directory import RunDirectory
from prefrl.runs.panel import plain_frames
from prefrl.runs.replay import Replay, play
from prefrl.runs.trained import load_trained
from prefrl.runs.video import Frames, write_mp4

MOST_STEPS = 3000  # who would watch more of a video that he did not ask for?
LOOK_EVERY_S = 1.0


def film(replay: Replay, video: Path, stopped: Callable[[], bool]) -> None:
    """Write a video of the pictures alone: people who label may see it, but no true reward.

    Args:
        replay: What is to be seen.
        video: The file; absent if the writing is stopped.
        stopped: Whether to give up.
    """
    with contextlib.suppress(Stopped):
        write_mp4(video, _until(stopped, plain_frames(replay)), replay.frames_per_second)


def _until(stopped: Callable[[], bool], frames: Frames) -> Frames:
    for frame in frames:
        if stopped():
            raise Stopped
        yield frame


def film_checkpoints(
    config: Config,
    run: RunDirectory,
    reporter: Reporter,
    learned: Callable[[], bool],
    stopped: Callable[[], bool],
) -> None:
    """Film each numbered checkpoint as it appears, in whatever time others leave.

    Args:
        config: Of the run.
        run: Whose policy process writes the checkpoints.
        reporter: Is told where a video fails; the run goes on.
        learned: Whether no more checkpoints will come.
        stopped: Whether to give up.
    """
    os.nice(19)
    for name in _numbered(run, learned, stopped):
        try:
            trained = load_trained(run, name, config.env.import_modules, rewards=False)
            replay = play(trained, name, most_steps=MOST_STEPS)
            film(replay, run.videos / f"step-{name}.mp4", stopped)
        except Exception as error:  # renderers fail in ways of their own
            reporter.warn(f"no video of step {name}: {error}")
            return


def _numbered(
    run: RunDirectory, learned: Callable[[], bool], stopped: Callable[[], bool]
) -> Iterator[str]:
    """The names of numbered checkpoints, each once, until the last has come."""
    done: set[str] = set()
    while not stopped():
        no_more = learned()  # asked first, or a last one could come in between
        names = [path.parent.name for path in run.checkpoints.glob("*/policy.json")]
        fresh = sorted((n for n in names if n.isdigit() and n not in done), key=int)
        if fresh:
            done.add(fresh[0])
            yield fresh[0]
        elif no_more:
            return
        else:
            time.sleep(LOOK_EVERY_S)
