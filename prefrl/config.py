"""Every setting of every component: frozen, typed, with its source beside it.

A run's configuration is made once, from a recipe, a file and the command line (in this order), and
is recorded whole in `config.json`. Sources: "paper" is Christiano et al. 2017 (arXiv 1706.03741),
"reproduction" is mrahtz/learning-from-human-preferences (2018).
"""

import dataclasses
import difflib
import json
import math
import tomllib
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from tyro.conf import Suppress, arg

Terminations = Literal["hide", "penalty", "keep"]
Input = Literal["observation", "action", "next_observation"]


class ConfigError(ValueError):
    """A setting that cannot work: one line that says what was wrong and what to do."""


@dataclass(frozen=True)
class EnvConfig:
    """The task: which environment, in exactly which form."""

    id: Annotated[str, Suppress] = "prefrl/MovingDotPosition-v0"
    """A registered Gymnasium id. Atari games in the paper's form are `ALE/<Game>-v5`."""
    import_modules: Annotated[tuple[str, ...], arg(name="import", aliases=("--env-import",))] = ()
    """Modules imported first; they register your own environments."""
    terminations: Annotated[Terminations, arg(aliases=("--terminations",))] = "hide"
    """What an end that is no time limit becomes. `hide`: the agent is not told, and values
    bootstrap through it (paper, Atari). `penalty`: hidden too, and the oracle sees a penalty
    (paper, physics). `keep`: the agent is told."""
    termination_penalty: float = 10.0
    """Subtracted from the true reward of the last step with `--terminations penalty`."""
    clip_length: int = 25
    """Decisions in a clip (paper: 25 for Atari, 1.5 s for physics)."""
    arguments: tuple[str, ...] = ()
    """The environment's own arguments, such as `frame_skip=8`; values are JSON or plain text."""
    time_limit: int = 0
    """Steps after which an episode ends. 0: the environment's own limit, or 1,000 without one."""
    image_size: int = 84
    """Side of the square grey frames that images are turned into (paper: 84)."""
    frame_stack: int = 4
    """Frames in one image observation (paper: 4). Vectors are not stacked."""
    atari_backend: Literal["native", "sb3"] = "native"
    """`native`: ale-py's vector environment, threaded C++. `sb3`: SB3's Python wrappers."""
    atari_frame_skip: int = 4
    """Emulator frames a decision (paper: 4)."""
    atari_noop_max: int = 30
    """Up to this many no-ops begin an episode (paper: as in Mnih et al. 2015, 30)."""


@dataclass(frozen=True)
class PolicyConfig:
    """The policy and how SB3 trains it. Names are SB3's own."""

    algo: Annotated[Literal["ppo", "a2c"], arg(aliases=("--algo",))] = "ppo"
    """The algorithm (paper: A2C for Atari, TRPO for physics)."""
    n_envs: Annotated[int, arg(aliases=("--n-envs",))] = 8
    """Environments stepped together."""
    n_steps: int = 128
    """Steps of each environment in a rollout."""
    batch_size: int = 256
    """PPO's minibatch."""
    n_epochs: int = 4
    """PPO's passes over a rollout."""
    learning_rate: float = 3e-4
    """At the start."""
    learning_rate_end: float = 3e-4
    """At the end of training; linear in between."""
    gamma: float = 0.99
    """Discount."""
    gae_lambda: float = 0.95
    """Generalised advantage estimation; A2C's own value is 1."""
    clip_range: float = 0.2
    """PPO's clip range."""
    ent_coef: float = 0.01
    """Weight of the entropy bonus at the start. A policy that keeps exploring makes clips from
    which there is something to learn."""
    ent_coef_end: float = 0.01
    """At the end of training; linear in between."""
    vf_coef: float = 0.5
    """Weight of the value loss."""
    max_grad_norm: float = 0.5
    """Gradient clipping."""
    use_sde: bool = False
    """SB3's generalised state-dependent exploration, for continuous actions."""
    sde_sample_freq: int = 4
    """Steps between new exploration noise with `use_sde`."""
    net_arch: tuple[int, ...] = (64, 64)
    """Hidden layers of policy and value networks on vectors."""
    clip_fraction: float = 1.0
    """Fraction of the stretches of `clip_length` steps that are recorded as clips."""


