"""The archive's pages as a browser gets them."""

import hashlib
import html
import json
import os
import re
import shutil
from pathlib import Path

import pytest
from archived_run import RESULT, archived, write_figures
from labelled_run import make_run
from visitor import EVIL, HOST, PORT, TOKEN

from labeler_ui.archive import catalogue as catalogue_module
from labeler_ui.archive.app import MOST_COMPARED
from prefrl.labels.store import LabelStore, StoreError
from prefrl.run_directory import write_json
from prefrl.run_status import StatusFile
from prefrl.types import Label

# --- the list ------------------------------------------------------------------------------------


def test_the_list_says_of_each_run_what_it_asked_how_it_stands_and_what_it_reached(folder, visitor):
    run = archived(folder / "dot", note="does it learn?", seed=3)
    write_figures(run, [float(i) for i in range(100)])
    archived(folder / "older" / "gone", result=None, started="2025-01-01T00:00:00+00:00")
    page = visitor.text("/")
    for expected in ("dot", "does it learn?", "finished", "70.2", "200", "300,000", "1:02"):
        assert expected in page
    assert page.index("finished</span>") < page.index("lost</span>")  # the newest first
    (spark,) = re.findall(r'<polyline class="curve" points="([^"]+)"', page)
    heights = [float(place.split(",")[1]) for place in spark.split()]
    assert 30 < len(heights) <= catalogue_module.SPARK_POINTS
    assert heights == sorted(heights, reverse=True)  # a return that rises; y grows downwards
    assert heights[-1] == 0


def test_only_what_has_changed_is_read_again(folder, visitor, monkeypatch):
    runs = [archived(folder / name) for name in "abc"]
    visitor.text("/")
    read = []
    original = catalogue_module.entry_of
    monkeypatch.setattr(
        catalogue_module, "entry_of", lambda run: (read.append(run), original(run))[1]
    )
    visitor.text("/")
    assert read == []
    write_json(runs[1].result, {**RESULT, "labels": 123_456})
    assert "123,456" in visitor.text("/")
    assert read == [runs[1]]
    shutil.rmtree(runs[0].path)
    archived(folder / "d", note="new here")
    page = visitor.text("/")
    assert "new here" in page
    assert page.count('name="run"') == 3


