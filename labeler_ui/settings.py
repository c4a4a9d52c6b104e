"""What a served page can be set to."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from labeler_ui.rates import Rate

LOCAL_NAMES = frozenset({"127.0.0.1", "localhost", "[::1]"})


@dataclass(frozen=True)
class Site:
    """Where pages are served, and to whom; whichever pages they are.

    Attributes:
        port: On which it listens; names the cookie, because cookies are shared between ports.
        host_names: What a Host header may call this machine, in lower case and without a port.
        rate: Requests that one person, or one address without a valid token, may make.
        clock: Seconds since the epoch.
    """

    port: int
    host_names: frozenset[str] = LOCAL_NAMES
    rate: Rate = field(default_factory=Rate)
    clock: Callable[[], float] = time.time

    @property
    def cookie(self) -> str:
        """The cookie that holds a person's token."""
        return f"prefrl_{self.port}"


@dataclass(frozen=True)
class Settings(Site):
    """How a run's label page is served.

    Attributes:
        instructions: The task, for the people; empty takes the default of the environment.
        lease_s: How long a pair stays with one page that does not renew it.
        overlap: To how many people each pair is shown.
        repeat_share: Probability that an already answered pair is asked again.
    """

    instructions: str = ""
    lease_s: float = 120.0
    overlap: int = 1
    repeat_share: float = 0.05
