"""The videos and pictures of a run, as its page shows them."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass

from flask import url_for

from prefrl.runs.archive import text

MOST_VIDEOS = 6  # at once; the others are a click away

States = Mapping[str, os.stat_result]


@dataclass(frozen=True)
class Video:
    """A whole video.

    Attributes:
        title: For people.
        address: Changes when the file does.
    """

    title: str
    address: str


@dataclass(frozen=True)
class Picture:
    """A picture that `prefrl plot` has drawn.

    Attributes:
        title: For people.
        light: Address of that for light pages; for dark ones too where they have none.
        dark: Address of that for dark pages; empty without one.
    """

    title: str
    light: str
    dark: str


def videos_of(states: States, key: str) -> list[Video]:
    """The newest first.

    Args:
        states: The run's `plain_files`.
        key: Its name in addresses.
    """
    made = [name for name in states if re.fullmatch(r"videos/[^/]+(?<!\.partial)\.mp4", name)]
    return [
        Video(_video_title(name.removeprefix("videos/").removesuffix(".mp4")), address)
        for name in sorted(made, key=lambda name: states[name].st_mtime_ns, reverse=True)
        if (address := _address(states, key, name))
    ]


def pictures_of(states: States, key: str) -> list[Picture]:
    """Each once, whatever themes it is there for; arguments as for `videos_of`."""
    drawn = [name for name in states if re.fullmatch(r"plots/[^/]+(?<!-dark)\.png", name)]
    return [
        Picture(
            text(name.removeprefix("plots/").removesuffix(".png")).replace("_", " "), address,
            _address(states, key, f"{name.removesuffix('.png')}-dark.png"),
        )
        for name in drawn
        if (address := _address(states, key, name))
    ]  # fmt: skip


def _address(states: States, key: str, name: str) -> str:
    """Empty for what is not there or has a name that no address can hold."""
    if name not in states or not name.isprintable():
        return ""
    return url_for("archive.file", key=key, name=name, made=states[name].st_mtime_ns)


def _video_title(stem: str) -> str:
    """What prefrl itself calls a video, in words."""
    if step := re.fullmatch(r"step-(\d{1,15})", stem, re.ASCII):
        return f"after {int(step[1]):,} steps"
    known = {"evaluation": "evaluation at the end", "replay-clips": "answered pairs"}
    return known.get(stem, text(stem).replace("-", " "))
