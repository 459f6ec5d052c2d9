"""What the gradients of an analysis are gradients of: the cross-entropy of labelled images."""

import torch
from torch import Tensor, nn

from resnetlib.analysis.batches import Batch, Batches, gather, run
from resnetlib.analysis.scores import check_logits, loss_of


def gather_labelled(net: nn.Module, batches: Batches, labels: Tensor | None) -> list[Batch]:
    """Read all batches, whose labels are in them or beside them.

    Args:
        net: the network.
        batches: inputs and labels; or inputs alone, as one tensor.
        labels: of that tensor.

    Returns:
        The batches.

    Raises:
        ValueError: if there are no images, or their labels are missing, given twice, or none of the network's.
    """
    if labels is None:
        return [(x, _ordinary(y)) for x, y in gather(net, batches)]
    if not isinstance(batches, Tensor):
        raise ValueError("labels beside the batches belong to one tensor of inputs: give pairs of inputs and labels, and no labels")
    return [(x, _ordinary(y)) for x, y in gather(net, [(batches, labels)])]


def _ordinary(labels: Tensor) -> Tensor:
    """Return labels that a loss can keep for its backward pass, which it cannot keep those that inference mode made."""
    with torch.inference_mode(False):
        return labels.clone() if labels.is_inference() else labels


def summed_loss(net: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Compute the sum of the images' cross-entropies.

    Its gradient with respect to one image's feature is that of the image's own loss, and does not depend on how many others there
    are, as the mean's would; unless norms let the images of a batch see one another.

    Args:
        net: the network.
        x: inputs.
        y: labels.

    Returns:
        A scalar.

    Raises:
        ValueError: if it is not finite, or the network returns no logits for these labels.
    """
    loss = loss_of(check_logits(run(net, x), y), y)
    if not torch.isfinite(loss):
        raise ValueError(f"the loss is {float(loss.detach())}: the network's logits, or the images, are not finite")
    return loss
