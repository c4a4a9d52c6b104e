"""Which values of settings can work at all. Refused before anything is started."""

import math

from prefrl.config import Config, ConfigError

SMALL = 1e-9  # stands for "above 0"
# Far more than any task needs. What sets how much memory a run takes has a most: a configuration
# may come from anyone, and a machine without memory ends other programs too.
MOST_UNITS, MOST_LAYERS, MOST_KEYPOINTS = 4096, 16, 64
# The least and the most that a setting can be, where not every number works.
LIMITS: tuple[tuple[str, float, float], ...] = (
    ("total_timesteps", 1, math.inf),
    ("seed", 0, 2**30),  # seeds of single environments are made by adding to it
    ("evaluation_episodes", 1, math.inf),
    ("video_every", 0, math.inf),
    ("env.clip_length", 1, 10_000),
    ("env.time_limit", 0, math.inf),
    ("env.frame_stack", 1, 64),
    ("env.image_size", 43, 1024),  # smaller frames do not pass the predictor's convolutions
    ("policy.n_envs", 1, 4096),
    ("policy.n_steps", 1, 1_000_000),
    ("policy.keypoints", 0, MOST_KEYPOINTS),
    ("policy.batch_size", 2, math.inf),  # PPO normalises advantages over a minibatch
    ("policy.n_epochs", 1, math.inf),
    ("policy.clip_fraction", SMALL, 1),
    ("policy.learning_rate", 0, math.inf),
    ("policy.learning_rate_end", 0, math.inf),
    ("policy.gamma", 0, 1),
    ("policy.gae_lambda", 0, 1),
    ("policy.clip_range", SMALL, math.inf),
    ("policy.ent_coef", 0, math.inf),
    ("policy.ent_coef_end", 0, math.inf),
    ("policy.vf_coef", 0, math.inf),
    ("env.termination_penalty", 0, math.inf),
    ("policy.max_grad_norm", SMALL, math.inf),
    ("policy.sde_sample_freq", 1, math.inf),
    ("env.atari_frame_skip", 1, math.inf),
    ("env.atari_noop_max", 0, math.inf),
    ("env.atari_repeat_action_probability", 0, 0.99),
    ("predictor.learning_rate", SMALL, math.inf),
    ("predictor.beta1", 0, 0.9999),
    ("predictor.target_deviation", SMALL, math.inf),
    ("predictor.target_mean", -100, 100),
    ("predictor.l2_initial", 0, math.inf),
    ("predictor.l2_minimum", 0, math.inf),
    ("predictor.l2_maximum", 0, math.inf),
    ("predictor.l2_factor", 1, math.inf),
    ("predictor.l2_low_ratio", 0, math.inf),
    ("predictor.l2_high_ratio", 0, math.inf),
    ("predictor.members", 1, 100),
    ("predictor.keypoints", 0, MOST_KEYPOINTS),
    ("predictor.batch_size", 1, math.inf),
    ("predictor.ring", 1, math.inf),
    ("predictor.pretrain_epochs", 1, math.inf),
    ("predictor.round_epochs", 1, math.inf),
    ("predictor.normalise_over_clips", 1, math.inf),
    ("predictor.deviation_floor", SMALL, math.inf),
    ("predictor.dropout", 0, 0.9),
    ("predictor.error_rate", 0, 0.99),
    ("label.budget", 0, math.inf),
    ("label.rationality", 0, 1e9),
    ("label.myopia", 0, 1),
    ("label.mistake_probability", 0, 1),
    ("label.skip_threshold", -1e30, 1e30),
    ("label.equal_threshold", 0, 1e30),
    ("label.overlap", 1, 1000),
    ("label.repeat_share", 0, 0.5),
    ("label.ahead", 1, 1000),
    ("label.initial_fraction", SMALL, 1),
    ("label.schedule_end", SMALL, 1),
    ("label.half_rate_fraction", SMALL, 1e6),
    ("label.round_labels", 1, math.inf),
    ("label.candidates", 1, math.inf),
    ("label.pool_size", 2, math.inf),
    ("label.queue_size", 1, 2**15),  # the most that a semaphore of some systems can count
)


def check(config: Config) -> None:
    """Refuse values that no run could work with.

    Raises:
        ConfigError: The first setting that cannot work, and what to do.
    """
    for name, least, most in LIMITS:
        part, _, setting = name.rpartition(".")
        value = getattr(getattr(config, part) if part else config, setting)
        in_words = value is None or isinstance(value, str)
        allowed = in_words or (least <= value <= most and value != math.inf)
        if not allowed:
            wanted = f"at least {least:g}" if most == math.inf else f"{least:g} to {most:g}"
            raise ConfigError(f"{name}: expected {wanted}, got {value:g}")
    if not config.predictor.inputs:
        raise ConfigError("predictor.inputs: the predictor must see something of a step")
    for layers in (config.predictor.hidden, config.policy.net_arch):
        if len(layers) > MOST_LAYERS or not all(1 <= units <= MOST_UNITS for units in layers):
            raise ConfigError(
                f"predictor.hidden, policy.net_arch: at most {MOST_LAYERS} layers of 1 to "
                f"{MOST_UNITS} units"
            )
    if 0 < config.env.time_limit < config.env.clip_length:
        raise ConfigError("env.time_limit: no episode would be as long as a clip (env.clip_length)")
    if config.predictor.target_mean < 0 and config.env.terminations == "keep":
        raise ConfigError(
            "predictor.target_mean: below 0 it would pay to end early (--terminations)"
        )
    inputs = config.predictor.inputs
    sees_the_next_alone = "next_observation" in inputs and "observation" not in inputs
    learned = config.reward == "learned"
    if learned and config.env.terminations == "penalty" and sees_the_next_alone:
        raise ConfigError(
            "env.terminations: the predictor sees only the next observation, which after a hidden "
            "end is the next episode's first, and would take the penalty to be for that: add "
            "observation to --predictor.inputs"
        )
    if config.policy.algo == "ppo" and config.policy.n_envs * config.policy.n_steps < 2:
        raise ConfigError("PPO needs at least 2 steps a rollout: raise --policy.n-steps")
