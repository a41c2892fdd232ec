"""One torch thread per test process: the networks are tiny, and processes run side by side."""

from __future__ import annotations

import torch

torch.set_num_threads(1)
