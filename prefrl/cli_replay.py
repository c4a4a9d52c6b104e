"""Commands that show and hand on what a run has learned: `replay`, `export`."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import arg

from prefrl.arguments import PageOptions, RunPath, find_modules_here, parse
from prefrl.config import ConfigError
from prefrl.run_directory import RunDirectory, RunError

if TYPE_CHECKING:
    from labeler_ui.replay_app import View
    from prefrl.runs.video import Frames


@dataclass(frozen=True)
class ReplayOptions:
    """Write a video of a trained policy, with its rewards under the picture."""

    run: RunPath
    """A run's directory; of anyone's, nothing in it is executed."""
    checkpoint: str = "last"
    """`last`, `best` (by the true return), or the steps of a numbered one."""
    episodes: int = 1
    """How many are played, one after the other."""
    seed: int | None = None
    """Of environment and actions; by default that of the run's evaluation."""
    deterministic: bool = False
    """Always the likeliest action; else it is drawn, as in training."""
    gif: bool = False
    """Write a GIF too, such as a README shows."""
    view: bool = False
    """Then serve a page: drag along the curve, and put any stretch of it into the queue."""
    page: Annotated[PageOptions, arg(name="")] = field(default_factory=PageOptions)
    window: bool = False
    """Play in a window instead (needs a display, and opencv-python with its windows)."""
    clips: bool = False
    """Show the clip pairs that were compared, with answers and the predictor's opinion, those it
    gets wrong first."""
    pairs: int = 20
    """How many, with `--clips`."""
    env_import: Annotated[tuple[str, ...], arg(metavar="MODULE ...")] = ()
    """Modules that the run may import: code that you trust."""
    sb3_zip: Annotated[Path | None, arg(metavar="FILE")] = None
    """Play a policy that plain SB3 saved, in the run's environment."""
    sb3_statistics: Annotated[Path | None, arg(metavar="FILE")] = None
    """What SB3's `VecNormalize` saved of its observations, if they were normalised."""
    i_trust_this_file: bool = False
    """Needed with these files: they can hold code, which loading runs."""


@dataclass(frozen=True)
class ExportOptions:
    """Write a trained policy for others' software."""

    run: RunPath
    """A run's directory."""
    format: Literal["sb3"] = "sb3"
    """`sb3`: for `PPO.load` or `A2C.load`, where prefrl is not installed."""
    checkpoint: str = "last"
    """`last`, `best` (by the true return), or the steps of a numbered one."""
    output: Annotated[Path | None, arg(metavar="FILE")] = None
    """Where to; by default exports/CHECKPOINT.zip in the run. For images a second file beside it,
    that ends with .vecnormalize.pkl, is for SB3's `VecNormalize`."""
    env_import: Annotated[tuple[str, ...], arg(metavar="MODULE ...")] = ()
    """Modules that the run may import: code that you trust."""


def replay(args: list[str]) -> int:
    """`prefrl replay`. Returns the exit code."""
    from prefrl.runs.foreign import open_run

    options = parse(ReplayOptions, "replay", None, args)
    _check(options)
    find_modules_here(options.env_import)
    run, view = open_run(options.run), None
    if options.window:
        from prefrl.runs.video import check_window

        check_window()  # before a whole episode is played
    try:
        if options.clips:
            _show_clips(run, options)
        else:
            view = _show_policy(run, options)
    except OSError as error:
        raise RunError(f"{error.filename or run.path}: {error.strerror or error}") from error
    return _serve(view, options.page) if view else 0


def export(args: list[str]) -> int:
    """`prefrl export`. Returns the exit code."""
    from prefrl.runs.foreign import open_run

    options = parse(ExportOptions, "export", None, args)
    find_modules_here(options.env_import)
    run = open_run(options.run)
    from prefrl.runs.sb3_export import export_sb3
    from prefrl.runs.trained import load_trained

    trained = load_trained(run, options.checkpoint, options.env_import)
    path = options.output or run.path / "exports" / f"{options.checkpoint}.zip"
    if path.suffix != ".zip":
        raise ConfigError(f"--output {path}: SB3 wants a name that ends with .zip")
    try:
        exported = export_sb3(trained, path)
    except OSError as error:
        raise RunError(f"{error.filename or path}: {error.strerror or error}") from error
    print(path)
    if exported.statistics:
        print(exported.statistics)
    print(f"plays in {exported.environment}")
    for remark in exported.remarks:
        print(f"note: {remark}")
    return 0


def _check(options: ReplayOptions) -> None:
    for name in ("episodes", "pairs"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name}: expected at least 1, got {getattr(options, name)}")
    if options.seed is not None and not 0 <= options.seed < 2**31:
        raise ConfigError(f"--seed: expected 0 to {2**31 - 1}, got {options.seed}")
    _refuse_unused(options)
    if options.view and (options.clips or options.window):
        raise ConfigError("--view shows a policy in a browser: leave out --clips and --window")
    if options.gif and options.window:
        raise ConfigError("--window writes no file: leave out --gif")
    if options.sb3_zip and not options.i_trust_this_file:
        files = f"--sb3-zip {options.sb3_zip}"
        if options.sb3_statistics:
            files += f" --sb3-statistics {options.sb3_statistics}"
        raise ConfigError(
            f"{files}: loading such a file runs any code that is in it; "
            "if you trust who made it, add --i-trust-this-file"
        )


