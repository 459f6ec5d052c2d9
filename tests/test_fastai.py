"""fastai's `vision_learner` takes the functions of networks as its architectures; its default cut and split fit them."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from loopback import Hub
from safetensors.torch import save

import resnetlib

vision = pytest.importorskip("fastai.vision.all", reason="fastai is not installed")
pytestmark = pytest.mark.filterwarnings("ignore")

CUTS = {
    **dict.fromkeys(("resnet18", "plain18", "preact_resnet18", "cifar_resnet20", "cifar_preact_resnet20")),
    **dict.fromkeys(("densenet121", "cifar_densenet40_k12"), -1),  # as fastai cuts torchvision's
}


def loaders(path: Path) -> Any:
    """Return the loaders of eight images of two classes."""
    data = [(torch.rand(3, 64, 64), i % 2) for i in range(8)]
    dls = vision.DataLoaders.from_dsets(data, data, bs=4, num_workers=0)
    dls.c, dls.path = 2, path
    return dls


@pytest.mark.parametrize(("name", "cut"), CUTS.items())
def test_the_default_cut_keeps_the_features_and_the_split_freezes_them(
    name: str, cut: int | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if cut is not None:
        monkeypatch.setitem(vision.model_meta, getattr(resnetlib, name), {"cut": cut, "split": vision.default_split})
    net = getattr(resnetlib, name)().eval()
    body, x = vision.create_body(net, pretrained=False, cut=cut), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(body(x).relu(), net.forward_features(x))  # a cut DenseNet lacks its last relu, torchvision's too
    loss = torch.nn.CrossEntropyLoss()
    learner = vision.vision_learner(loaders(tmp_path), getattr(resnetlib, name), pretrained=False, path=tmp_path, loss_func=loss)
    learner.create_opt()
    assert len(learner.opt.param_lists) == 2
    assert len(learner.opt.param_lists[0]) == len([*body.parameters()]) == len([*net.parameters()]) - 2


def test_pretrained_weights_reach_the_learner_and_it_trains(hub: Hub, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "resnetlib")
    state = {key: value.contiguous() for key, value in resnetlib.resnet18().state_dict().items()}
    hub.add("timm/resnet18.a1_in1k", {"model.safetensors": save(state)})
    for name, weight in [
        ("resnet18", state["conv1.weight"]),
        ("cifar_resnet20", resnetlib.create_model("cifar_resnet20.resnetlib_c10").conv1.weight),
    ]:
        caplog.clear()
        learner = vision.vision_learner(
            loaders(tmp_path), getattr(resnetlib, name), path=tmp_path, loss_func=torch.nn.CrossEntropyLoss()
        )
        assert len(caplog.messages) == 1
        assert torch.equal(next(learner.model[0].parameters()), weight)
        with learner.no_bar(), learner.no_logging():
            learner.fine_tune(1, freeze_epochs=1)
        assert not torch.equal(next(learner.model[0].parameters()), weight)
