"""What a replay shows is what was played: pictures, rewards and curves, step by step."""

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import gymnasium
import numpy as np
import pytest
import torch
from drawn_curve import row_of
from PIL import Image
from stable_baselines3.common import atari_wrappers
from untrained_run import untrained_run

import prefrl.runs.replay
from prefrl.cli import main
from prefrl.config import ConfigError
from prefrl.policy.camera import make_filmed_env
from prefrl.policy.vec_env import make_vec_env
from prefrl.run_directory import RunDirectory
from prefrl.runs import video
from prefrl.runs.evaluation import evaluate, evaluation_seed, policy_acts, summary
from prefrl.runs.foreign import open_run
from prefrl.runs.panel import (
    CURVE,
    FONT,
    FOOT,
    MARGIN,
    PLOT,
    PREDICTED,
    TRUE,
    replay_frames,
)
from prefrl.runs.replay import Replay, play
from prefrl.runs.trained import Trained, load_trained
from prefrl.runs.video import check_window, show, write_gif, write_mp4
from prefrl.types import Clip

SHORT = {"env_arguments": ("max_frames=80",)}  # 20 decisions
SEED = 2**30


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> RunDirectory:
    path = tmp_path_factory.mktemp("replay") / "run"
    return untrained_run(path, "prefrl/MovingDotPosition-v0", **SHORT)


@pytest.fixture(scope="module")
def replay(run: RunDirectory) -> Replay:
    return play(load_trained(run), "last", episodes=2)


def decoded(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]


@pytest.fixture
def refused(capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str | Path) -> str:
        assert main([str(argument) for argument in arguments]) == 2
        out, err = capsys.readouterr()
        assert (out, err.count("\n")) == ("", 1), err
        return err

    return run


def test_the_command_writes_a_video_that_browsers_play_and_prints_its_path(run, capsys):
    assert main(["replay", str(run.path), "--episodes", "2"]) == 0
    path = Path(capsys.readouterr().out.strip())
    assert path == run.videos / f"replay-last-seed{SEED}-episodes2.mp4"
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.pix_fmt) == ("h264", "yuv420p")
        assert stream.average_rate == 15
        assert (stream.width, stream.height) == (320, 420 + 2 * CURVE + FOOT)
    assert len(decoded(path)) == 2 * 21
    data = path.read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")  # playable before it is whole
    assert not list(run.videos.glob("*.partial*"))


def test_frame_t_shows_the_environment_after_t_steps_in_its_own_colours(run, replay, tmp_path):
    write_mp4(tmp_path / "x.mp4", replay_frames(replay), 15)
    frames = decoded(tmp_path / "x.mp4")
    env = make_filmed_env(load_trained(run).config.env)
    env.reset(seed=SEED)
    episode = replay.episodes[0]
    for t, action in enumerate([None, *episode.trajectory.actions]):
        if action is not None:
            env.step(action)
        true = env.picture()
        assert (episode.picture(t) == true).all()
        shown = frames[t][:420:2, :320:2].astype(int)
        assert np.abs(shown - true).mean() < 2


def test_colours_survive_the_video(tmp_path):
    run = untrained_run(tmp_path / "run", "Pendulum-v1", env_time_limit=5, env_clip_length=5)
    replay = play(load_trained(run), "last")
    write_mp4(tmp_path / "x.mp4", replay_frames(replay), 30)
    picture, frame = replay.episodes[0].picture(3), decoded(tmp_path / "x.mp4")[3][:400]
    red = (picture[:, :, 0] > 150) & (picture[:, :, 1] < 100)
    assert red.sum() > 1000
    inside = cv2.erode(red.astype(np.uint8), np.ones((5, 5))) > 0
    assert np.abs(frame[inside].astype(int) - picture[inside]).mean() < 6


