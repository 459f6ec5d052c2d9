"""On a GPU, where there is one."""

from pathlib import Path

import pytest
import torch
from families import FAMILIES

from resnetlib import Spec, build
from resnetlib.data import LabeledImages
from resnetlib.train import fit, recipe_of

pytestmark = pytest.mark.cuda


def test_outputs_are_the_cpus(spec: Spec) -> None:
    net = build(spec).eval()
    images = torch.randn(2, 3, 32, 32)
    expected = net(images)
    got = net.to("cuda")(images.to("cuda")).cpu()
    torch.testing.assert_close(got, expected, rtol=1e-2, atol=1e-2)


@pytest.mark.parametrize("memory_efficient", [False, True])
def test_training_steps_in_mixed_precision(spec: Spec, memory_efficient: bool) -> None:
    net = build(spec, device="cuda", memory_efficient=memory_efficient).to(memory_format=torch.channels_last)
    assert all(tensor.is_cuda for tensor in net.state_dict().values())
    images = torch.randn(4, 3, 32, 32, device="cuda").to(memory_format=torch.channels_last)
    with torch.autocast("cuda", torch.bfloat16):
        loss = net(images).float().square().mean()
    loss.backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in net.parameters())


def test_bfloat16_parameters(spec: Spec) -> None:
    net = build(spec, device="cuda", dtype=torch.bfloat16).eval()
    assert net(torch.randn(2, 3, 32, 32, device="cuda", dtype=torch.bfloat16)).isfinite().all()


def test_recomputation_saves_memory() -> None:
    from resnetlib import spec_of

    peaks = []
    for memory_efficient in (False, True):
        net = build(spec_of("cifar_densenet_bc100_k12"), device="cuda", memory_efficient=memory_efficient)
        torch.cuda.reset_peak_memory_stats()
        net(torch.randn(64, 3, 32, 32, device="cuda")).sum().backward()
        peaks.append(torch.cuda.max_memory_allocated())
        del net
    assert peaks[1] < 0.5 * peaks[0]


@pytest.mark.parametrize(("precision", "compiled"), [("fp32", False), ("bf16", True), ("fp16", False)])
def test_training(precision: str, compiled: bool, tmp_path: Path) -> None:
    images = torch.randint(160, (60, 3, 8, 8), dtype=torch.uint8)
    labels = torch.arange(60) % 3
    images[torch.arange(60), labels] += 60
    data = LabeledImages(images, labels, ("red", "green", "blue"))
    net = build(FAMILIES["resnet"], num_classes=3)
    recipe = recipe_of("one_cycle_cifar", epochs=12, batch_size=10, lr=0.1, pad=1)
    result = fit(net, data, data, recipe, tmp_path, precision=precision, compiled=compiled)  # type: ignore[arg-type]
    assert result.train_error < 10
    assert next(net.parameters()).is_cuda