def test_a_run_whose_process_dies_is_shown_as_lost_though_no_file_changes(folder, visitor):
    run = archived(folder / "dot", result=None)
    StatusFile(run).update({"policy": "learning"})
    assert 'running">running' in visitor.text("/")
    status = json.loads(run.status.read_text())
    before = run.status.stat()
    run.status.write_text(json.dumps(status).replace(str(status["process"]), "2" * 7))
    os.utime(run.status, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert 'lost">lost' in visitor.text("/")


def test_a_folder_without_runs_says_so(visitor):
    assert "no runs in this folder" in visitor.text("/")


# --- who gets in ---------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/", "/runs/0", "/runs/0/files/config.json", "/compare"])
def test_nobody_gets_in_without_the_token(visitor, path):
    stranger = visitor.app.test_client()
    assert stranger.get(path, base_url=HOST).status_code == 401
    stranger.set_cookie(f"prefrl_{PORT}", "x" * 43, domain="127.0.0.1")
    assert stranger.get(path, base_url=HOST).status_code == 401
    assert stranger.get(path, headers={"Host": "evil.example"}).status_code == 421


def test_the_link_becomes_a_cookie_and_leaves_the_address(visitor):
    stranger = visitor.app.test_client()
    response = stranger.get(f"/?token={TOKEN}", base_url=HOST)
    assert (response.status_code, response.location) == (303, "/")
    assert "HttpOnly" in response.headers["Set-Cookie"]
    assert stranger.get("/", base_url=HOST).status_code == 200


def test_nothing_can_be_sent_and_looking_changes_nothing(folder, visitor):
    run = archived(folder / "dot")
    write_figures(run, [1.0, 2.0])
    LabelStore.create(run.labels, {}).close()
    other = archived(folder / "other", seed=1)
    before = fingerprint(folder)
    paths = ["/", visitor.page_of(run), f"{visitor.page_of(run)}/files/config.json",
             visitor.compared(run, other)]  # fmt: skip
    for path in paths:
        visitor.text(path)
        for method in ("post", "put", "delete", "patch"):
            headers = {"Sec-Fetch-Site": "same-origin"}
            sent = getattr(visitor.client, method)(path, base_url=HOST, headers=headers)
            assert sent.status_code == 405
    assert fingerprint(folder) == before


def fingerprint(folder: Path) -> dict[str, tuple[int, str]]:
    return {
        str(path): (path.stat().st_mtime_ns, hashlib.sha256(path.read_bytes()).hexdigest())
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_every_answer_forbids_frames_and_foreign_sources_and_shares_with_no_origin(folder, visitor):
    run = archived(folder / "dot")
    page = visitor.page_of(run)
    for path in ("/", page, f"{page}/files/config.json", "/compare", "/nothing"):
        response = visitor.get(path, Origin="http://evil.example")
        policy = response.headers["Content-Security-Policy"]
        assert "default-src 'self'" in policy
        assert "unsafe" not in policy
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert not [name for name, _ in response.headers if name.startswith("Access-Control")]


# --- the page of a run ---------------------------------------------------------------------------


def test_the_page_of_a_run_tells_settings_origin_figures_labels_and_files(folder, visitor):
    made = make_run(folder / "dot", pairs=3, budget=77)
    made.store.add_labels(
        [Label(f"l{i}", q.id, "anna", "left", 1e9, 1.5, q.left) for i, q in enumerate(made.queries)]
    )
    made.store.close()
    run = made.directory
    origin = {"note": "why?", "command": ["prefrl", "train", "a b"], "git_diff": "-old\n+new <i>"}
    write_json(run.provenance, {**origin, "packages": {"numpy": "2.1"}})
    write_figures(run, [1.0, 5.0, 9.0])
    run.log.write_text("line of the log\n" * 100_000 + f"its end {EVIL}\n")
    run.videos.mkdir()
    (run.videos / "evaluation.mp4").write_bytes(b"film")
    (run.videos / "replay.partial.mp4").write_bytes(b"torn")
    page = html.unescape(visitor.text(visitor.page_of(run)))
    for expected in (
        "why?", "label.budget", "77", "prefrl train 'a b'", "+new <i>", "2.1",
        "True return, training: 1",
        "3 of 3 pairs are answered.", "anna", "1.5 s", "can’t tell", "config.json",
        "labels.sqlite3",
    ):  # fmt: skip
        assert expected in page, expected
    assert "7654.321" not in page
    assert "...\nline of the log\n" in page  # the first line of the end is whole
    assert f"its end {html.escape(EVIL)}" in visitor.text(visitor.page_of(run))
    assert 10_000 < page.count("line of the log") < 100_000
    (video,) = re.findall(r'<video[^>]+src="([^"]+)"', page)
    assert visitor.get(video).data == b"film"


def test_returns_say_of_what_they_are_and_have_one_kind_of_minus(folder, visitor):
    done = archived(folder / "done", result={**RESULT, "true_return": {"mean": -67.04}})
    write_figures(done, [-30.0, -31.94])
    running = archived(folder / "running", result=None)
    StatusFile(running).update({"policy": "learning", "true_return": -3.5})
    page = visitor.text(visitor.page_of(done))
    assert "<dt>true return, evaluation</dt><dd>−67.0</dd>" in page
    assert "<h2>True return, training</h2><p>−31.9</p>" in page
    assert "-67" not in page
    assert "<dt>true return, training</dt><dd>−3.5</dd>" in visitor.text(visitor.page_of(running))
    index = visitor.text("/")
    assert ">−67.0</span></td>" in index
    assert '>−3.5</span><p class="question">in training</p></td>' in index


def test_a_policy_no_better_than_a_random_one_is_called_so(folder, visitor):
    good = archived(folder / "good")
    bad = archived(folder / "bad", result={**RESULT, "true_return": {"mean": -9.0, "sd": 1.0}})
    assert "random policy:" not in visitor.text(visitor.page_of(good))
    said = "Not clearly better than a random policy: a true return of −9.0 against −5.0"
    assert f'<p class="warning">{said}</p>' in visitor.text(visitor.page_of(bad))


def test_every_video_is_shown_by_what_it_is_of_the_older_ones_behind_a_click(folder, visitor):
    run = archived(folder / "dot")
    run.videos.mkdir()
    names = [f"step-{1000 * i}.mp4" for i in range(1, 11)]
    for age, name in enumerate([*names, "evaluation.mp4", "replay-best-seed3.mp4"]):
        (run.videos / name).write_bytes(b"film")
        os.utime(run.videos / name, (age, age))
    page = visitor.text(visitor.page_of(run))
    shown = re.findall(r'preload="(\w+)"[^>]+></video><figcaption>([^<]+)<', page)
    titles = ["replay best seed3", "evaluation at the end",
              *(f"after {1000 * i:,} steps" for i in range(10, 0, -1))]  # fmt: skip
    assert shown == [("metadata", t) for t in titles[:6]] + [("none", t) for t in titles[6:]]
    assert "<summary>6 more</summary>" in page


def test_pictures_are_shown_in_the_theme_of_the_page(folder, visitor):
    run = archived(folder / "dot")
    assert "<code>prefrl plot</code>" in visitor.text(visitor.page_of(run))
    run.plots.mkdir()
    for name in ("learning_curve.png", "learning_curve-dark.png", "memory.png", "notes.txt"):
        (run.plots / name).write_bytes(name.encode())
    page = visitor.text(visitor.page_of(run))
    links = re.findall(r'<a href="([^"]+)"([^>]*)><img [^>]+alt="([^"]+)"', page)
    assert [(kind, alt) for _, kind, alt in links] == [
        (' class="on-light"', "learning curve"), (' class="on-dark"', "learning curve"),
        ("", "memory"),
    ]  # fmt: skip
    assert visitor.get(html.unescape(links[0][0])).data == b"learning_curve.png"


def test_a_file_that_goes_while_the_page_is_made_is_left_out(folder, visitor, monkeypatch):
    run = archived(folder / "dot")
    (run.path / "a").touch()
    walk = os.walk
    monkeypatch.setattr(
        os,
        "walk",
        lambda path: ((at, dirs, [*files, "gone.tmp"]) for at, dirs, files in walk(path)),
    )
    page = visitor.text(visitor.page_of(run))
    assert "files/a" in page
    assert "gone.tmp" not in page


def test_videos_can_be_sought_in_and_other_files_are_handed_out_not_shown(folder, visitor):
    run = archived(folder / "dot")
    run.videos.mkdir()
    (run.videos / "a.mp4").write_bytes(bytes(range(100)))
    (run.path / "evil.html").write_text(EVIL)
    (run.path / "evil.svg").write_text(f"<svg>{EVIL}</svg>")
    (run.path / "evil.js").write_text("alert(1)")
    files = f"{visitor.page_of(run)}/files"
    part = visitor.get(f"{files}/videos/a.mp4", Range="bytes=10-19")
    assert (part.status_code, part.data) == (206, bytes(range(10, 20)))
    assert part.mimetype == "video/mp4"
    for name in ("evil.html", "evil.svg", "evil.js", "config.json"):
        response = visitor.get(f"{files}/{name}")
        assert response.mimetype == "application/octet-stream"
        assert response.headers["Content-Disposition"].startswith("attachment")


@pytest.mark.parametrize(
    "name",
    ["../secret", "..%2Fsecret", "%2e%2e/secret", "/etc/passwd", "videos/../../secret", "nothing",
     "videos"],
)  # fmt: skip
def test_no_name_leads_out_of_a_run(folder, visitor, name):
    run = archived(folder / "dot")
    run.videos.mkdir()
    (folder / "secret").write_text("secret")
    response = visitor.get(f"{visitor.page_of(run)}/files/{name}")
    assert response.status_code in (404, 308)
    assert "secret" not in response.text.replace(name, "")


def test_a_name_that_is_no_key_of_a_run_is_not_found(folder, visitor):
    archived(folder / "dot")
    assert visitor.get("/runs/dot").status_code == 404
    assert visitor.get("/compare?run=dot&run=dat").status_code == 404


def test_a_store_opened_to_read_refuses_to_be_written(folder):
    LabelStore.create(folder / "labels with space?", {}).close()
    with LabelStore.open_to_read(folder / "labels with space?") as store:
        assert store.counts().queries == 0
        with pytest.raises(StoreError, match="readonly"):
            store.mark_trained(3)
    with pytest.raises(StoreError, match="nothing"):
        LabelStore.open_to_read(folder / "nothing")


# --- several runs --------------------------------------------------------------------------------


def test_a_comparison_overlays_curves_and_names_what_differs(folder, visitor):
    runs = [archived(folder / f"few{seed}", seed=seed, labels=50) for seed in range(4)]
    runs += [archived(folder / "many", labels=900)]
    for height, run in enumerate(runs):
        write_figures(run, [float(height + i) for i in range(30)])
    page = visitor.text(visitor.compared(*runs))
    assert "budget 50" in page
    assert "budget 900" in page
    assert "70.2 to 70.2" in page
    assert page.count("An interval needs at least 4 finished seeds of a configuration.") == 1
    assert "<td>–</td>" in page
    assert "Code: the same</p>" in page  # nothing to open
    assert page.count("<details") == 1
    for chart in re.findall(r"<figure>.*?</figure>", page, re.DOTALL):
        assert chart.count("<polygon") == 1  # four seeds have an interval
        assert chart.count("<polyline") == 2
        assert {"style-0", "style-1"} <= set(re.findall(r"style-\d", chart))
    row = re.search(r'<th scope="row">label\.budget</th>(.*?)</tr>', page)
    assert row is not None
    assert re.findall(r"<td>(\d+)</td>", row[1]) == ["50"] * 4 + ["900"]


def test_fewer_seeds_stand_for_themselves_behind_their_mean(folder, visitor):
    runs = [archived(folder / f"dot{seed}", seed=seed) for seed in range(3)]
    for height, run in enumerate(runs):
        write_figures(run, [10.0 * height + i for i in range(30)])
    page = visitor.text(visitor.compared(*runs))
    figure = re.findall(r"<figure>.*?</figure>", page, re.DOTALL)[0]
    assert figure.count('class="curve thin"') == 3
    assert figure.count('class="curve"') == 1
    assert "<polygon" not in figure


def test_a_row_of_one_run_has_its_name_once_and_says_what_sets_it_apart(folder, visitor):
    runs = [archived(folder / name) for name in ("human2", "oracle")]
    config = json.loads(runs[0].config.read_text())
    config["label"] |= {"labeler": "human", "wait": False, "pool_size": 9, "ahead": 3}
    write_json(runs[0].config, config)
    row = re.findall(r'<th scope="row">.*?</tr>', visitor.text(visitor.compared(*runs)))[0]
    assert row.count("human2") == 1
    assert "label.labeler human, label.ahead 3, label.wait no and 1 more, below" in row


def test_what_cannot_be_compared_is_refused_in_words(folder, visitor):
    first, same = archived(folder / "a"), archived(folder / "b")
    refusal = visitor.get(visitor.compared(first, same))
    assert refusal.status_code == 409
    assert "a and b have configuration and seed in common" in refusal.text
    key = visitor.key_of(first)
    for query in (f"run={key}", f"run={key}&run={key}", ""):
        assert visitor.get(f"/compare?{query}").status_code == 400
    many = "&".join(f"run={i}" for i in range(MOST_COMPARED + 1))
    assert visitor.get(f"/compare?{many}").status_code == 400
