"""Grad-CAM and Lightning take these networks as they are."""

from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor
from torch.nn import functional

from resnetlib import Backbone, build, create_model
from resnetlib.data import read_image

SAMPLES = Path(__file__).parents[1] / "resnetlib" / "data" / "samples"


def test_grad_cam_looks_at_any_stage() -> None:
    """On a trained network: the map of a class is another's, and lies where the image is, scaled to it."""
    cam = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    net = create_model("cifar_resnet20.resnetlib_c10").eval()
    images = torch.stack([net.preprocess(read_image(SAMPLES / "test_1_ship.png"))])
    goals = [[targets.ClassifierOutputTarget(net.classes.index(name))] for name in ("ship", "frog")]
    with cam.GradCAM(model=net, target_layers=[net.layer3[-1]]) as look:
        maps = [look(input_tensor=images, targets=goal) for goal in goals]
    assert maps[0].shape == (1, 32, 32)
    assert 0 <= maps[0].min() < maps[0].max() <= 1
    assert not np.allclose(maps[0], maps[1])


@pytest.mark.parametrize("name", ["plain", "resnet", "preact-bottleneck", "densenet"])
def test_grad_cam_is_the_formula_in_every_family(name: str) -> None:
    cam = pytest.importorskip("pytorch_grad_cam")
    targets = pytest.importorskip("pytorch_grad_cam.utils.model_targets")
    net = build(FAMILIES[name], num_classes=5).eval()
    layer = net.get_submodule(net.feature_info[-1]["module"])
    images = torch.randn(1, 3, 32, 32)
    with cam.GradCAM(model=net, target_layers=[layer]) as look:
        found = look(input_tensor=images, targets=[targets.ClassifierOutputTarget(3)])
    kept: list[Tensor] = []
    with layer.register_forward_hook(lambda module, args, y: kept.append(y)):
        logit = net(images)[0, 3]
    (gradient,) = torch.autograd.grad(logit, kept[0])
    weights = gradient.mean((2, 3), keepdim=True)
    expected = functional.relu((weights * kept[0]).sum(1))[0].detach()
    assert expected.max() > expected.min()
    side = found.shape[-1] // expected.shape[-1]
    assert found.shape == (1, 32, 32)
    center = found[0, side // 2 :: side, side // 2 :: side]
    assert np.corrcoef(center.flatten(), expected.numpy().flatten())[0, 1] > 0.9


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", ["resnet", "densenet"])
def test_lightning_trains_it(name: str, tmp_path: Path) -> None:
    lightning = pytest.importorskip("lightning")

    class Classifier(lightning.LightningModule):  # type: ignore[name-defined, misc]
        def __init__(self) -> None:
            super().__init__()
            self.net: Backbone = build(FAMILIES[name], num_classes=2)

        def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
            images, labels = batch
            loss = functional.cross_entropy(self.net(images), labels)
            losses.append(loss.item())
            return loss

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.net.parameters(), 0.05, momentum=0.9)

    losses: list[float] = []
    labels = torch.arange(32) % 2
    images = torch.randn(32, 3, 16, 16) + labels[:, None, None, None]
    model = Classifier()
    begin = model.net.get_classifier().weight.clone()
    loader = torch.utils.data.DataLoader(torch.utils.data.TensorDataset(images, labels), 8)
    trainer = lightning.Trainer(
        max_epochs=6, accelerator="cpu", devices=1, logger=False, enable_progress_bar=False, default_root_dir=tmp_path,
        enable_model_summary=False,
    )  # fmt: skip
    trainer.fit(model, loader)
    assert sum(losses[-4:]) < 0.5 * sum(losses[:4])
    assert not torch.equal(begin, model.net.get_classifier().weight)
    checkpoint = torch.load(next(tmp_path.rglob("*.ckpt")), weights_only=False)
    assert {key.removeprefix("net.") for key in checkpoint["state_dict"]} == set(model.net.state_dict())