def test_the_rewards_on_record_are_those_of_the_policy_evaluated(run, replay):
    trained = load_trained(run)
    found = summary(evaluate(trained.config, trained.model, trained.predictor, 2), 25)
    returns = [float(episode.true.sum()) for episode in replay.episodes]
    assert np.mean(returns) == pytest.approx(found["true_return"]["mean"])
    predicted = [float(e.predicted.mean(0).sum()) for e in replay.episodes]
    assert np.mean(predicted) == pytest.approx(found["predicted_return"]["mean"], rel=1e-5)
    best = [episode.best_possible for episode in replay.episodes]
    assert np.mean(best) == found["best_possible"]


@pytest.mark.parametrize("env_id", ["prefrl/MovingDotPosition-v0", "prefrl/MovingDot-v0"])
def test_the_trajectory_is_what_the_predictor_saw(env_id, tmp_path):
    trained = load_trained(untrained_run(tmp_path / "run", env_id, **SHORT))
    for episode in play(trained, "last", episodes=2).episodes:
        seen = episode.trajectory.stacked()
        again = trained.predictor.predict(seen[:-1], episode.trajectory.actions, seen[1:])
        np.testing.assert_allclose(episode.predicted, again, atol=1e-5)
        assert episode.disagreement == pytest.approx(again.std(0), abs=1e-5)


def test_a_trajectory_has_the_rewards_that_an_oracle_compares_and_people_read_others(tmp_path):
    run = untrained_run(
        tmp_path / "run", "prefrl/CartPoleUpright-v0", env_terminations="penalty",
        env_termination_penalty=7.0, env_clip_rewards=True,
    )  # fmt: skip
    (episode,) = play(load_trained(run), "last").episodes
    assert len(episode.true) < 500  # it fell
    assert ((episode.true > 0) & (episode.true < 1)).any()
    compared = episode.trajectory.true_rewards
    np.testing.assert_array_equal(compared[:-1], np.sign(episode.true[:-1]))
    assert compared[-1] == np.sign(episode.true[-1]) - 7.0


def test_what_lies_beside_the_video_is_the_replay(run, capsys):
    assert main(["replay", str(run.path), "--episodes", "2", "--seed", "7"]) == 0
    path = Path(capsys.readouterr().out.strip())
    replay = play(load_trained(run), "last", episodes=2, seed=7)
    record = json.loads(path.with_suffix(".json").read_text())
    assert record["video"] == path.name
    assert (record["env_steps"], record["seed"], record["policy"]) == (1234, 7, "last")
    assert [e["first_frame"] for e in record["episodes"]] == [0, 21]
    arrays = np.load(path.with_suffix(".npz"), allow_pickle=False)
    for number, (said, episode) in enumerate(zip(record["episodes"], replay.episodes, strict=True)):
        assert said["true_rewards"] == episode.true.tolist()
        assert said["predicted_rewards"] == episode.predicted.tolist()
        assert said["disagreement"] == episode.disagreement.tolist()
        names = ("observations", "starts", "actions", "true_rewards")
        kept = Clip(*(arrays[f"{name}_{number}"] for name in names), env_step=0)
        assert kept.id == episode.trajectory.id


def test_replays_of_as_many_episodes_alone_have_the_same_name(run, capsys):
    names = set()
    for options in ([], ["--episodes", "2"], ["--episodes", "3"], ["--seed", "1"]):
        assert main(["replay", str(run.path), *options]) == 0
        names.add(capsys.readouterr().out)
    assert len(names) == 4


def test_two_processes_that_write_one_video_both_end_with_a_whole_one(tmp_path, monkeypatch):
    path, frames = tmp_path / "x.mp4", [np.full((40, 40, 3), 9 * i, np.uint8) for i in range(20)]

    def while_another_writes():
        yield from frames
        with monkeypatch.context() as other:
            other.setattr(video.os, "getpid", lambda: 1)
            write_mp4(path, frames[:5], 15)
        assert len(decoded(path)) == 5

    write_mp4(path, while_another_writes(), 15)
    assert len(decoded(path)) == 20
    assert list(tmp_path.iterdir()) == [path]


