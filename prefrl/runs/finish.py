"""What a finished run leaves behind: an evaluation and a video of the last policy."""

import json
from typing import Any

from prefrl.link import Reporter, Stopped
from prefrl.policy.loop import PolicyLoop
from prefrl.run_directory import RunDirectory, finite, write_bytes
from prefrl.runs.evaluation import Evaluation, clip_sums, evaluate, policy_acts, summary, until
from prefrl.runs.filming import MOST_STEPS, film
from prefrl.runs.replay import play
from prefrl.runs.trained import Trained


def finish(loop: PolicyLoop, run: RunDirectory, reporter: Reporter) -> dict[str, Any]:
    """Evaluate the last policy and record one of its episodes; stopped before, say nothing."""
    config = loop.config
    predictor = loop.reward.predictor if loop.reward.snapshot else None
    reporter.progress({"policy": "evaluating"})
    try:
        found = evaluate(
            config, loop.model, predictor, config.evaluation_episodes, stopped=loop.stopped
        )
    except Stopped:
        return {}
    _log_clip_rewards(found, loop, run)
    reporter.progress({"policy": "recording a video"})
    trained = Trained(config, loop.model, None, loop.recorder.env_steps)  # no reward is shown
    try:
        act = until(loop.stopped, policy_acts(loop.model))
        replay = play(trained, "last", act=act, most_steps=MOST_STEPS)
        film(replay, run.videos / "evaluation.mp4", loop.stopped)
    except Stopped:
        pass
    # Renderers fail in ways of their own, and none of them is worth a finished run.
    except Exception as error:
        reporter.warn(f"no video: {error}")
    return summary(found, config.env.clip_length)


def _log_clip_rewards(found: Evaluation, loop: PolicyLoop, run: RunDirectory) -> None:
    """Keep what the picture of predicted against true reward shows, a line for each clip."""
    step = loop.recorder.env_steps
    lines = [
        {"step": step, "policy": policy, "true_reward": true, "predicted_reward": predicted}
        for policy, episodes in (("final", found.final), ("random", found.random))
        for true, predicted in clip_sums(episodes, loop.config.env.clip_length).tolist()
    ]
    text = "".join(f"{json.dumps(finite(line))}\n" for line in lines)
    write_bytes(run.metrics / "evaluation.jsonl", text.encode())
