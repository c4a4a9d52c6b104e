"""Settings that fit a task: by name for the tasks we know, by the shape of the task for others."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from prefrl import atari_recipes
from prefrl.config import Config, ConfigError, EnvConfig, LabelConfig, PolicyConfig, RewardConfig
from prefrl.types import TaskSpaces

CLIP_LENGTH = 25  # decisions; paper, appendix A.2: 25 steps in Atari
CLIP_SECONDS = 1.5  # paper, appendix A.1: clips of 1.5 s in physics
MAX_CLIP_LENGTH = 100  # where a decision takes very little time


@dataclass(frozen=True)
class Recipe:
    """A named task with settings that were tried on it.

    Attributes:
        config: The settings.
        task: What the agent is to do, in a few words.
        status: What is known of how well it is learned.
        paper: The paper's own settings, where it has them for this task.
    """

    config: Config
    task: str
    status: str
    paper: Config | None = None


_VECTOR = Config()

_DOT = Config(
    env=EnvConfig(id="prefrl/MovingDotPosition-v0"),
    policy=PolicyConfig(
        # The reward comes with the step that earns it: a long horizon only adds noise. Much
        # exploration while labels come, or the dot hovers beside the centre and its clips do not
        # tell where that is.
        n_epochs=8, learning_rate=1e-3, learning_rate_end=1e-4, gamma=0.8,
        ent_coef=1.0, ent_coef_end=0.003,
    ),
    # Differs from the paper: the movement to a place is part of the observation there.
    predictor=RewardConfig(inputs=("next_observation",), learning_rate=1e-3),
    label=LabelConfig(initial_fraction=0.4, schedule_end=0.65, round_labels=5, candidates=50),
    total_timesteps=300_000,
)  # fmt: skip

RECIPES: Mapping[str, Recipe] = {
    "moving-dot-position": Recipe(
        _DOT,
        "bring the dot to the centre, from its position",
        "score 0.9 from 200 labels by 10 of 10 seeds",
    ),
    "moving-dot": Recipe(
        replace(
            _DOT,
            # Two frames: where the dot is, and where it came from.
            env=EnvConfig(id="prefrl/MovingDot-v0", image_size=44, frame_stack=2),
            policy=replace(_DOT.policy, keypoints=2),
            predictor=replace(_DOT.predictor, keypoints=2),
            total_timesteps=200_000,
        ),
        "bring the dot to the centre, from pixels",
        "score 0.9 from 200 labels by 9 of 10 seeds",
    ),
    "pendulum": Recipe(
        Config(
            env=EnvConfig(id="Pendulum-v1", clip_length=30),
            policy=PolicyConfig(
                # Many passes over few steps: 50,000 are not much for PPO. A rollout holds whole
                # episodes, which all environments begin at once: some of 128 steps show little
                # but a pendulum that stands, and the policy may forget the swing.
                n_envs=4, n_steps=200, batch_size=100, n_epochs=15, learning_rate=1e-3,
                learning_rate_end=0.0, gamma=0.97, gae_lambda=0.9, activation="relu",
                ent_coef=0.0, ent_coef_end=0.0,
            ),
            # Differs from the paper: from the action it learns preferences that nobody has. Small
            # rewards, or the value's gradient takes all that the clipping lets through. Below 0, as
            # the true ones are: else some seeds keep spinning past the top from a few starts.
            predictor=RewardConfig(
                inputs=("next_observation",), target_deviation=0.05, target_mean=-3.0,
                learning_rate=1e-3,
            ),
            # A reward that soon stands still.
            label=LabelConfig(initial_fraction=0.4, schedule_end=0.3),
            total_timesteps=50_000,
        ),
        "swing the pendulum up and hold it",
        "-200 from 200 labels by 5 of 5 seeds",
    ),
    "cartpole": Recipe(
        replace(
            _VECTOR,
            env=EnvConfig(id="prefrl/CartPoleUpright-v0"),
            policy=PolicyConfig(n_epochs=8, learning_rate=1e-3, learning_rate_end=1e-4),
            predictor=RewardConfig(inputs=("next_observation",)),
            total_timesteps=100_000,
        ),
        "keep the pole upright and the cart in the middle",
        "runs and learns; not measured over seeds yet",
    ),
    **{
        name.lower(): Recipe(
            replace(
                atari_recipes.FAST,
                env=atari_recipes.environment(name, atari_recipes.FAST_SIDE),
                total_timesteps=game.fast_steps,
            ),
            game.task,
            game.state,
            paper=replace(
                atari_recipes.PAPER,
                env=atari_recipes.environment(name, atari_recipes.PAPER_SIDE),
            ),
        )
        for name, game in atari_recipes.GAMES.items()
    },
    "enduro-alongside": Recipe(
        atari_recipes.FAST_ALONGSIDE,
        "keep level with the other cars in Enduro",
        "740 of 750 from 1,300 labels by the one seed run",
        paper=atari_recipes.PAPER_ALONGSIDE,
    ),
}  # fmt: skip


def settings_of(task: str, recipe: str) -> Config:
    """The settings of a task by name, or of a Gymnasium id before its shapes are known.

    Args:
        task: As the command line has it.
        recipe: `fast` or `paper`.

    Raises:
        ConfigError: The paper has no settings for it.
    """
    if task not in RECIPES:
        known: Config | None = Config(env=EnvConfig(id=task)) if recipe == "fast" else None
    else:
        known = RECIPES[task].config if recipe == "fast" else RECIPES[task].paper
    if known is None:
        of_the_paper = ", ".join(name for name in RECIPES if RECIPES[name].paper)
        raise ConfigError(f"--recipe paper: is there for {of_the_paper}, not for {task}")
    return known


def for_unknown(env: EnvConfig, task: TaskSpaces, decision_s: float | None) -> Config:
    """Settings for a task that no recipe knows.

    Args:
        env: Its id, and the modules that register it.
        task: Its shapes.
        decision_s: Seconds a decision takes, where the environment says so: physics.
    """
    # Images keep the paper's 84x84 where nobody has looked at what is lost in smaller ones.
    base = atari_recipes.FAST if task.is_image else _VECTOR
    length = CLIP_LENGTH
    if decision_s:
        length = min(MAX_CLIP_LENGTH, max(2, round(CLIP_SECONDS / decision_s)))
    fresh = EnvConfig(
        id=env.id, import_modules=env.import_modules, arguments=env.arguments, clip_length=length
    )
    return replace(base, env=fresh)


def for_algo(base: Config, algo: str) -> Config:
    """The same with another algorithm, and the settings that go with that.

    Source: Mnih et al. 2016, as the paper has them: those of SB3's A2C, but with a bonus for
    entropy and a rate that falls to 0.

    Raises:
        ConfigError: The settings are the paper's, which has no others.
    """
    if algo == base.policy.algo:
        return base
    if algo == "ppo":
        raise ConfigError("--algo ppo: the paper's recipe is for A2C; leave out --recipe paper")
    policy = replace(
        base.policy, algo="a2c", n_steps=5, learning_rate=7e-4, learning_rate_end=0.0,
        gae_lambda=1.0, ent_coef=0.01, ent_coef_end=0.01,
    )  # fmt: skip
    # Pong's fewer steps are PPO's. Labels that are due in so few would keep A2C, which makes more
    # steps a second, waiting for the reward process.
    steps = atari_recipes.FAST_STEPS if base.env.id.startswith("ALE/") else 0
    return replace(base, policy=policy, total_timesteps=max(base.total_timesteps, steps))


def refuse_unusable(config: Config, base: Config, task: TaskSpaces) -> None:
    """Refuse settings that were changed from the recipe's and cannot have an effect.

    Raises:
        ConfigError: The first such setting, and why it has none.
    """
    atari = tuple(f"env.{name}" for name in vars(config.env) if name.startswith("atari_"))
    images = ("env.image_size", "env.frame_stack", "predictor.keypoints", "policy.keypoints")
    convolutions = (
        "predictor.dropout", "predictor.dropout_masks", "predictor.batch_norm",
        "predictor.standard_pixels",
    )  # fmt: skip
    policy_layers = ("policy.net_arch", "policy.activation")
    policy_convolves, predictor_convolves = (
        task.is_image and not part.keypoints for part in (config.policy, config.predictor)
    )
    ppo = ("policy.batch_size", "policy.n_epochs", "policy.clip_range")
    without_effect: list[tuple[bool, tuple[str, ...], str]] = [
        (not config.env.id.startswith("ALE/"), atari, "is for Atari games"),
        (config.env.id.startswith("ALE/"), ("env.arguments",), "is not for Atari games"),
        (
            not task.is_image, (*images, *convolutions, "policy.standard_pixels"),
            "is for images, and this task's observations are vectors",
        ),
        (not predictor_convolves, convolutions, "needs --predictor.keypoints 0"),
        (
            not config.predictor.dropout, ("predictor.dropout_masks",),
            "needs --predictor.dropout above 0",
        ),
        (
            predictor_convolves, ("predictor.hidden",),
            "needs --predictor.keypoints, as this task's observations are images",
        ),
        (not policy_convolves, ("policy.standard_pixels",), "needs --policy.keypoints 0"),
        (
            policy_convolves, policy_layers,
            "needs --policy.keypoints, as this task's observations are images",
        ),
        (config.policy.algo == "a2c", ppo, "is for PPO, and --algo is a2c"),
        (task.n_actions is not None, ("policy.use_sde",), "is for continuous actions"),
        (not config.policy.use_sde, ("policy.sde_sample_freq",), "needs --policy.use-sde"),
        (
            config.env.terminations != "penalty", ("env.termination_penalty",),
            "needs --terminations penalty",
        ),
        (
            config.env.terminations != "keep", ("env.atari_episodes",),
            "needs --terminations keep: a hidden end would only be penalised",
        ),
        (
            config.label.query_selection == "random", ("label.candidates",),
            "needs --label.query-selection disagreement",
        ),
        (
            config.label.schedule == "constant", ("label.half_rate_fraction",),
            "needs --label.schedule decay",
        ),
    ]  # fmt: skip
    for applies, names, why in without_effect:
        for name in names if applies else ():
            part, setting = name.split(".")
            if getattr(getattr(config, part), setting) != getattr(getattr(base, part), setting):
                raise ConfigError(f"--{name.replace('_', '-')} {why}")