def test_what_lies_beside_the_video_is_replaced_whole_or_not_at_all(replay, tmp_path, monkeypatch):
    replay.save(tmp_path / "x.mp4")
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}

    def fail(file, **arrays):
        (file if hasattr(file, "write") else open(file, "wb")).write(b"half")  # noqa: SIM115
        raise OSError("no space left")

    monkeypatch.setattr(prefrl.runs.replay.np, "savez_compressed", fail)
    with pytest.raises(OSError, match="no space left"):
        replay.save(tmp_path / "x.mp4")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_seeds_and_likeliest_actions_decide_what_is_played(run):
    trained = load_trained(run)

    def actions(**choices: object) -> list[int]:
        return play(trained, "last", **choices).episodes[0].trajectory.actions.tolist()

    assert actions() == actions()
    assert actions(seed=1) != actions(seed=2)
    assert actions() != actions(deterministic=True)
    assert len(actions(most_steps=7)) == 7


def test_the_baseline_shows_the_true_reward_alone(tmp_path):
    run = untrained_run(tmp_path / "run", "prefrl/MovingDotPosition-v0", **SHORT, reward="true")
    replay = play(load_trained(run), "last")
    assert replay.episodes[0].predicted is None
    assert next(replay_frames(replay)).shape == (420 + CURVE + FOOT, 320, 3)


@pytest.fixture(scope="module")
def pong(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    path = tmp_path_factory.mktemp("pong") / "run"
    return load_trained(untrained_run(path, "ALE/Pong-v5", env_atari_noop_max=0))


def check_drawn(panel: np.ndarray, colour: tuple[int, int, int], lines: np.ndarray, t: int) -> None:
    """The reward before the newest, which the upright line hides, is drawn where it should be."""
    steps, mean = lines.shape[1], lines.mean(0)
    low, high = min(0, lines.min()), max(0, lines.max())
    panel = panel[:, MARGIN:]
    across = panel.shape[1]
    scale = max(2.0, across / steps)
    first = np.clip(t - across / 2 / scale, 0, steps - across / scale)
    around = 2 + (high - mean[max(0, t - 3) : t]) * (PLOT - 5) / (high - low or 1)
    drawn = row_of(panel, round((t - 1.5 - first) * scale), colour)
    assert around.min() - 2 <= drawn <= around.max() + 2


def texts_of_curve(texts: list[str], row: int) -> list[str]:
    """Newest reward, sum, upper and lower end: those at the foot are written before."""
    curves_texts = texts[-8:]
    return curves_texts[4 * row : 4 * row + 4]


@pytest.mark.parametrize("env", ["moving dot", "pong"])
def test_curves_and_sums_in_a_replay_are_those_of_the_recorded_rewards(
    env, replay, pong, tmp_path, monkeypatch
):
    if env == "pong":
        replay = play(pong, "last", most_steps=170)  # of which 138 are to be seen at a time
    replay.save(tmp_path / "x.mp4")
    texts: list[str] = []
    write = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *args: texts.append(args[1]) or write(*args))
    frames = replay_frames(replay)
    for episode in json.loads((tmp_path / "x.json").read_text())["episodes"]:
        predicted, true = np.array(episode["predicted_rewards"]), np.array(episode["true_rewards"])
        assert episode["true_return"] == pytest.approx(true.sum())
        for t in range(episode["steps"] + 1):
            texts.clear()
            frame = next(frames)
            for row, (name, lines, colour) in enumerate(
                [("predicted", predicted, PREDICTED), ("true", true[None], TRUE)]
            ):
                newest, total = texts_of_curve(texts, row)[:2]
                mean = lines.mean(0)
                assert newest == (f"{name} {mean[t - 1]:+.3g}" if t else f"{name} ")
                shown = float(total.removeprefix("sum "))
                assert shown == pytest.approx(mean[:t].sum(), rel=1e-3, abs=1e-6)
                if t >= 2:
                    check_drawn(frame[len(frame) - FOOT - CURVE * (2 - row) :], colour, lines, t)
    assert next(frames, None) is None