@dataclass(frozen=True)
class RewardConfig:
    """The reward predictor and how it is fitted."""

    inputs: tuple[Input, ...] = ("observation", "action")
    """What the predictor sees of a step (paper: observation and action)."""
    members: int = 3
    """Predictors in the ensemble (paper: 3)."""
    hidden: tuple[int, ...] = (64, 64)
    """Dense layers on vectors (paper: two of 64). Images have the paper's convolutions."""
    dropout: float = 0.5
    """Dropout on every convolution (paper: 0.5). Vectors have none, as in the paper."""
    dropout_masks: Literal["shared", "independent"] = "shared"
    """Whether the two clips of a pair are seen through the same dropout mask."""
    batch_norm: bool = True
    """Batch norm on every convolution (paper: yes)."""
    error_rate: float = 0.1
    """Probability with which a labeler is taken to answer at random (paper: 0.1)."""
    target_deviation: float = 1.0
    """Standard deviation of the normalised reward (paper: 0.05 for Atari, 1 for physics)."""
    deviation_floor: float = 1e-3
    """A member's deviation is never taken to be smaller than this."""
    normalise_over_clips: int = 256
    """The last so many clips received give each member's mean and deviation."""
    learning_rate: float = 3e-4
    """The optimiser's (paper: not given; reproduction: 2e-4)."""
    optimiser: Literal["adam", "sgd"] = "adam"
    """Paper: not given; reproduction: Adam."""
    beta1: float = 0.9
    """The optimiser's momentum. Adam's can be strange where the data keep changing."""
    batch_size: int = 32
    """Pairs a minibatch (paper: not given; reproduction: 32)."""
    pretrain_epochs: int = 200
    """Epochs on the initial labels (paper: 200)."""
    round_epochs: int = 20
    """Epochs of each later training round, over all labels in the ring."""
    ring: int = 3000
    """The last so many labels train (paper: 3,000)."""
    l2_initial: float = 1e-4
    """First coefficient of the L2 term on the weights."""
    l2_minimum: float = 1e-7
    """The coefficient never goes below this."""
    l2_maximum: float = 1e-2
    """The coefficient never goes above this."""
    l2_factor: float = 1.5
    """Factor by which a round moves the coefficient; 1 fixes it."""
    l2_low_ratio: float = 1.1
    """Validation loss under this multiple of the training loss: less L2 (paper: 1.1)."""
    l2_high_ratio: float = 1.5
    """Validation loss over this multiple of the training loss: more L2 (paper: 1.5)."""


@dataclass(frozen=True)
class LabelConfig:
    """Who is asked, how often, about which pairs."""

    budget: Annotated[int, arg(aliases=("--labels",))] = 200
    """Labels over the whole run, the initial ones included."""
    labeler: Annotated[Literal["oracle"], arg(aliases=("--labeler",))] = "oracle"
    """Who answers: the synthetic oracle compares the clips' true rewards."""
    mistake_probability: float = 0.0
    """Probability that the oracle gives the opposite answer."""
    initial_fraction: float = 0.25
    """Share of the budget asked before the policy learns (paper: 25% for physics)."""
    schedule: Literal["decay", "constant"] = "decay"
    """`decay`: rate proportional to H / (t + H). `constant`: the same rate throughout."""
    half_rate_fraction: float = 1.0
    """H as a share of all steps: there the rate is half of the first (paper: 5e6 of 5e7 frames
    for Atari, 2e6 steps for physics)."""
    schedule_end: float = 0.8
    """The whole budget is due after this share of all steps: the last labels must still teach."""
    round_labels: int = 10
    """Labels a training round."""
    query_selection: Literal["random", "disagreement"] = "disagreement"
    """`disagreement`: where the predicted preference varies most over the members (paper)."""
    candidates: int = 10
    """Candidate pairs for each query that is asked (paper: 10)."""
    pool_size: int = 1000
    """Clips kept to make queries from, the newest."""
    queue_size: int = 64
    """Pairs that can wait between policy and reward process; more are dropped and counted."""


