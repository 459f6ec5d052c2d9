"""One iteration: forward, backward, update."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional

from resnetlib.train.optimizer import make_optimizer
from resnetlib.train.recipe import Recipe

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""auto: bf16 where the hardware multiplies it, on GPUs and on CPUs (AMX, AVX-512 BF16), fp32 elsewhere."""

_DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True, slots=True)
class Seen:
    """What an iteration saw, still on the device.

    Args:
        loss: mean over the batch, in nats.
        wrong: share of the batch whose first guess was not its label, from 0 to 1.
        norm: of the gradient, before any clipping.
    """

    loss: Tensor
    wrong: Tensor
    norm: Tensor


class Step:
    """An optimizer, and the way to it from a batch.

    Args:
        net: the network to be updated.
        forward: what is called for it: itself, or the same compiled, or spread over devices.
        recipe: its loss, optimizer and clipping.
        dtype: of the convolutions.
        num_classes: logits.
        device: where the network is.
    """

    def __init__(
        self,
        net: nn.Module,
        forward: Callable[[Tensor], Tensor],
        recipe: Recipe,
        *,
        dtype: torch.dtype,
        num_classes: int,
        device: torch.device,
    ) -> None:
        self.optimizer = make_optimizer(recipe, net)
        self.scaler = torch.amp.GradScaler(device.type, enabled=dtype == torch.float16)
        self._parameters = list(net.parameters())
        self.forward, self._recipe, self._dtype, self._device = forward, recipe, dtype, device
        self._mix = _mixing(recipe, num_classes)
        self._classes = num_classes

    def __call__(self, x: Tensor, labels: Tensor, lr: float) -> Seen:
        """Update the network.

        Args:
            x: inputs.
            labels: their labels.
            lr: the learning rate, of the classifier where layers have their own.

        Returns:
            What was seen.
        """
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad()
        x, targets = self._mix(x, labels)
        with torch.autocast(self._device.type, self._dtype, enabled=self._dtype != torch.float32):
            logits = self.forward(x)
        loss = self._loss(logits.float(), targets)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self._recipe.clip_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, self._recipe.clip_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return Seen(loss.detach(), (logits.argmax(1) != labels).float().mean(), norm)

    def state(self) -> dict[str, Any]:
        """Return what a checkpoint needs to keep."""
        return {"optimizer": self.optimizer.state_dict(), "scaler": self.scaler.state_dict()}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on from a checkpoint.

        Args:
            state: what `state` returned.
        """
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing = self._recipe.label_smoothing
        if self._recipe.loss == "cross_entropy":
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        if targets.ndim == 1:
            targets = functional.one_hot(targets, self._classes).to(logits.dtype)
        targets = targets * (1 - smoothing) + smoothing / self._classes
        return functional.binary_cross_entropy_with_logits(logits, targets)


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype of a precision.

    Args:
        precision: which.
        device: for "auto".

    Returns:
        The dtype for autocast; float32 for none.

    Raises:
        ValueError: for another precision.
    """
    if precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if precision != "auto":
        return _DTYPES[precision]
    if device.type == "cpu":
        capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()  # PyTorch has it since 2.11
        fast = any(capabilities.get(unit) for unit in ("amx_bf16", "avx512_bf16"))
        return torch.bfloat16 if fast else torch.float32
    fast = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if fast else torch.float32


def _mixing(recipe: Recipe, num_classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return what mixes images and labels of a batch."""
    if not recipe.mixup and not recipe.cutmix:
        return lambda x, labels: (x, labels)
    from torchvision.transforms import v2

    mixes = [
        kind(alpha=alpha, num_classes=num_classes)
        for kind, alpha in ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix))
        if alpha
    ]
    mix: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = v2.RandomChoice(mixes)
    return mix
