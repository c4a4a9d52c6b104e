"""Somebody at the label page without a browser: what the page's scripts ask for, over HTTP."""

import http.client
import json
import time
import uuid
from typing import Any
from urllib.parse import urlsplit

from numpy.random import Generator

from prefrl.labels.store import LabelStore
from prefrl.labels.teachers import Teacher
from prefrl.types import Answer


def judged(pair: dict[str, Any], store: LabelStore, teacher: Teacher, rng: Generator) -> Answer:
    """What a simulated teacher, who knows the true rewards, says of a pair as the page shows it."""
    shown = [pair[side]["clip"] for side in ("left", "right")]
    clips = store.clips(shown)
    return teacher.judge(*(clips[id].true_rewards for id in shown), rng)


class HttpPerson:
    """Opens a link, leases pairs, answers.

    Attributes:
        latencies_s: How long each confirmation took.
    """

    def __init__(self, link: str) -> None:
        address = urlsplit(link)
        self._host, self._connection = address.netloc, http.client.HTTPConnection(address.netloc)
        self._session = str(uuid.uuid4())
        self._connection.request("GET", f"/?{address.query}")
        response = self._connection.getresponse()
        response.read()
        if response.status != 303:
            self.leave()
            raise PermissionError(f"{link}: status {response.status}")
        self._cookie = str(response.headers["Set-Cookie"]).partition(";")[0]
        self.latencies_s: list[float] = []
        self._fetched: set[str] = set()

    def leave(self) -> None:
        """Close the connection."""
        self._connection.close()

    def lease(self, n: int = 4) -> list[dict[str, Any]]:
        """Up to n pairs, as the interface describes them."""
        pairs: list[dict[str, Any]] = self._post("/api/leases", n=n)["pairs"]
        return pairs

    def fetch(self, n: int = 4) -> list[str]:
        """Lease up to n pairs and fetch the pictures of new ones; the queries, oldest first."""
        pairs = self.lease(n)
        for pair in pairs:
            if pair["query"] not in self._fetched:
                self._fetched.add(pair["query"])
                for sheet in pair["left"]["sheets"] + pair["right"]["sheets"]:
                    self.picture(sheet)
        return [pair["query"] for pair in pairs]

    def release(self) -> None:
        """Give pairs back that were not answered, as a page does when it is closed."""
        self._post("/api/release")

    def picture(self, path: str) -> bytes:
        """A sheet of a clip."""
        return self._request("GET", path)

    def answer(self, query: str, answer: str) -> dict[str, Any]:
        """What the server says to an answer."""
        began = time.perf_counter()
        confirmation = self._post(
            "/api/answers", id=str(uuid.uuid4()), query=query, answer=answer, time_to_answer_s=1.0
        )
        self.latencies_s.append(time.perf_counter() - began)
        return confirmation

    def status(self) -> dict[str, Any]:
        """The line of figures."""
        status: dict[str, Any] = json.loads(self._request("GET", "/api/status"))
        return status

    def _post(self, path: str, **body: Any) -> dict[str, Any]:
        text = json.dumps({"session": self._session, **body})
        answered: dict[str, Any] = json.loads(self._request("POST", path, text))
        return answered

    def _request(self, method: str, path: str, body: str | None = None) -> bytes:
        self._connection.request(method, path, body, {
            "Cookie": self._cookie, "Content-Type": "application/json",
            "Origin": f"http://{self._host}",
        })  # fmt: skip
        response = self._connection.getresponse()
        data = response.read()
        if response.status != 200:
            raise RuntimeError(f"{method} {path}: {response.status} {data[:200]!r}")
        return data
