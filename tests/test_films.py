"""Films of the recorder: in step with their clips, and taken only where one is wanted."""

import pickle
import sys
from typing import Any

import cv2
import gymnasium as gym
import numpy as np
import pytest
from gymnasium import spaces
from stable_baselines3.common.vec_env import DummyVecEnv

from prefrl.config import ConfigError, EnvConfig
from prefrl.policy.camera import Camera, check_can_be_filmed, make_filmed_env
from prefrl.policy.environment import make_env
from prefrl.policy.recorder import ClipRecorder
from prefrl.policy.vec_env import hide_ends, make_vec_env
from prefrl.types import FILM_WIDTH, Clip, ClipPair, Film

SIDE, STACK, LENGTH, N_ENVS = 4, 3, 5, 3


class Counter(gym.Env[Any, Any]):
    """Its observation and its picture say who it is, which episode this is and which step."""

    metadata = {"render_modes": ["rgb_array"], "render_fps": 12}  # noqa: RUF012
    rendered = 0

    def __init__(
        self, image: bool = False, ends: str = "both", render_mode: str | None = None
    ) -> None:
        self._image, self._ends, self.render_mode = image, ends, render_mode
        self.observation_space = (
            spaces.Box(0, 255, (SIDE, SIDE), np.uint8) if image else spaces.Box(0, 255, (3,))
        )
        self.action_space = spaces.Discrete(2)
        self._who, self._episode = 0, 0
        self._canvas = np.zeros((2, 2, 3), np.uint8)  # one for all pictures, as some have it

    def reset(self, *, seed: int | None = None, options: Any = None) -> tuple[Any, dict[str, Any]]:
        super().reset(seed=seed)
        self._who = self._who or int(self.np_random.integers(1, 256))
        self._episode, self._step = self._episode + 1, 0
        self._length = int(self.np_random.integers(1, 12))
        self._limit = {"both": bool(self.np_random.integers(2)), "terminations": False}.get(
            self._ends, True
        )
        return self._observation(), {}

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        self._step += 1
        over = self._step == self._length and self._ends != "never"
        return self._observation(), 0.0, over and not self._limit, over and self._limit, {}

    def render(self) -> Any:
        assert self.render_mode == "rgb_array"
        Counter.rendered += 1
        self._canvas[:] = self._facts()
        return self._canvas

    def _facts(self) -> np.ndarray:
        return np.array([self._who, self._episode % 256, self._step % 256])

    def _observation(self) -> Any:
        if not self._image:
            return self._facts().astype(np.float32)
        frame = np.zeros((SIDE, SIDE), np.uint8)
        frame[0, :3] = self._facts()
        return frame


class Stranger(Counter):
    """Like a counter, with whatever picture it is given."""

    metadata = {"render_modes": ["rgb_array"]}  # noqa: RUF012

    def __init__(self, picture: Any = None, render_mode: str | None = None) -> None:
        super().__init__(render_mode=render_mode)
        self._picture = picture

    def render(self) -> Any:
        if isinstance(self._picture, Exception):
            raise self._picture
        return self._picture


class Unseen(Counter):
    """Nothing to see, and no argument for it."""

    metadata = {}  # noqa: RUF012

    def __init__(self) -> None:
        super().__init__()


for _image in (False, True):
    for _ends in ("both", "terminations", "limits", "never"):
        gym.register(
            f"films/Counter-{_image}-{_ends}-v0",
            entry_point=Counter,
            kwargs={"image": _image, "ends": _ends},
        )
for _name, _picture in {
    "Broken": OSError("no display"),
    "Grey": np.zeros((4, 4), np.uint8),
    "Fractions": np.zeros((4, 4, 3)),
    "Nothing": None,
    "Fine": np.zeros((4, 4, 3), np.uint8),
}.items():
    gym.register(f"films/{_name}-v0", entry_point=Stranger, kwargs={"picture": _picture})
gym.register("films/Unseen-v0", entry_point=Unseen)


