"""Deep reinforcement learning from human preferences."""

__version__ = "0.1.0"
