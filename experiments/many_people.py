"""Do twenty people at once lose an answer, see each other's pairs, or wait?

Twenty people answer over HTTP, one answer each every 3 s, 500 answers each, while the moving dot
trains on the same two cores: its steps are so many that it trains to the end, and it does not pause
for labels. Hypothesis: every answer that was confirmed is stored once, no pair is answered by more
people than `--overlap`, and an answer is confirmed within 50 ms at the 95th percentile.

    python many_people.py [ANSWERS_EACH]
"""

import re
import secrets
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
from http_person import HttpPerson
from seeds import write_row

from prefrl.labels.desk import LabelDesk
from prefrl.labels.store import LabelStore

PEOPLE, OVERLAP, EVERY_S = 20, 2, 3.0
PREFRL = str(Path(sys.executable).with_name("prefrl"))


def main() -> None:
    each = int(sys.argv[1]) if len(sys.argv) > 1 else 500
    with tempfile.TemporaryDirectory() as folder:
        row = measure(Path(folder) / "run", each)
    write_row("many_people", f"python experiments/many_people.py {each}", row)


def measure(run: Path, each: int) -> dict[str, float]:
    """Let them answer, and count what is in the store."""
    arguments = [
        PREFRL, "train", "moving-dot-position", "--labeler", "human", "--overlap", str(OVERLAP),
        "--labels", str(PEOPLE * each), "--label.initial-fraction", "0.005", "--label.no-wait",
        "--total-timesteps", "100000000", "--label.schedule-end", "0.01", "--run-dir", str(run),
    ]  # fmt: skip
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as training:
        assert training.stdout is not None
        link = next(found[0] for line in training.stdout if (found := re.search(r"http\S+", line)))
        threading.Thread(target=training.stdout.read, daemon=True).start()
        people = [HttpPerson(each_link) for each_link in (link, *invite_all(run, link))]
        with_answers = [threading.Thread(target=answer, args=(p, each)) for p in people]
        for i, thread in enumerate(with_answers):
            thread.start()
            time.sleep(EVERY_S / PEOPLE * (i + 1 < PEOPLE))
        for thread in with_answers:
            thread.join()
        training.terminate()
        training.wait()
    latencies = np.concatenate([person.latencies_s for person in people]) * 1000
    with LabelStore.open(run / "labels.sqlite3") as store:
        labels = store.labels()
    by_query = Counter(label.query_id for label in labels)
    return {
        "people": PEOPLE,
        "confirmed": len(latencies),
        "stored": len({label.id for label in labels}),
        "most_answers_to_a_pair": max(by_query.values()),
        "overlap": OVERLAP,
        "confirmation_ms_p50": round(float(np.percentile(latencies, 50)), 1),
        "confirmation_ms_p95": round(float(np.percentile(latencies, 95)), 1),
        "confirmation_ms_max": round(float(latencies.max()), 1),
    }


def invite_all(run: Path, link: str) -> list[str]:
    """Links for all but the owner."""
    address = link.partition("?")[0]
    tokens = {f"person {i}": secrets.token_urlsafe(32) for i in range(1, PEOPLE)}
    with LabelStore.open(run / "labels.sqlite3") as store:
        desk = LabelDesk(store, np.random.default_rng(0))
        for name, token in tokens.items():
            desk.add_invitation(name, token)
    return [f"{address}?token={token}" for token in tokens.values()]


def answer(person: HttpPerson, n: int) -> None:
    """One answer every 3 s; after each, pairs are fetched ahead, as the page does."""
    ready = person.fetch()
    due = time.monotonic()
    for i in range(n):
        while not ready:
            time.sleep(1.0)
            ready = person.fetch()
        person.answer(ready[0], ("left", "right", "equal")[i % 3])
        ready = person.fetch()
        due += EVERY_S
        time.sleep(max(0.0, due - time.monotonic()))


if __name__ == "__main__":
    main()