def test_rewards_beside_an_older_policy_are_said_to_be_the_last_ensembles(replay, monkeypatch):
    texts: list[str] = []
    write = cv2.putText
    monkeypatch.setattr(cv2, "putText", lambda *args: texts.append(args[1]) or write(*args))
    for policy, name in (
        ("last", "predicted"),
        ("best", "last ensemble"),
        ("500", "last ensemble"),
    ):
        texts.clear()
        *_, frame = replay_frames(dataclasses.replace(replay, policy=policy))
        assert any(text.startswith(f"{name} ") for text in texts)
        last = texts[-8:]  # of the last frame, two curves with four texts each
        widths = [cv2.getTextSize(text, FONT, 1.0, 1)[0][0] for text in last[:2]]
        assert sum(widths) < frame.shape[1] - 12  # both fit side by side


class FireForOneFrame(gymnasium.Wrapper):
    """Begins an episode as ALE's vector environment does: FIRE is pressed for one frame."""

    def reset(self, **kwargs):
        self.env.reset(**kwargs)
        observation, _, _, _, info = self.unwrapped.step(1)
        return observation, info


def listen_to_what_is_seen(trained: Trained, observations: np.ndarray) -> None:
    """Take from each action what it is liked whatever is seen: an untrained policy plays one."""
    policy = trained.model.policy
    with torch.no_grad():
        seen, _ = policy.obs_to_tensor(observations)
        policy.action_net.bias -= policy.get_distribution(seen).distribution.logits.mean(0)


def test_pong_is_the_same_in_colour_as_in_the_environments_that_train(tmp_path, monkeypatch):
    """One policy, likeliest actions: step by step the same. Both begin as the vector class does."""
    trained = load_trained(untrained_run(tmp_path / "run", "ALE/Pong-v5", env_atari_noop_max=0))
    rng = np.random.default_rng(0)
    venv = make_vec_env(trained.config.env, 1, 0)
    venv.reset()
    seen = [venv.step(rng.integers(6, size=1))[0] for _ in range(150)]
    listen_to_what_is_seen(trained, np.concatenate(seen))
    monkeypatch.setattr(atari_wrappers, "FireResetEnv", FireForOneFrame)
    episode = play(trained, "last", deterministic=True, most_steps=200).episodes[0]
    act = policy_acts(trained.model, deterministic=True)
    observations, actions, rewards = venv.reset(), [], []
    for _ in range(200):
        actions += act(observations).tolist()
        observations, reward, *_ = venv.step(actions[-1:])
        rewards += reward.tolist()
    venv.close()
    assert trained.config.env.atari_backend == "native"
    assert len(set(actions)) > 2
    assert any(rewards)
    assert episode.trajectory.actions.tolist() == actions
    assert episode.true.tolist() == rewards


def test_a_gif_goes_at_the_same_speed_with_at_most_50_frames_a_second(run, tmp_path, capsys):
    assert main(["replay", str(run.path), "--gif", "--deterministic"]) == 0
    *_, path = capsys.readouterr().out.split()
    with Image.open(path) as gif:
        assert (gif.format, gif.size) == ("GIF", (320, 420 + 2 * CURVE + FOOT))
        shown = []
        for number in range(gif.n_frames):
            gif.seek(number)
            shown.append(gif.info["duration"])
    assert sum(shown) == pytest.approx(1000 * 21 / 15, abs=10)
    frames = [np.full((40, 40, 3), 2 * i, np.uint8) for i in range(100)]
    write_gif(tmp_path / "fast.gif", lambda: iter(frames), 100)
    with Image.open(tmp_path / "fast.gif") as gif:
        assert gif.n_frames == 50
        assert gif.info["duration"] == 20