@dataclass(frozen=True)
class Config:
    """A training run."""

    env: EnvConfig = field(default_factory=EnvConfig)
    policy: PolicyConfig = field(default_factory=PolicyConfig)
    predictor: RewardConfig = field(default_factory=RewardConfig)
    label: LabelConfig = field(default_factory=LabelConfig)
    seed: int = 0
    """Sets every random number of the run."""
    total_timesteps: int = 100_000
    """Environment steps (decisions, over all environments), random ones included."""
    reward: Literal["learned", "true"] = "learned"
    """`true`: the baseline, the same policy and settings on the true reward."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where the networks live. `auto` takes a GPU if there is one and says so."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """Number format of convolutions. `auto`: bfloat16 where the processor computes it."""
    inline: bool = False
    """Both loops in lock step in one process: slower, and the same numbers every time."""
    evaluation_episodes: int = 20
    """Episodes that the finished policy is evaluated on."""

    @property
    def initial_labels(self) -> int:
        """L0, the labels of the first round: a share of the budget, but enough to hold some out."""
        share = round(self.label.initial_fraction * self.label.budget)
        return min(self.label.budget, max(share, LEAST_INITIAL_LABELS))

    @property
    def initial_clips(self) -> int:
        """Clips of the random policy from which the first queries are made."""
        return min(2 * self.initial_labels, self.label.pool_size)


AnyConfig = TypeVar("AnyConfig")

# Fewer first labels leave some member with nothing to train on or nothing held out.
LEAST_INITIAL_LABELS = 10
SMALL = 1e-9  # stands for "above 0"
# The least and the most that a setting can be, where not every number works.
LIMITS: tuple[tuple[str, float, float], ...] = (
    ("total_timesteps", 1, math.inf),
    ("seed", 0, 2**30),  # seeds of single environments are made by adding to it
    ("evaluation_episodes", 1, math.inf),
    ("env.clip_length", 1, math.inf),
    ("env.time_limit", 0, math.inf),
    ("env.frame_stack", 1, math.inf),
    ("env.image_size", 43, math.inf),  # smaller frames do not pass the four convolutions
    ("policy.n_envs", 1, math.inf),
    ("policy.n_steps", 1, math.inf),
    ("policy.batch_size", 2, math.inf),  # PPO normalises advantages over a minibatch
    ("policy.n_epochs", 1, math.inf),
    ("policy.clip_fraction", SMALL, 1),
    ("policy.learning_rate", 0, math.inf),
    ("policy.learning_rate_end", 0, math.inf),
    ("policy.gamma", 0, 1),
    ("policy.gae_lambda", 0, 1),
    ("policy.clip_range", SMALL, math.inf),
    ("policy.max_grad_norm", SMALL, math.inf),
    ("policy.sde_sample_freq", 1, math.inf),
    ("env.atari_frame_skip", 1, math.inf),
    ("env.atari_noop_max", 0, math.inf),
    ("predictor.learning_rate", SMALL, math.inf),
    ("predictor.beta1", 0, 0.9999),
    ("predictor.target_deviation", SMALL, math.inf),
    ("predictor.l2_initial", 0, math.inf),
    ("predictor.l2_minimum", 0, math.inf),
    ("predictor.l2_maximum", 0, math.inf),
    ("predictor.l2_factor", 1, math.inf),
    ("predictor.l2_low_ratio", 0, math.inf),
    ("predictor.l2_high_ratio", 0, math.inf),
    ("predictor.members", 1, math.inf),
    ("predictor.batch_size", 1, math.inf),
    ("predictor.ring", 1, math.inf),
    ("predictor.pretrain_epochs", 1, math.inf),
    ("predictor.round_epochs", 1, math.inf),
    ("predictor.normalise_over_clips", 1, math.inf),
    ("predictor.deviation_floor", SMALL, math.inf),
    ("predictor.dropout", 0, 0.9),
    ("predictor.error_rate", 0, 0.99),
    ("label.budget", 0, math.inf),
    ("label.mistake_probability", 0, 1),
    ("label.initial_fraction", SMALL, 1),
    ("label.schedule_end", SMALL, 1),
    ("label.half_rate_fraction", SMALL, 1e6),
    ("label.round_labels", 1, math.inf),
    ("label.candidates", 1, math.inf),
    ("label.pool_size", 2, math.inf),
    ("label.queue_size", 1, 2**15),  # the most that a semaphore of some systems can count
)


def from_dict(default: AnyConfig, values: dict[str, Any], path: str = "") -> AnyConfig:
    """`default` with the given values in place of its own.

    Args:
        default: An instance of one of the dataclasses above.
        values: Nested, as in `config.json`; keys that are absent keep their default.
        path: Where in the file we are, for messages.

    Raises:
        ConfigError: An unknown key (the nearest known one is named) or a value of a wrong type.
    """
    hints = typing.get_type_hints(type(default))
    changes: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            raise ConfigError(f"unknown setting {path + key!r}{nearest(key, hints)}")
        current = getattr(default, key)
        if dataclasses.is_dataclass(current):
            if not isinstance(value, dict):
                raise ConfigError(f"{path + key}: expected a table of settings, got {value!r}")
            changes[key] = from_dict(current, value, f"{path}{key}.")
        else:
            changes[key] = _checked(value, hints[key], path + key)
    return dataclasses.replace(default, **changes)  # type: ignore[type-var]


def load_file(path: Path) -> dict[str, Any]:
    """The settings in a TOML or JSON file.

    Raises:
        ConfigError: The file is absent, or is not what its name says.
    """
    try:
        text = path.read_text(encoding="utf-8")
        settings = json.loads(text) if path.suffix == ".json" else tomllib.loads(text)
    except OSError as error:
        raise ConfigError(f"--config {path}: {error.strerror}") from error
    except ValueError as error:
        raise ConfigError(f"--config {path}: {error}") from error
    if not isinstance(settings, dict):
        raise ConfigError(f"--config {path}: expected a table of settings")
    return settings


def load_config(path: Path) -> Config:
    """A run's `config.json`.

    Raises:
        ConfigError: It is absent, or was written by another version with other settings.
    """
    try:
        settings = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(settings, dict):
            raise ConfigError("expected a table of settings")
        return from_dict(Config(), settings)
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: {error}") from error


def to_dict(config: Config) -> dict[str, Any]:
    """The configuration as `config.json` holds it."""
    return json.loads(json.dumps(dataclasses.asdict(config)))  # type: ignore[no-any-return]


def nearest(name: str, known: typing.Iterable[str]) -> str:
    """`; did you mean 'x'?`, or nothing when no known name is near."""
    near = difflib.get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def check(config: Config) -> None:
    """Refuse values that no run could work with.

    Raises:
        ConfigError: The first setting that cannot work, and what to do.
    """
    for name, least, most in LIMITS:
        part, _, setting = name.rpartition(".")
        value = getattr(getattr(config, part) if part else config, setting)
        if not least <= value <= most:
            wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
            raise ConfigError(f"{name}: expected {wanted}, got {value:g}")
    if not config.predictor.inputs:
        raise ConfigError("predictor.inputs: the predictor must see something of a step")
    if min((*config.predictor.hidden, *config.policy.net_arch), default=1) < 1:
        raise ConfigError("predictor.hidden, policy.net_arch: a layer has at least one unit")
    if config.policy.algo == "ppo" and config.policy.n_envs * config.policy.n_steps < 2:
        raise ConfigError("PPO needs at least 2 steps a rollout: raise --policy.n-steps")


def _checked(value: Any, hint: Any, name: str) -> Any:
    """The value, as the type that the setting has."""
    origin, options = typing.get_origin(hint), typing.get_args(hint)
    if origin is Annotated:
        return _checked(value, options[0], name)
    if origin is Literal:
        if value not in options:
            raise ConfigError(f"{name}: expected one of {', '.join(options)}, got {value!r}")
        return value
    if origin is tuple:
        if not isinstance(value, list | tuple):
            raise ConfigError(f"{name}: expected a list, got {value!r}")
        return tuple(_checked(item, options[0], name) for item in value)
    if origin is types.UnionType:
        return None if value is None else _checked(value, options[0], name)
    if hint is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if not isinstance(value, hint) or (hint is not bool and isinstance(value, bool)):
        raise ConfigError(f"{name}: expected {hint.__name__}, got {value!r}")
    return value