class Filmed:
    """A recorder that films, and the pairs that it offered."""

    def __init__(
        self, config: EnvConfig, fraction: float = 1.0, n_envs: int = N_ENVS, films: bool = True
    ) -> None:
        self.pairs: list[ClipPair] = []
        self.venv = make_vec_env(config, n_envs, seed=3, films=films)
        self.recorder = ClipRecorder(
            hide_ends(self.venv, config), config.clip_length, fraction, False, self._offer,
            np.random.default_rng(0), films,
        )  # fmt: skip
        self.recorder.reset()

    def _offer(self, pair: ClipPair) -> bool:
        self.pairs.append(pair)
        return True

    def play(self, n: int) -> "Filmed":
        space = self.recorder.action_space
        space.seed(0)
        for _ in range(n):
            self.recorder.step(np.array([space.sample() for _ in range(self.recorder.num_envs)]))
        return self

    @property
    def takes(self) -> list[tuple[Clip, Film]]:
        takes = []
        for pair in self.pairs:
            assert pair.films is not None
            takes += [(pair.first, pair.films[0]), (pair.second, pair.films[1])]
        return takes


def counter(image: bool = False, ends: str = "both", terminations: str = "hide") -> EnvConfig:
    return EnvConfig(
        id=f"films/Counter-{image}-{ends}-v0", terminations=terminations,  # type: ignore[arg-type]
        image_size=SIDE, frame_stack=STACK, clip_length=LENGTH,
    )  # fmt: skip


def facts(clip: Clip) -> np.ndarray:
    """What each of the T + 1 observations says, `[T + 1, 3]`."""
    rows = clip.observations
    return rows[clip.frame_stack - 1 :, 0, :3] if clip.is_image else rows


# --- in step ------------------------------------------------------------------------------------


@pytest.mark.parametrize("terminations", ["hide", "penalty", "keep"])
@pytest.mark.parametrize("image", [False, True], ids=["vectors", "images"])
def test_each_frame_shows_what_the_clip_has_in_its_place(image, terminations):
    filmed = Filmed(counter(image, terminations=terminations)).play(150)
    filmed.recorder.reset()
    filmed.play(150)
    crossed = 0
    assert len(filmed.takes) > 20
    for clip, film in filmed.takes:
        assert film.frames.shape == (LENGTH + 1, 2, 2, 3)
        assert film.frames_per_second == 12
        seen = film.frames.astype(int)
        assert (seen == seen[:, :1, :1]).all()
        np.testing.assert_array_equal(seen[:, 0, 0], facts(clip))
        crossed += len(np.unique(seen[:, 0, 0, 1])) > 1
    assert bool(crossed) == (terminations != "keep")


def test_a_clip_that_ends_with_its_episode_shows_the_end_and_not_the_next_beginning():
    filmed = Filmed(counter(ends="limits")).play(300)
    last = [step for step in filmed.recorder.rollout if step.dones.any()]
    ends = {tuple(step.next_observations[i]) for step in last for i in np.flatnonzero(step.dones)}
    shown = [tuple(film.frames[-1, 0, 0].astype(float)) for _, film in filmed.takes]
    assert len(ends.intersection(shown)) > 5
    assert all(step >= LENGTH for _, _, step in shown)


def test_where_an_end_is_hidden_the_film_goes_on_with_the_next_episode():
    filmed = Filmed(counter(ends="terminations")).play(100)
    steps = [film.frames[:, 0, 0, 2].astype(int) for _, film in filmed.takes]
    assert any((np.diff(row) < 0).any() for row in steps)
    assert all(row[t] == 0 for row in steps for t in np.flatnonzero(np.diff(row) < 0) + 1)


def test_a_film_is_left_alone_by_what_comes_after():
    filmed = Filmed(counter()).play(40)
    before = [film.frames.copy() for _, film in filmed.takes]
    filmed.recorder.reset()
    filmed.play(40)
    for (_, film), frames in zip(filmed.takes, before, strict=False):
        np.testing.assert_array_equal(film.frames, frames)


def test_the_moving_dot_is_seen_where_its_position_says():
    filmed = Filmed(EnvConfig(id="prefrl/MovingDotPosition-v0")).play(30)
    for clip, film in filmed.takes:
        assert film.frames.shape == (26, 210, 160, 3)
        assert film.frames_per_second == 15
        for (x, y, *_), frame in zip(clip.observations, film.frames, strict=True):
            rows, columns, _ = np.nonzero(frame > 128)  # the centre's cross is darker
            assert (columns.min(), rows.min()) == (x, y)
    assert filmed.takes


