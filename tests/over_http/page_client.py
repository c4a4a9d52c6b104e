"""What the page's scripts ask of the server, without a browser."""

import uuid
from pathlib import Path

from flask.testing import FlaskClient

import labeler_ui

PORT = 5000
DESCRIPTION = Path(labeler_ui.__file__).parent / "openapi.yaml"
HOST = f"http://127.0.0.1:{PORT}"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}
QUERY = "0" * 32  # one that is nobody's


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def __call__(self) -> float:
        return self.now


class Page:
    """One page of one person: what the page's scripts do."""

    def __init__(self, client: FlaskClient, token: str) -> None:
        self.client = client
        self.session = str(uuid.uuid4())
        client.set_cookie(f"prefrl_{PORT}", token, domain="127.0.0.1")

    def post(self, path: str, **body):
        return self.client.post(path, json=body, base_url=HOST, headers=SAME_ORIGIN)

    def get(self, path: str, **headers):
        return self.client.get(path, base_url=HOST, headers=headers, buffered=True)

    def lease(self, n: int = 4) -> list[dict]:
        response = self.post("/api/leases", session=self.session, n=n)
        assert response.status_code == 200, response.text
        return response.json["pairs"]

    def answer(self, query: str, answer: str = "left", id: str | None = None):
        return self.post(
            "/api/answers", id=id or str(uuid.uuid4()), session=self.session, query=query,
            answer=answer, time_to_answer_s=1.5,
        )  # fmt: skip

    def undo(self, query: str, id: str | None = None):
        return self.post("/api/undo", id=id or str(uuid.uuid4()), session=self.session, query=query)
