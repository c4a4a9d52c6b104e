"""What a finished run leaves behind: an evaluation and a video of the last policy."""

from typing import Any

from prefrl.link import Reporter
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory
from prefrl.runs.evaluation import evaluate
from prefrl.runs.filming import MOST_STEPS, film
from prefrl.runs.replay import play
from prefrl.runs.trained import Trained


def finish(loop: PolicyLoop, run: RunDirectory, reporter: Reporter) -> dict[str, Any]:
    """Evaluate the last policy and record one of its episodes."""
    config = loop.config
    predictor = loop.predictor if loop.snapshot else None
    reporter.progress({"policy": "evaluating"})
    figures = evaluate(config, loop.model, predictor, config.evaluation_episodes)
    reporter.progress({"policy": "recording a video"})
    trained = Trained(config, loop.model, predictor, loop.recorder.env_steps)
    try:
        film(play(trained, "last", most_steps=MOST_STEPS), run.videos / "evaluation.mp4")
    # Renderers fail in ways of their own, and none of them is worth a finished run.
    except Exception as error:
        reporter.warn(f"no video: {error}")
    return figures