@pytest.mark.parametrize(("id", "speed"), [("Pendulum-v1", 30), ("prefrl/CartPoleUpright-v0", 50)])
def test_physics_is_filmed_as_it_is_rendered_step_by_step(id, speed):
    config = EnvConfig(id=id, clip_length=10, terminations="keep", time_limit=20)
    filmed = Filmed(config, n_envs=1).play(80)
    plain = DummyVecEnv([lambda: make_env(config, "rgb_array")])
    plain.seed(3)
    observations = plain.reset()
    seen = {observations.tobytes(): plain.env_method("render")[0]}
    plain.action_space.seed(0)
    for _ in range(80):
        observations, _, dones, _ = plain.step(np.array([plain.action_space.sample()]))
        if not dones[0]:
            seen[np.asarray(observations).tobytes()] = plain.env_method("render")[0]
    compared = 0
    for clip, film in filmed.takes:
        assert film.frames_per_second == speed
        for observation, frame in zip(clip.observations, film.frames, strict=True):
            if observation.tobytes() in seen:
                shown = seen[observation.tobytes()]
                if shown.shape[1] > FILM_WIDTH:  # the pendulum is square
                    side = (FILM_WIDTH, FILM_WIDTH)
                    shown = cv2.resize(shown, side, interpolation=cv2.INTER_AREA)
                np.testing.assert_array_equal(frame, shown)
                compared += 1
        assert (film.frames != film.frames[0]).any()  # something moves
    assert compared > 20


# --- Atari --------------------------------------------------------------------------------------


@pytest.mark.parametrize("time_limit", [0, 50])
def test_pong_is_filmed_in_colour_and_in_step(time_limit):
    config = EnvConfig(id="ALE/Pong-v5", atari_noop_max=0, time_limit=time_limit)
    filmed = Filmed(config, n_envs=2).play(150)
    assert len(filmed.takes) >= 10
    for clip, film in filmed.takes:
        assert film.frames.shape == (26, 210, 160, 3)
        assert film.frames_per_second == 15
        assert (film.frames.min(axis=3) != film.frames.max(axis=3)).any()
        for frame, picture in zip(clip.observations[3:], film.frames, strict=True):
            np.testing.assert_array_equal(frame, small_grey(picture))
    filmed.recorder.close()


def test_the_python_form_of_pong_is_filmed_in_step():
    config = EnvConfig(id="ALE/Pong-v5", atari_backend="sb3", atari_noop_max=0)
    filmed = Filmed(config, n_envs=1).play(100)
    in_step = late = 0.0
    for clip, film in filmed.takes:
        assert film.frames_per_second == 15
        frames = clip.observations[3:].astype(int)
        greys = np.stack([small_grey(picture) for picture in film.frames]).astype(int)
        assert np.abs(frames - greys).mean() < 0.5  # its frames are the brightest of two
        in_step += np.abs(frames - greys)[1:].sum()
        late += np.abs(frames[1:] - greys[:-1]).sum()
    assert in_step < late / 2
    filmed.recorder.close()


@pytest.mark.parametrize(("frame_skip", "speed"), [(4, 15), (2, 30), (3, 20)])
@pytest.mark.parametrize("backend", ["native", "sb3"])
def test_a_game_is_shown_at_its_own_speed(backend, frame_skip, speed):
    config = EnvConfig(id="ALE/Pong-v5", atari_backend=backend, atari_frame_skip=frame_skip)
    venv = make_vec_env(config, 1, 0, films=True)
    assert venv.get_attr("frames_per_second") == [speed]
    venv.close()


def small_grey(picture: np.ndarray) -> np.ndarray:
    grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    return cv2.resize(grey, (84, 84), interpolation=cv2.INTER_AREA)


# --- only where a film is wanted ----------------------------------------------------------------


