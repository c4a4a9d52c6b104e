"""A browser of the archive's owner."""

from pathlib import Path

from labeler_ui.access import only
from labeler_ui.archive.app import create_archive
from labeler_ui.archive.catalogue import Catalogue
from labeler_ui.rates import Rate
from labeler_ui.settings import Site
from prefrl.run_directory import RunDirectory

PORT = 5000
HOST = f"http://127.0.0.1:{PORT}"
TOKEN = "t" * 43

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>"


class Visitor:
    """A browser of the owner."""

    def __init__(self, folder: Path) -> None:
        site = Site(PORT, rate=Rate(1e9, 1e9))
        self.catalogue = Catalogue(folder)
        self.app = create_archive(self.catalogue, "my runs", site, only("owner", TOKEN))
        self.client = self.app.test_client()
        self.client.set_cookie(f"prefrl_{PORT}", TOKEN, domain="127.0.0.1")

    def get(self, path: str, **headers):
        return self.client.get(path, base_url=HOST, headers=headers, buffered=True)

    def text(self, path: str) -> str:
        response = self.get(path)
        assert response.status_code == 200, response.text
        return response.text

    def page_of(self, run: RunDirectory) -> str:
        return f"/runs/{self.key_of(run)}"

    def key_of(self, run: RunDirectory) -> str:
        return next(row.key for row in self.catalogue.rows() if row.run == run)

    def compared(self, *runs: RunDirectory) -> str:
        return "/compare?" + "&".join(f"run={self.key_of(run)}" for run in runs)