def test_an_environment_that_cannot_be_rendered_is_refused_in_one_line(
    tmp_path, monkeypatch, refused
):
    (tmp_path / "blind_environments.py").write_text(
        "import gymnasium, numpy\n"
        "class Blind(gymnasium.Env):\n"
        "    observation_space = gymnasium.spaces.Box(-1, 1, (2,), numpy.float32)\n"
        "    action_space = gymnasium.spaces.Discrete(2)\n"
        "    def reset(self, *, seed=None, options=None):\n"
        "        return numpy.zeros(2, numpy.float32), {}\n"
        "    def step(self, action):\n"
        "        return numpy.zeros(2, numpy.float32), 0.0, False, False, {}\n"
        "gymnasium.register('blind/Blind-v0', entry_point=Blind)\n"
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(tmp_path)
    run = untrained_run(
        tmp_path / "r", "blind/Blind-v0", env_import_modules=("blind_environments",)
    )
    said = refused("replay", run.path, "--env-import", "blind_environments")
    assert "blind/Blind-v0 cannot be rendered, so there is nothing to see: " in said
    assert not run.videos.exists()


def test_checkpoints_are_named_where_one_is_absent_and_lead_nowhere_else(run, refused):
    assert "has no policy '5'; its checkpoints: last" in refused(
        "replay", run.path, "--checkpoint", "5"
    )
    for name in ("../..", "/etc", "."):
        assert "has no policy" in refused("replay", run.path, "--checkpoint", name)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--episodes", "0"], "--episodes: expected at least 1"),
        (["--seed", "-1"], "--seed: expected 0 to"),
        (["--clips", "--checkpoint", "best"], "--checkpoint: --clips shows the last reward"),
        (["--clips", "--episodes", "2"], "--episodes: --clips shows the last reward"),
        (["--clips", "--seed", "2"], "--seed: --clips shows the last reward"),
        (["--clips", "--deterministic"], "--deterministic: --clips shows the last reward"),
        (["--pairs", "5"], "--pairs: only --clips shows pairs"),
        (["--port", "5001"], "--host, --port, --allow-remote: only --view serves a page"),
        (["--i-trust-this-file"], "--i-trust-this-file: it goes with --sb3-zip"),
        (["--gif", "--window"], "leave out --gif"),
        (["--window"], "--window: this OpenCV was built without windows"),
        (["--clips"], "no pair of clips was answered"),
    ],
)
def test_what_cannot_be_shown_is_refused_in_one_line(run, refused, arguments, said):
    assert said in refused("replay", run.path, *arguments)


def test_a_window_that_cannot_be_opened_is_refused_before_anything_is_played(
    run, refused, monkeypatch
):
    monkeypatch.setattr(prefrl.runs.replay, "play", lambda *_, **__: pytest.fail("it was played"))
    assert "this OpenCV was built without windows" in refused("replay", run.path, "--window")


def test_a_window_needs_a_display(monkeypatch):
    monkeypatch.setattr(cv2, "currentUIFramework", lambda: "QT5")
    monkeypatch.setattr(video.sys, "platform", "linux")
    for name in ("DISPLAY", "WAYLAND_DISPLAY"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ConfigError, match="--window: there is no display"):
        check_window()


def test_a_window_shows_frames_in_true_colours_until_q_is_pressed(monkeypatch):
    shown, keys = [], iter([-1, -1, ord("q")])
    monkeypatch.setattr(cv2, "imshow", lambda title, frame: shown.append(frame))
    monkeypatch.setattr(cv2, "waitKey", lambda ms: next(keys) if ms == 100 else None)
    monkeypatch.setattr(cv2, "destroyAllWindows", lambda: shown.append("closed"))
    frames = [np.full((2, 2, 3), (200, 1, i), np.uint8) for i in range(9)]
    show(frames, 10, "x")
    assert len(shown) == 4
    assert shown[1][0, 0].tolist() == [1, 1, 200]  # OpenCV's order is BGR
    assert shown[-1] == "closed"


def test_the_default_seed_is_that_of_the_evaluation(run, replay):
    assert replay.seed == evaluation_seed(load_trained(run).config) == SEED
    assert open_run(run.path) == run
