"""Where networks live in tests that are not about it."""

import torch

from prefrl.compute import Placement

ON_CPU = Placement(torch.device("cpu"), torch.device("cpu"), torch.float32)