@pytest.mark.parametrize("fraction", [0.0, 0.3, 1.0])
def test_only_stretches_that_are_kept_are_rendered(fraction):
    Counter.rendered = 0
    filmed = Filmed(counter(ends="never"), fraction).play(40 * LENGTH)
    kept = len(filmed.takes) + (filmed.recorder._waiting is not None)
    assert Counter.rendered == kept * (LENGTH + 1)
    assert kept == pytest.approx(fraction * 40 * N_ENVS, abs=15 * (0 < fraction < 1))


def test_an_end_outside_of_what_is_kept_is_not_rendered():
    Counter.rendered = 0
    Filmed(counter(ends="both"), fraction=0.0).play(100)
    assert Counter.rendered == 0


def test_a_synthetic_run_has_no_camera_and_no_films():
    Counter.rendered = 0
    filmed = Filmed(counter(), films=False).play(50)
    assert filmed.recorder.studio is None
    assert {pair.films for pair in filmed.pairs} == {None}
    assert Counter.rendered == 0
    assert filmed.venv.get_attr("render_mode") == [None] * N_ENVS


@pytest.mark.parametrize(
    "id", ["prefrl/MovingDotPosition-v0", "Pendulum-v1", "films/Counter-True-both-v0"]
)
def test_films_change_nothing_of_the_clips(id):
    config = EnvConfig(id=id, clip_length=LENGTH, image_size=SIDE)
    with_films, without = (Filmed(config, 0.5, films=films).play(60) for films in (True, False))
    assert len(with_films.pairs) > 3
    for pair, plain in zip(with_films.pairs, without.pairs, strict=True):
        assert (pair.first.id, pair.second.id) == (plain.first.id, plain.second.id)


def test_a_stretch_that_cannot_be_afforded_is_no_clip():
    filmed = Filmed(counter(ends="never")).play(4 * LENGTH)
    assert filmed.recorder.studio is not None
    filmed.recorder.studio.share = 1e-9
    offered = len(filmed.pairs)
    filmed.play(4 * LENGTH)
    assert len(filmed.pairs) <= offered + N_ENVS
    Counter.rendered = 0
    filmed.play(4 * LENGTH)
    assert Counter.rendered == 0


# --- what cannot be filmed ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("Unseen", "rgb_array is needed"), ("Broken", "no display"), ("Grey", r"\[4, 4\] uint8"),
        ("Fractions", "float64"), ("Nothing", "object"),
    ],
)  # fmt: skip
def test_what_cannot_be_rendered_is_refused_with_the_reason(name, why):
    with pytest.raises(
        ConfigError,
        match=f"films/{name}-v0 cannot be rendered, so people cannot label it: .*{why}",
    ):
        check_can_be_filmed(EnvConfig(id=f"films/{name}-v0"))


def test_without_pygame_the_pendulum_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "pygame", None)
    with pytest.raises(ConfigError, match=r"Pendulum-v1 cannot be rendered.*classic.control"):
        check_can_be_filmed(EnvConfig(id="Pendulum-v1"))


def test_an_unknown_environment_is_still_called_unknown():
    with pytest.raises(ConfigError, match="unknown environment"):
        check_can_be_filmed(EnvConfig(id="ALE/Pnog-v5"))


@pytest.mark.parametrize(
    "id", ["films/Fine-v0", "ALE/Pong-v5", "Pendulum-v1", "prefrl/MovingDotPosition-v0"]
)
def test_what_can_be_rendered_is_let_through(id):
    check_can_be_filmed(EnvConfig(id=id))


@pytest.mark.parametrize(
    ("config", "speed"),
    [
        (EnvConfig(id="films/Fine-v0"), 15),  # says nothing
        (EnvConfig(id="films/Counter-False-both-v0"), 12),
        (EnvConfig(id="prefrl/MovingDotPosition-v0", arguments=("frame_skip=10",)), 6),
    ],
)
def test_films_run_at_the_environments_own_speed(config, speed):
    env = make_filmed_env(config)
    assert isinstance(env, Camera)
    assert env.frames_per_second == speed
    env.close()


# --- on its way -----------------------------------------------------------------------------------


def test_a_film_travels_with_its_pair():
    pair = Filmed(counter()).play(20).pairs[0]
    again = pickle.loads(pickle.dumps(pair))
    assert again.first.id == pair.first.id
    np.testing.assert_array_equal(again.films[1].frames, pair.films[1].frames)
