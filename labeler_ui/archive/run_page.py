"""What the page of one run shows, from files that may come from anyone."""

import json
import os
import shlex
from collections.abc import Mapping
from typing import Any

import numpy as np
from flask import url_for

from labeler_ui.archive.media import MOST_VIDEOS, pictures_of, videos_of
from labeler_ui.charts import charts_of, minus
from labeler_ui.curves import curves_of
from labeler_ui.labelers import ANSWER_NAMES, labelers_table
from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore, StoreError
from prefrl.run_directory import RunDirectory, RunError, finite, read_object
from prefrl.runs.against_random import no_better_than_random
from prefrl.runs.archive import Entry, entry_of, text
from prefrl.runs.differences import flat
from prefrl.runs.foreign import plain_files
from prefrl.runs.record import record_of
from prefrl.runs.tables import duration, fact, number, size

MOST_FILES = 500
LONGEST_TEXT = 200_000  # characters of settings or of a diff
ORIGIN = ("command", "directory", "started_at", "ended_at", "exit_code", "error")

Facts = list[tuple[str, str]]


def run_page(run: RunDirectory, key: str) -> dict[str, Any]:
    """What `run.html` shows.

    Args:
        run: Which one.
        key: Its name in addresses.

    Raises:
        RunError: There is a link or pipe in it.
    """
    states = plain_files(run)
    entry, record, origin = entry_of(run), record_of(run, states), read_object(run.provenance)
    return {
        "run": entry.name,
        "entry": entry,
        "head": _head(entry),
        **_curves(run),
        "no_better": no_better_than_random(record["result"]),
        "videos": videos_of(states, key),
        "most_videos": MOST_VIDEOS,
        "pictures": pictures_of(states, key),
        **_labels(run),
        "settings": facts(record["settings_that_are_not_the_default"]),
        "config": _json(record["config"]),
        "origin": _origin(record),
        "machine": facts({**record["code"], **record["machine"]}),
        "packages": facts(record["packages"]),
        "diff": _clean(origin.get("git_diff")),
        "result": facts(record["result"]),
        "log": _log(run),
        **_files(states, key),
    }


def facts(values: Mapping[str, Any]) -> Facts:
    """Names and values as people read them."""
    return [(text(key), shown(value)) for key, value in flat(values).items()]


def shown(value: Any) -> str:
    """A fact in one line; figures with the sign that they have in charts."""
    return minus(fact(value)) if isinstance(value, int | float) else fact(value)


def _head(entry: Entry) -> Facts:
    return [
        ("environment", entry.shown_env),
        ("seed", number(entry.seed)),
        (", ".join(filter(None, ("true return", entry.return_of))),
         minus(number(entry.true_return, 1))),
        ("labels", number(entry.labels)),
        ("steps", number(entry.env_steps)),
        ("time", duration(entry.wall_s)),
    ]  # fmt: skip


def _curves(run: RunDirectory) -> dict[str, Any]:
    try:
        return {"charts": charts_of(curves_of(run)), "damage": ""}
    except RunError as error:
        return {"charts": [], "damage": f"The figures cannot be read: {text(str(error))}"}


def _labels(run: RunDirectory) -> dict[str, Any]:
    if not run.labels.exists():
        return {"answers": [], "labels_note": "This run keeps no labels here."}
    try:
        with LabelStore.open_to_read(run.labels) as store:
            counts = store.counts()
            # It draws nothing: only its figures are asked for.
            people = labelers_table(LabelDesk(store, np.random.default_rng(0)))
    except (StoreError, TypeError, ValueError) as error:  # SQLite keeps texts in any column
        return {"answers": [], "labels_note": f"The labels cannot be read: {text(str(error))}"}
    answers = [(ANSWER_NAMES[answer], number(n)) for answer, n in counts.by_answer.items()]
    note = f"{number(counts.answered)} of {number(counts.queries)} pairs are answered."
    return {"answers": answers, "labels_note": note, **people}


def _origin(record: Mapping[str, Any]) -> Facts:
    found = {name: record[name] for name in ORIGIN if record[name] not in (None, "")}
    command = found.get("command")
    if isinstance(command, list):
        found["command"] = shlex.join(map(str, command))
    return [(name.replace("_", " "), fact(value)) for name, value in found.items()]


def _log(run: RunDirectory) -> str:
    """Its end, in whole lines."""
    try:
        with run.log.open("rb") as file:
            size_bytes = file.seek(0, os.SEEK_END)
            file.seek(max(0, size_bytes - LONGEST_TEXT))
            end = file.read(LONGEST_TEXT)
    except OSError:
        return ""
    if size_bytes > LONGEST_TEXT:
        end = b"...\n" + end.partition(b"\n")[2]
    return end.decode(errors="replace")


def _files(states: Mapping[str, os.stat_result], key: str) -> dict[str, Any]:
    files = [
        {
            "name": text(name),
            "size": size(state.st_size),
            # A name that no address can hold is shown, and that is all.
            "address": url_for("archive.file", key=key, name=name) if name.isprintable() else "",
        }
        for name, state in list(states.items())[:MOST_FILES]
    ]
    return {"files": files, "more_files": len(states) - len(files)}


def _json(value: Any) -> str:
    return json.dumps(finite(value), indent=2)[:LONGEST_TEXT]


def _clean(value: Any) -> str:
    """A text of several lines, without what cannot be sent."""
    if not isinstance(value, str):
        return ""
    return value[:LONGEST_TEXT].encode("utf-8", "replace").decode()
