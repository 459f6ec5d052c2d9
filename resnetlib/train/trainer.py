"""The training loop."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from typing import Any, Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from resnetlib.distributed import Processes
from resnetlib.errors import InputError
from resnetlib.finetuning import Frozen, freeze, layer_decay_for, parameter_groups
from resnetlib.modules import Backbone
from resnetlib.train.data import STEP, Loader, derive_seed
from resnetlib.train.interrupts import check_interrupt
from resnetlib.train.metrics import StepMeans, check_steps, mean_steps
from resnetlib.train.recipe import Recipe, learning_rate

Precision = Literal["auto", "fp32", "bf16", "fp16"]
"""auto: bf16 where the hardware supports it natively, on GPUs and on CPUs (AMX, AVX-512 BF16), else fp32."""

_READ_EVERY = 50  # iterations between two reads of the metrics, each of which waits for the GPU


class Trainer:
    """Trains a network in place by a recipe. All random numbers depend only on the seed and the iteration."""

    def __init__(
        self,
        net: Backbone,
        data: Loader,
        recipe: Recipe,
        *,
        seed: int,
        processes: Processes,
        dtype: torch.dtype,
        compiled: bool = False,
    ) -> None:
        self.net, self.data, self.recipe, self.processes, self.dtype, self.compiled = net, data, recipe, processes, dtype, compiled
        self.iteration = 0
        self.steps = recipe.steps(len(data))
        self.steps_per_epoch = recipe.steps_per_epoch(len(data))
        self.optimizer = make_optimizer(recipe, net)
        self.scaler = torch.amp.GradScaler(processes.device.type, enabled=dtype == torch.float16)
        self._ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(recipe.ema), use_buffers=True) if recipe.ema else None
        self._seed = seed
        self._parameters = list(net.parameters())
        self._mix = _mixing(recipe, net.num_classes)
        self._forward: Callable[[Tensor], Tensor] = net
        self._wrapped = False
        self._frozen: Frozen | None = None

    def train_until(self, stop: int) -> Iterator[tuple[int, StepMeans]]:
        """Train to iteration `stop`; now and then yield the number of new iterations, and the means since the call."""
        new, rows = list[Tensor](), torch.empty(0, 3)  # metrics of iterations: still on the device, and read already
        self.net.train()
        while self.iteration < stop:
            epoch, first = divmod(self.iteration, self.steps_per_epoch)
            with closing(self.data.train_batches(epoch, first)) as batches:
                for x, labels in batches:
                    check_interrupt()
                    torch.manual_seed(derive_seed(self._seed, STEP, self.iteration, self.processes.rank))
                    self._freeze_or_unfreeze()
                    lr = learning_rate(self.recipe, self.iteration, self.steps)
                    x = x.to(self._parameters[0].dtype).contiguous(memory_format=torch.channels_last)
                    new.append(self.step(x, labels, lr))
                    self.iteration += 1
                    if self.iteration % _READ_EVERY == 0 or self.iteration == stop:
                        read = (self.processes.sum(torch.stack(new)) / self.processes.world_size).cpu()
                        check_steps(read, self.iteration, skips_steps=self.dtype == torch.float16)
                        rows = torch.cat([rows, read])
                        yield len(new), mean_steps(rows)
                        new.clear()
                    if self.iteration == stop:
                        break

    def step(self, x: Tensor, labels: Tensor, lr: float) -> Tensor:
        """Update the network on a batch; return the loss, the error (from 0 to 1) and the norm of the gradient, `(3,)`."""
        for group in self.optimizer.param_groups:
            group["lr"] = lr * group["lr_scale"]
        self.optimizer.zero_grad()
        x, targets = self._mix(x, labels)
        with torch.autocast(self.processes.device.type, self.dtype, enabled=self.dtype != torch.float32):
            logits = self._forward(x)
        loss = self._loss(logits.float(), targets)
        self.scaler.scale(loss).backward()
        self.scaler.unscale_(self.optimizer)
        norm = nn.utils.get_total_norm([p.grad for p in self._parameters if p.grad is not None])
        if self.recipe.clip_norm:
            nn.utils.clip_grads_with_norm_(self._parameters, self.recipe.clip_norm, norm)
        self.scaler.step(self.optimizer)
        self.scaler.update()
        if self._ema is not None:
            self._ema.update_parameters(self.net)
        return torch.stack([loss.detach(), (logits.argmax(1) != labels).float().mean(), norm.to(loss.dtype)])

    def _loss(self, logits: Tensor, targets: Tensor) -> Tensor:
        smoothing, classes = self.recipe.label_smoothing, logits.shape[1]
        if self.recipe.loss == "cross_entropy":
            return functional.cross_entropy(logits, targets, label_smoothing=smoothing)
        if targets.ndim == 1:
            targets = functional.one_hot(targets, classes).to(logits.dtype)
        return functional.binary_cross_entropy_with_logits(logits, targets * (1 - smoothing) + smoothing / classes)

    def _freeze_or_unfreeze(self) -> None:
        """Freeze all but the classifier in the first part of the training; distribute and compile the network after a change."""
        head_only = self.iteration < self.recipe.head_only_steps(self.steps)
        if self._wrapped and head_only == (self._frozen is not None):
            return
        self.unfreeze()
        if head_only:
            self._frozen = freeze(self.net)
        forward: Any = self.net
        on_gpu, distributed = self.processes.device.type == "cuda", self.processes.world_size > 1
        if distributed:  # DistributedDataParallel checks only once which parameters are frozen
            ids = [self.processes.device.index] if on_gpu else None
            forward = nn.parallel.DistributedDataParallel(self.net, device_ids=ids)
        if self.compiled:
            forward = torch.compile(forward, mode="reduce-overhead" if on_gpu and not distributed else None)
        self._forward, self._wrapped = forward, True

    def unfreeze(self) -> None:
        """Undo the freezing of `_freeze_or_unfreeze`."""
        if self._frozen is not None:
            self._frozen.remove()
            self._frozen = None

    @property
    def eval_net(self) -> Backbone:
        """The network to evaluate: the averaged one if the recipe has an EMA."""
        averaged: Backbone = self.net if self._ema is None else self._ema.module  # type: ignore[assignment]
        return averaged

    @property
    def lr(self) -> float:
        """The learning rate of the last iteration."""
        return learning_rate(self.recipe, max(0, self.iteration - 1), self.steps)

    @property
    def counts_for_patience(self) -> bool:
        """Whether the last iteration trained all layers, or all iterations train only the classifier."""
        return not self.iteration <= self.recipe.head_only_steps(self.steps) < self.steps

    def state_dict(self) -> dict[str, Any]:
        """Return the state of the training. Each iteration seeds its own random numbers."""
        return {
            "iteration": self.iteration,
            "net": self.net.state_dict(),
            "average": None if self._ema is None else self._ema.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from a state."""
        self.iteration = state["iteration"]
        load_own_weights(self.net, state["net"])
        if self._ema is not None:
            load_own_weights(self._ema, state["average"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])


