"""What a finished run leaves behind: an evaluation and a video of the last policy."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from prefrl.link import Reporter
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory
from prefrl.runs.evaluation import evaluate, evaluation_seed
from prefrl.runs.video import episode_frames, frames_per_second, write_mp4


def finish(loop: PolicyLoop, run: RunDirectory, reporter: Reporter) -> dict[str, Any]:
    """Evaluate the last policy and record one of its episodes."""
    config = loop.config
    predictor = loop.predictor if loop.snapshot else None
    reporter.progress({"policy": "evaluating"})
    figures = evaluate(config, loop.model, predictor, config.evaluation_episodes)
    reporter.progress({"policy": "recording a video"})

    def act(observations: NDArray[np.generic]) -> NDArray[np.generic]:
        return loop.model.predict(loop.venv.normalize_obs(observations))[0]

    try:
        write_mp4(
            run.videos / "evaluation.mp4",
            episode_frames(config, act, evaluation_seed(config)),
            frames_per_second(config.env),
        )
    # Renderers fail in ways of their own, and none of them is worth a finished run.
    except Exception as error:
        reporter.warn(f"no video: {error}")
    return figures
