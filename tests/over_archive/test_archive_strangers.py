"""The archive's pages over runs that may come from anyone."""

import html
import json
import os
import re
import shutil
import sqlite3
from pathlib import Path

import pytest
from archived_run import RESULT, archived, write_figures
from labelled_run import make_run
from visitor import EVIL

from labeler_ui.archive import catalogue as catalogue_module
from prefrl.labels.store import LabelStore
from prefrl.run_directory import write_json
from prefrl.types import Label


def test_html_in_names_and_records_is_shown_as_text(folder, visitor):
    run = archived(folder / EVIL.replace("/", "_"), note=EVIL, result={
        **RESULT, "status": EVIL, "env": EVIL, EVIL: EVIL, "error": EVIL,
    })  # fmt: skip
    origin = json.loads(run.provenance.read_text())
    write_json(run.provenance, {
        **origin, "command": [EVIL], "git_diff": EVIL, "started_at": EVIL, "packages": {EVIL: EVIL},
        "code": {EVIL: EVIL}, "processor": EVIL,
    })  # fmt: skip
    write_json(run.config, {"env": {"id": EVIL}, EVIL: {EVIL: [EVIL]}, "seed": 1})
    other = archived(folder / "other", note=EVIL)
    (run.path / f"{EVIL.replace('/', '_')}.mp4").write_bytes(b"")
    for path in ("/", visitor.page_of(run), visitor.compared(run, other)):
        page = visitor.text(path)
        assert html.escape("<script>") in page
        assert "<script>alert" not in page
        assert "<img" not in page


NONSENSE = [
    b"", b"null", b"[]", b"{", b"\xff\xfe", b'{"a": ' * 5000, b'{"a": ' * 800 + b"1" + b"}" * 800,
    b'{"note": "\\ud800", "status": "\\udfff", "env": {"id": "\\ud800"}, "seed": 1e999}',
    b'{"note": {"a": 1}, "status": ["finished"], "env": [], "seed": "one", "started_at": 3,'
    b' "packages": [], "code": 7, "git_diff": 8, "outputs": [1], "command": {"a": 1},'
    b' "true_return": {"mean": "much"}, "labels": true, "figures": [], "process": "init",'
    b' "error": {"x": []}, "exit_code": [[]], "wall_s": -1e300}',
    b'{"step": "one", "rollout/true_return": {}}\n[]\nnull\n',
]  # fmt: skip


@pytest.mark.parametrize("content", NONSENSE, ids=range(len(NONSENSE)))
@pytest.mark.parametrize(
    "name", ["config.json", "provenance.json", "result.json", "status.json",
             "metrics/policy.jsonl", "labels.sqlite3"],
)  # fmt: skip
def test_nonsense_in_a_run_breaks_no_page(folder, visitor, name, content):
    good, bad = archived(folder / "good"), archived(folder / "bad", seed=1)
    for run in (good, bad):
        write_figures(run, [1.0, 2.0, 3.0])
    if name == "status.json":
        bad.result.unlink()
    (bad.path / name).write_bytes(content)
    assert visitor.text("/").count('name="run"') == 2
    assert visitor.get(visitor.page_of(bad)).status_code in (200, 409)
    assert visitor.get(visitor.compared(good, bad)).status_code in (200, 409)
    assert visitor.get(visitor.page_of(good)).status_code == 200


def test_nonsense_in_a_database_breaks_no_page(folder, visitor):
    made = make_run(folder / "dot", pairs=1)
    query = made.queries[0]
    made.store.add_labels([Label("l", query.id, "anna", "left", 1e9, 1.5, query.left)])
    made.store.close()
    with sqlite3.connect(made.directory.labels) as database:
        database.execute("UPDATE labels SET time_to_answer_s = 'long', answer = 'perhaps'")
    database.close()
    assert "The labels cannot be read" in visitor.text(visitor.page_of(made.directory))


@pytest.mark.parametrize(
    "name", ["config.json", "result.json", "metrics", "metrics/policy.jsonl", "labels.sqlite3",
             "videos", "videos/a.mp4"],
)  # fmt: skip
def test_links_are_not_followed(folder, visitor, tmp_path, name):
    outside = archived(tmp_path / "outside", note="a secret")
    write_figures(outside, [1.0, 2.0])
    outside.videos.mkdir()
    (outside.videos / "a.mp4").write_bytes(b"secret film")
    LabelStore.create(outside.labels, {}).close()
    run = archived(folder / "linked")
    path = run.path / name
    path.parent.mkdir(exist_ok=True)
    path.unlink(missing_ok=True)
    path.symlink_to(outside.path / name)
    listed = visitor.text("/")
    assert "secret" not in listed
    assert "polyline" not in listed
    refusal = visitor.get(visitor.page_of(run))
    assert refusal.status_code == 409
    assert "no plain file or folder" in refusal.text
    assert visitor.get(f"{visitor.page_of(run)}/files/{name}").status_code == 409


def test_a_pipe_keeps_nobody_waiting(folder, visitor):
    for name in ("config.json", "status.json"):
        run = archived(folder / name, result=None)
        (run.path / name).unlink(missing_ok=True)
        os.mkfifo(run.path / name)
    assert visitor.text("/").count("is no plain file or folder") == 2


def test_records_that_are_far_too_large_are_not_read(folder, visitor, monkeypatch):
    monkeypatch.setattr(catalogue_module, "LARGEST_RECORD", 10_000)
    archived(folder / "dot", note="x" * 20_000)
    assert "far too large" in visitor.text("/")


def test_figures_that_are_far_too_large_are_not_read(folder, visitor):
    run = archived(folder / "dot")
    write_figures(run, [1.0, 2.0])
    os.truncate(run.metrics / "policy.jsonl", 2**40)  # of which the disk holds almost nothing
    assert "its figures are far too large" in visitor.text("/")
    assert "policy.jsonl: far too large" in visitor.text(visitor.page_of(run))


def test_a_page_and_a_file_are_found_in_one_walk_at_most(folder, visitor, monkeypatch):
    run = archived(folder / "dot")
    write_figures(run, [1.0, 2.0])
    page, walked, walk = visitor.page_of(run), [], os.walk
    monkeypatch.setattr(os, "walk", lambda path: walked.append(path) or walk(path))
    monkeypatch.setattr(Path, "rglob", lambda *_: pytest.fail("another way of walking"))
    assert "metrics/policy.jsonl" in visitor.text(page)
    assert walked == [run.path]
    assert visitor.get(f"{page}/files/metrics/policy.jsonl").status_code == 200
    assert walked == [run.path]


def test_runs_whose_folders_are_called_alike_have_different_names(folder, visitor):
    runs = [archived(folder / name / "seed0") for name in ("small", "large")]
    write_json(runs[1].config, {**json.loads(runs[1].config.read_text()), "total_timesteps": 9})
    for path in ("/", visitor.compared(*runs)):
        page = visitor.text(path)
        assert "small/seed0" in page
        assert "large/seed0" in page


def test_a_run_with_a_name_that_is_no_text_can_be_opened(folder, visitor):
    shutil.copytree(archived(folder / "plain").path, folder / os.fsdecode(b"\xff\xfe"))
    page = visitor.text("/")
    assert page.count('name="run"') == 2
    for key in re.findall(r'href="/runs/(\w+)"', page):
        visitor.text(f"/runs/{key}")