def _refuse_unused(options: ReplayOptions) -> None:
    """Refuse what was given and would do nothing."""
    useless: dict[str, str] = {}
    if options.clips:
        of_a_policy = ("checkpoint", "episodes", "seed", "deterministic", "sb3_zip")
        useless |= dict.fromkeys(of_a_policy, "--clips shows the last reward, and no policy")
    else:
        useless["pairs"] = "only --clips shows pairs"
    if not options.view:
        useless["page"] = "only --view serves a page"
    if not options.sb3_zip:
        useless |= dict.fromkeys(("sb3_statistics", "i_trust_this_file"), "it goes with --sb3-zip")
    usual = ReplayOptions(options.run)
    for name, reason in useless.items():
        if getattr(options, name) != getattr(usual, name):
            option = "host, --port, --allow-remote" if name == "page" else name.replace("_", "-")
            raise ConfigError(f"--{option}: {reason}")


def _show_policy(run: RunDirectory, options: ReplayOptions) -> "View | None":
    """Play and deliver; returns what is to be served, if anything is."""
    from prefrl.runs.panel import replay_frames, size_shown
    from prefrl.runs.replay import play
    from prefrl.runs.trained import load_trained

    trained = load_trained(run, options.checkpoint, options.env_import)
    policy, act = options.checkpoint, None
    if options.sb3_zip is not None:
        from prefrl.runs.sb3_file import load_sb3, sb3_acts

        policy = f"sb3-{options.sb3_zip.stem}"
        saved = load_sb3(options.sb3_zip, options.sb3_statistics)
        act = sb3_acts(saved, trained.config, options.deterministic)
    replay = play(
        trained, policy, episodes=options.episodes, seed=options.seed,
        deterministic=options.deterministic, act=act,
    )  # fmt: skip
    drawn = "-deterministic" if options.deterministic else ""
    several = f"-episodes{options.episodes}" if options.episodes > 1 else ""
    video = run.videos / f"replay-{policy}-seed{replay.seed}{drawn}{several}.mp4"
    _deliver(lambda: replay_frames(replay), replay.frames_per_second, video, options)
    if options.window:
        return None
    replay.save(video)
    if not options.view:
        return None
    from labeler_ui.replay_app import View
    from prefrl.policy.environment import fingerprint, task_spaces

    size, env = size_shown(replay.episodes[0].picture(0)), trained.config.env
    return View(run, replay, video, size, fingerprint(env, task_spaces(env)))


def _serve(view: "View", page: PageOptions) -> int:
    """Serve the page of a replay until told to stop."""
    from labeler_ui.replay_app import create_view
    from labeler_ui.server import Address
    from prefrl.owner_pages import serve_to_owner

    return serve_to_owner(Address(**vars(page)), "watch it here", partial(create_view, view))


def _show_clips(run: RunDirectory, options: ReplayOptions) -> None:
    from prefrl.compute import prepare, without_gpu
    from prefrl.labels.store import LabelStore
    from prefrl.policy.environment import fingerprint
    from prefrl.runs.clip_frames import frames_per_second, pair_frames
    from prefrl.runs.clip_pairs import judged_pairs
    from prefrl.runs.foreign import config_of
    from prefrl.runs.trained import load_ensemble

    config = without_gpu(config_of(run, options.env_import))
    if config.reward != "learned":
        raise RunError(f"{run.path} learned from the true reward: it has no clips")
    ensemble = load_ensemble(run, config, prepare(config))
    with LabelStore.open(run.labels) as store:
        store.check_fingerprint(fingerprint(config.env, ensemble.spec.spaces))
        pairs = judged_pairs(store, ensemble)
        if not pairs:
            raise RunError(f"{run.path}: no pair of clips was answered")
        wrong, decided = sum(pair.wrong for pair in pairs), sum(pair.decided for pair in pairs)
        print(
            f"the predictor gets {wrong} of the {decided} pairs wrong that labelers decided; it "
            "was fitted to most of them: its validation accuracy is of those it was not"
        )
        shown, fps = pairs[: options.pairs], frames_per_second(store, pairs)
        _deliver(
            lambda: pair_frames(store, ensemble, shown, fps), fps,
            run.videos / "replay-clips.mp4", options,
        )  # fmt: skip


def _deliver(
    frames: "Callable[[], Frames]", fps: float, video: Path, options: ReplayOptions
) -> None:
    """Show the frames in a window, or write them and say where."""
    from prefrl.runs.video import show, write_gif, write_mp4

    if options.window:
        show(frames(), fps, video.stem)
        return
    write_mp4(video, frames(), fps)
    print(video)
    if options.gif:
        write_gif(video.with_suffix(".gif"), frames, fps)
        print(video.with_suffix(".gif"))
