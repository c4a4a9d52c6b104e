"""How much room does a stored Pong clip take?

500 clips of 25 steps of a random policy, encoded as the label store encodes them.
"""

import numpy as np
from seeds import write_row

from prefrl.labels.codec import encode_clip
from prefrl.policy.loop import act_at_random, make_recorder
from prefrl.recipes import RECIPES
from prefrl.types import ClipPair

CLIPS = 500


class Sizes:
    """Keeps the sizes of the clips it is given."""

    def __init__(self) -> None:
        self.stored: list[int] = []
        self.raw: list[int] = []

    def offer(self, pair: ClipPair) -> bool:
        """Measure both clips."""
        for clip in (pair.first, pair.second):
            self.stored.append(len(encode_clip(clip)))
            self.raw.append(clip.stacked()[:-1].nbytes)
        return True


def main() -> None:
    sizes = Sizes()
    recorder = make_recorder(RECIPES["pong"].config, sizes.offer)
    finished = lambda: len(sizes.stored) >= CLIPS  # noqa: E731
    act_at_random(recorder, recorder, CLIPS, finished, np.random.default_rng(0))
    row = {
        "clips": len(sizes.stored),
        "stored_mean_bytes": round(float(np.mean(sizes.stored))),
        "stored_max_bytes": max(sizes.stored),
        "raw_stacked_bytes": max(sizes.raw),
    }
    write_row("clip_size", "python experiments/clip_size.py", row)


if __name__ == "__main__":
    main()
