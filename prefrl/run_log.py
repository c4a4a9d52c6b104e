"""What is to be known of a run later on, and what no figure says: how it went, in a few lines."""

from datetime import UTC, datetime

from prefrl.run_directory import RunDirectory


class RunLog:
    """Writes a run's `log.txt`. The one writer is the process that started the run."""

    def __init__(self, run: RunDirectory) -> None:
        self._path = run.log

    def write(self, text: str) -> None:
        """Add something, with the time; a text of several lines keeps them, indented."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        first, *rest = text.rstrip("\n").split("\n")
        with self._path.open("a", encoding="utf-8", errors="backslashreplace") as file:
            file.write("\n    ".join([f"{now}  {first}", *rest]) + "\n")
