"""Networks from random weights, the baseline of measurements."""

from collections.abc import Iterator
from typing import Any

import torch

import resnetlib
from resnetlib.analysis import recalibrated


def untrained(net: resnetlib.Backbone, batches: Any, seeds: int) -> Iterator[resnetlib.Backbone]:
    """Yield networks of the same architecture, one for each seed, their batch norms calibrated on some batches."""
    for seed in range(seeds):
        torch.manual_seed(seed)
        fresh = resnetlib.build(net.spec).eval()
        fresh.preprocess = net.preprocess
        with recalibrated(fresh, batches):
            yield fresh
