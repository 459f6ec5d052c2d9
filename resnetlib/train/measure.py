"""Evaluation by several processes, each on its part of the images."""

from collections.abc import Generator, Iterator
from contextlib import closing
from itertools import chain

import torch

from resnetlib.distributed import Processes
from resnetlib.inference import Evaluation, evaluate
from resnetlib.modules import Backbone
from resnetlib.train.feed import Batch
from resnetlib.train.interrupts import check


def evaluate_together(net: Backbone, batches: Generator[Batch, None, None], processes: Processes) -> Evaluation:
    """Measure a network, the same in all processes, on all their images together.

    Args:
        net: the network.
        batches: this process's part; it may be empty.
        processes: the processes.

    Returns:
        The figures over all images.
    """
    with closing(batches):
        first = next(batches, None)
        own = Evaluation(0, 0.0, 0.0, 0.0) if first is None else evaluate(net, _heeded(chain([first], batches)))
    if processes.world_size == 1:
        return own
    parts = torch.tensor([1.0, own.top1, own.top5, own.loss], dtype=torch.float64) * own.images
    images, *sums = processes.sum(parts.to(processes.device)).tolist()
    return Evaluation(int(images), *(total / images for total in sums))


def _heeded(batches: Iterator[Batch]) -> Iterator[Batch]:
    for batch in batches:
        check()
        yield batch