def load_own_weights(module: nn.Module, state: Mapping[str, Any]) -> None:
    """Load weights, and keep the names of the classes."""
    about = [(net, net.pretrained_cfg, net.classes) for net in module.modules() if isinstance(net, Backbone)]
    module.load_state_dict(state)
    for net, cfg, classes in about:
        net.pretrained_cfg, net.classes = cfg, classes


def make_optimizer(recipe: Recipe, net: nn.Module) -> torch.optim.Optimizer:
    """Return the recipe's optimizer for the groups of `resnetlib.parameter_groups`."""
    layer_decay = layer_decay_for(net, recipe.stem_lr_scale) if recipe.stem_lr_scale < 1 else 1.0
    groups = parameter_groups(
        net, lr=recipe.lr, weight_decay=recipe.weight_decay, layer_decay=layer_decay, decay_all=recipe.decay_all
    )
    fused = all(parameter.is_cuda for parameter in net.parameters())
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(groups, recipe.lr, fused=fused)
    if recipe.optimizer != "lamb":
        return torch.optim.SGD(groups, recipe.lr, momentum=recipe.momentum, nesterov=recipe.optimizer == "nesterov", fused=fused)
    from timm.optim import Lamb  # type: ignore[attr-defined]

    lamb: torch.optim.Optimizer = Lamb(groups, recipe.lr, max_grad_norm=None)
    return lamb


def _mixing(recipe: Recipe, num_classes: int) -> Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Return the recipe's mixup, CutMix, a random choice of both, or the identity."""
    if not recipe.mixup and not recipe.cutmix:
        return lambda x, labels: (x, labels)
    from torchvision.transforms import v2

    kinds = ((v2.MixUp, recipe.mixup), (v2.CutMix, recipe.cutmix))
    mix = v2.RandomChoice([kind(alpha=alpha, num_classes=num_classes) for kind, alpha in kinds if alpha])
    return lambda x, labels: mix(x, labels)


def cpu_capabilities() -> dict[str, Any]:
    """Return the CPU's capabilities; nothing before PyTorch 2.11."""
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    return capabilities


def dtype_of(precision: Precision, device: torch.device) -> torch.dtype:
    """Return the dtype for autocast; float32 turns it off."""
    if precision not in get_args(Precision):
        raise InputError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
    if precision != "auto":
        return {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    if device.type == "cpu":
        native = any(cpu_capabilities().get(unit) for unit in ("amx_bf16", "avx512_bf16"))
    else:
        native = device.type == "cuda" and torch.cuda.is_bf16_supported(including_emulation=False)
    return torch.bfloat16 if native else torch.float32
