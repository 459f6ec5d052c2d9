"""Run other people's tools on these networks, unchanged, and print a table of what happened.

python examples/clients.py                  # every tool that is installed
python examples/clients.py fastai opacus    # some of them
"""

import importlib.metadata
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import click
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset
from tqdm import tqdm

import resnetlib
from resnetlib import Backbone

FAMILIES = {"R": "resnet18", "D": "densenet121", "P": "preact_resnet18", "N": "plain18", "C": "cifar_resnet20"}
"""A network of each family: residual, dense, pre-activated, plain, and for CIFAR with shortcut A."""

Check = Callable[[Backbone, Tensor], None]


@dataclass(frozen=True)
class Client:
    """A tool: the package that it belongs to, what is done with it, and the families that it is for."""

    package: str
    check: Check
    families: str


CLIENTS: dict[str, Client] = {}


def client(package: str, families: str = "RDPNC") -> Callable[[Check], Check]:
    """Register a function that uses a tool on a network and a batch of images, and raises an exception if that fails."""

    def register(check: Check) -> Check:
        CLIENTS[check.__name__.replace("_", "-")] = Client(package, check, families)
        return check

    return register


def same(got: Tensor, expected: Tensor, tolerance: float = 1e-4) -> None:
    """Raise AssertionError unless two tensors agree."""
    torch.testing.assert_close(got, expected, rtol=tolerance, atol=tolerance)


def last_layer(net: Backbone) -> nn.Module:
    """Return the module whose output is the last map."""
    return net.get_submodule(net.feature_info[-1]["module"])


def toy(x: Tensor, count: int = 8) -> tuple[Tensor, Tensor]:
    """Return images and labels of two classes."""
    labels = torch.arange(count) % 2
    return torch.randn(count, *x.shape[1:]) + labels[:, None, None, None], labels


def loader(x: Tensor) -> DataLoader[tuple[Tensor, ...]]:
    """Return a loader of two batches."""
    return DataLoader(TensorDataset(*toy(x)), 4)


# torchvision


@client("torchvision")
def create_feature_extractor(net: Backbone, x: Tensor) -> None:
    from torchvision.models.feature_extraction import create_feature_extractor

    (got,) = create_feature_extractor(net.eval(), [net.feature_info[-1]["module"]])(x).values()
    assert got.shape[1] == net.feature_info[-1]["num_chs"]


@client("torchvision", "RPNC")
def intermediate_layer_getter(net: Backbone, x: Tensor) -> None:
    from torchvision.models._utils import IntermediateLayerGetter

    assert IntermediateLayerGetter(net, {"layer3": "map"})(x)["map"].shape[1] == net.feature_info[3]["num_chs"]


@client("torchvision", "RPN")
def resnet_fpn_extractor(net: Backbone, x: Tensor) -> None:
    from torchvision.models.detection.backbone_utils import _resnet_fpn_extractor

    assert _resnet_fpn_extractor(net, 3)(x)["0"].shape[1] == 256


def detector(kind: str, net: Backbone, x: Tensor) -> None:
    """Train one of torchvision's detectors for a step."""
    from torchvision.models import detection
    from torchvision.models.detection.anchor_utils import AnchorGenerator
    from torchvision.models.detection.backbone_utils import BackboneWithFPN

    channels = [info["num_chs"] for info in net.feature_info[-3:]]
    layers = {info["module"].split(".")[-1]: str(i) for i, info in enumerate(net.feature_info[-3:])}
    backbone = BackboneWithFPN(getattr(net, "features", net), layers, channels, 64)
    options: dict[str, Any] = {"num_classes": 2, "min_size": 64, "max_size": 64}
    if kind in ("FasterRCNN", "MaskRCNN"):
        options["rpn_anchor_generator"] = AnchorGenerator(((16,), (32,), (64,), (64,)), ((1.0,),) * 4)
    elif kind == "RetinaNet":
        options["anchor_generator"] = AnchorGenerator(((16,), (32,), (64,), (64,)), ((1.0,),) * 4)
    else:
        options["anchor_generator"] = AnchorGenerator(((8,), (16,), (32,), (64,)), ((1.0,),) * 4)
    target = {"boxes": torch.tensor([[8.0, 8.0, 40.0, 40.0]]), "labels": torch.tensor([1])}
    if kind == "MaskRCNN":
        target["masks"] = torch.ones(1, *x.shape[2:], dtype=torch.uint8)
    losses = getattr(detection, kind)(backbone, **options)([x[0]], [target])
    assert torch.stack(list(losses.values())).isfinite().all()


for kind in ("FasterRCNN", "RetinaNet", "FCOS", "MaskRCNN"):
    CLIENTS[kind] = Client("torchvision", partial(detector, kind), "RDPN")


@client("torchvision", "RPN")
def deeplabv3_and_fcn(net: Backbone, x: Tensor) -> None:
    from torchvision.models._utils import IntermediateLayerGetter
    from torchvision.models.segmentation.deeplabv3 import DeepLabHead, DeepLabV3
    from torchvision.models.segmentation.fcn import FCN, FCNHead

    resnetlib.dilate(net, 8)
    getter = IntermediateLayerGetter(net, {"layer4": "out"})
    for model in (DeepLabV3(getter, DeepLabHead(512, 5)), FCN(getter, FCNHead(512, 5))):
        assert model.eval()(x)["out"].shape == (len(x), 5, *x.shape[2:])


@client("torchvision")
def children_give_maps(net: Backbone, x: Tensor) -> None:
    children = list(net.eval().children())
    body = nn.Sequential(*children[:-1]) if hasattr(net, "features") else nn.Sequential(*children[:-2])
    assert body(x).ndim == 4
    assert body(x).shape[1] == net.num_features


# timm, transformers, huggingface_hub


@client("timm", "RDPNC")
def timm_data_config(net: Backbone, x: Tensor) -> None:
    import timm

    config = timm.data.resolve_model_data_config(net)
    assert config["input_size"][1] == (32 if net.spec.stem == "cifar" else 224), config


@client("timm")
def timm_layer_decay(net: Backbone, x: Tensor) -> None:
    import timm.optim

    optimizer = timm.optim.create_optimizer_v2(net, opt="sgd", lr=0.1, weight_decay=1e-4, layer_decay=0.75)
    scales = {group["lr_scale"] for group in optimizer.param_groups}
    assert len(scales) > 3
    assert sum(len(group["params"]) for group in optimizer.param_groups) == len(list(net.parameters()))


@client("timm", "RDP")
def timm_local_dir(net: Backbone, x: Tensor) -> None:
    import timm

    with tempfile.TemporaryDirectory() as folder:
        resnetlib.save_model(net, folder)
        theirs = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
        same(theirs(x), net.eval()(x))
        maps = timm.create_model(f"local-dir:{folder}", pretrained=True, features_only=True)(x)
        assert [m.shape[1] for m in maps] == [info["num_chs"] for info in net.feature_info]


@client("timm")
def timm_save_for_hf(net: Backbone, x: Tensor) -> None:
    from timm.models._hub import save_for_hf

    with tempfile.TemporaryDirectory() as folder:
        save_for_hf(net, folder, safe_serialization=True)
        assert (Path(folder) / "model.safetensors").is_file()


@client("transformers", "RDP")
def transformers_auto_model(net: Backbone, x: Tensor) -> None:
    from transformers import AutoModelForImageClassification

    with tempfile.TemporaryDirectory() as folder:
        resnetlib.save_model(net, folder)
        same(AutoModelForImageClassification.from_pretrained(folder).eval()(x).logits, net.eval()(x))


@client("huggingface_hub")
def pytorch_model_hub_mixin(net: Backbone, x: Tensor) -> None:
    from huggingface_hub import PyTorchModelHubMixin

    mixed = type("Mixed", (type(net), PyTorchModelHubMixin), {})
    ours = mixed(net.spec, num_classes=3).eval()
    with tempfile.TemporaryDirectory() as folder:
        ours.save_pretrained(folder)
        same(mixed.from_pretrained(folder).eval()(x), ours(x))


@client("safetensors")
def safetensors_save_and_load_model(net: Backbone, x: Tensor) -> None:
    from safetensors.torch import load_model, save_model

    other = resnetlib.build(net.spec, num_classes=net.num_classes)
    with tempfile.TemporaryDirectory() as folder:
        save_model(net, f"{folder}/m.safetensors")
        load_model(other, f"{folder}/m.safetensors")
    same(other.eval()(x), net.eval()(x), 0)


# Training


def train_steps(net: nn.Module, x: Tensor) -> None:
    """Train a network for two steps."""
    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    for images, labels in loader(x):
        optimizer.zero_grad()
        functional.cross_entropy(net(images), labels).backward()
        optimizer.step()


@client("lightning")
def lightning_trainer(net: Backbone, x: Tensor) -> None:
    import lightning

    class Module(lightning.LightningModule):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def training_step(self, batch: tuple[Tensor, Tensor], number: int) -> Tensor:
            return functional.cross_entropy(self.net(batch[0]), batch[1])

        def configure_optimizers(self) -> torch.optim.Optimizer:
            return torch.optim.SGD(self.parameters(), 0.01)

    before = net.get_classifier().weight.clone()
    options: dict[str, Any] = {"max_epochs": 1, "accelerator": "cpu", "devices": 1, "logger": False}
    options |= {"enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": True}
    lightning.Trainer(**options).fit(Module(), loader(x))
    assert not torch.equal(before, net.get_classifier().weight)


@client("accelerate")
def accelerate(net: Backbone, x: Tensor) -> None:
    from accelerate import Accelerator

    accelerator = Accelerator(cpu=True)
    model, optimizer, batches = accelerator.prepare(net, torch.optim.SGD(net.parameters(), 0.01), loader(x))
    for images, labels in batches:
        accelerator.backward(functional.cross_entropy(model(images), labels))
        optimizer.step()
    assert accelerator.unwrap_model(model) is net


@client("pytorch-ignite")
def ignite(net: Backbone, x: Tensor) -> None:
    from ignite.engine import create_supervised_trainer

    optimizer = torch.optim.SGD(net.parameters(), 0.01)
    create_supervised_trainer(net, optimizer, functional.cross_entropy).run(loader(x), max_epochs=1)


@client("skorch")
def skorch(net: Backbone, x: Tensor) -> None:
    from skorch import NeuralNetClassifier

    images, labels = toy(x)
    model = NeuralNetClassifier(net, criterion=nn.CrossEntropyLoss, max_epochs=1, batch_size=4, train_split=None, verbose=0)
    model.fit(images.numpy(), labels.numpy())
    assert model.predict(images.numpy()).shape == (8,)


@client("fastai", "RPN")
def fastai_vision_learner(net: Backbone, x: Tensor) -> None:
    from fastai.data.core import DataLoaders
    from fastai.vision.learner import vision_learner

    batches = DataLoaders(loader(x), loader(x))
    options: dict[str, Any] = {"pretrained": False, "n_out": 2, "normalize": False, "loss_func": nn.CrossEntropyLoss()}
    learner = vision_learner(batches, getattr(resnetlib, FAMILIES[family_of(net)]), **options)
    with learner.no_logging():
        learner.fit(1)
        learner.freeze()
    assert learner.model[0](x).shape[1] == net.num_features


def family_of(net: Backbone) -> str:
    """Return the family's letter."""
    return next(family for family, name in FAMILIES.items() if resnetlib.spec_of(name) == net.spec)


@client("transformers")
def transformers_trainer(net: Backbone, x: Tensor) -> None:
    from transformers import Trainer, TrainingArguments

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = net

        def forward(self, pixel_values: Tensor, labels: Tensor) -> dict[str, Tensor]:
            logits = self.net(pixel_values)
            return {"loss": functional.cross_entropy(logits, labels), "logits": logits}

    images, labels = toy(x)
    samples = [{"pixel_values": image, "labels": label} for image, label in zip(images, labels, strict=True)]
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, max_steps=1, per_device_train_batch_size=4, report_to=[], use_cpu=True, disable_tqdm=True
        )
        Trainer(Model(), arguments, train_dataset=samples).train()


@client("opacus", "RDPN")
def opacus(net: Backbone, x: Tensor) -> None:
    from opacus import PrivacyEngine
    from opacus.validators import ModuleValidator

    model = ModuleValidator.fix(net)
    optimizer = torch.optim.SGD(model.parameters(), 0.01)
    model, optimizer, batches = PrivacyEngine().make_private(
        module=model, optimizer=optimizer, data_loader=loader(x), noise_multiplier=1.0, max_grad_norm=1.0
    )
    for images, labels in batches:
        optimizer.zero_grad()
        functional.cross_entropy(model(images), labels).backward()
        optimizer.step()


@client("torch")
def averaged_model(net: Backbone, x: Tensor) -> None:
    from torch.optim.swa_utils import AveragedModel, update_bn

    average = AveragedModel(net)
    train_steps(net, x)
    average.update_parameters(net)
    update_bn(loader(x), average)
    assert average.eval()(x).isfinite().all()


@client("peft")
def peft_lora(net: Backbone, x: Tensor) -> None:
    from peft import LoraConfig, get_peft_model

    last = [name for name, module in net.named_modules() if isinstance(module, nn.Conv2d) and module.groups == 1][-1]
    model = get_peft_model(net, LoraConfig(target_modules=[last], modules_to_save=[net.classifier_name]))
    train_steps(model, x)
    assert model.eval()(x).isfinite().all()


@client("torch")
def distributed_data_parallel(net: Backbone, x: Tensor) -> None:
    with process_group():
        train_steps(nn.parallel.DistributedDataParallel(net), x)


@client("torch")
def fsdp2_and_dcp(net: Backbone, x: Tensor) -> None:
    import torch.distributed.checkpoint as dcp
    from torch.distributed.fsdp import fully_shard

    with process_group(), tempfile.TemporaryDirectory() as folder:
        for block in net.blocks():
            fully_shard(block)
        fully_shard(net)
        train_steps(net, x)
        dcp.save({"net": net.state_dict()}, checkpoint_id=folder)
        dcp.load({"net": net.state_dict()}, checkpoint_id=folder)


class process_group:  # noqa: N801 - used as a context manager
    """A process group of this process alone."""

    def __enter__(self) -> None:
        self.file = tempfile.NamedTemporaryFile()
        torch.distributed.init_process_group("gloo", init_method=f"file://{self.file.name}-store", rank=0, world_size=1)

    def __exit__(self, *args: object) -> None:
        torch.distributed.destroy_process_group()
        self.file.close()


# Explanations


@client("grad-cam")
def grad_cam(net: Backbone, x: Tensor) -> None:
    import pytorch_grad_cam as cams

    for method in ("GradCAM", "HiResCAM", "GradCAMPlusPlus", "XGradCAM", "EigenCAM", "EigenGradCAM", "LayerCAM"):
        with getattr(cams, method)(model=net.eval(), target_layers=[last_layer(net)]) as cam:
            assert cam(input_tensor=x, targets=None).shape == (len(x), *x.shape[2:])


@client("torchcam")
def torchcam(net: Backbone, x: Tensor) -> None:
    from torchcam.methods import GradCAM, LayerCAM, SmoothGradCAMpp

    for method in (GradCAM, LayerCAM, SmoothGradCAMpp):
        with method(net.eval(), target_layer=net.feature_info[-1]["module"]) as extractor:
            scores = net(x[:1])
            assert extractor(scores.argmax().item(), scores)[0].ndim == 3


@client("captum", "RDNC")  # its rule for padded max pooling is off for negative values, as in preact_resnet18
def captum_deep_lift(net: Backbone, x: Tensor) -> None:
    from captum.attr import DeepLift

    attribution, delta = DeepLift(net.eval()).attribute(x, target=0, return_convergence_delta=True)
    assert attribution.shape == x.shape
    change = (net(x) - net(torch.zeros_like(x)))[:, 0]
    assert delta.abs().max() < 1e-2 * (1 + change.abs().max())


@client("captum")
def captum_integrated_gradients(net: Backbone, x: Tensor) -> None:
    from captum.attr import IntegratedGradients, LayerGradCam

    assert IntegratedGradients(net.eval()).attribute(x, target=0, n_steps=4).shape == x.shape
    assert LayerGradCam(net, last_layer(net)).attribute(x, target=0).shape[1] == 1


# Counting


@client("fvcore")
def fvcore_flops(net: Backbone, x: Tensor) -> None:
    from fvcore.nn import FlopCountAnalysis

    flops = FlopCountAnalysis(net.eval(), x[:1]).unsupported_ops_warnings(False).uncalled_modules_warnings(False)
    macs = resnetlib.analysis.measure_cost(net, x.shape[-1]).macs
    assert 0.9 < flops.total() / macs < 1.2, flops.total() / macs


@client("thop")
def thop(net: Backbone, x: Tensor) -> None:
    import thop

    assert thop.profile(net, (x[:1],), verbose=False)[1] == sum(p.numel() for p in net.parameters())


@client("ptflops")
def ptflops(net: Backbone, x: Tensor) -> None:
    from ptflops import get_model_complexity_info

    macs, params = get_model_complexity_info(
        net, tuple(x.shape[1:]), as_strings=False, print_per_layer_stat=False, backend="pytorch"
    )
    assert macs
    assert params == sum(p.numel() for p in net.parameters())


@client("torchinfo")
def torchinfo(net: Backbone, x: Tensor) -> None:
    import torchinfo

    assert torchinfo.summary(net, input_data=x, verbose=0).total_params == sum(p.numel() for p in net.parameters())


@client("torchview")
def torchview(net: Backbone, x: Tensor) -> None:
    from torchview import draw_graph

    assert draw_graph(net, input_data=x, depth=3).edge_list


@client("tensorboard")
def tensorboard_graph(net: Backbone, x: Tensor) -> None:
    from torch.utils.tensorboard import SummaryWriter

    with tempfile.TemporaryDirectory() as folder, SummaryWriter(folder) as writer:
        writer.add_graph(net.eval(), x)


# Graphs, compilers, quantization, pruning


@client("torch")
def fx_trace(net: Backbone, x: Tensor) -> None:
    same(torch.fx.symbolic_trace(net.eval())(x), net(x), 0)


@client("torch")
def export_with_dynamic_shapes(net: Backbone, x: Tensor) -> None:
    dim = torch.export.Dim
    shapes = {"x": {0: dim.DYNAMIC, 2: dim.DYNAMIC, 3: dim.DYNAMIC}}
    exported = torch.export.export(net.eval(), (torch.cat((x, x)),), dynamic_shapes=shapes)
    same(exported.module()(x), net(x))


@client("torch")
def jit_trace(net: Backbone, x: Tensor) -> None:
    same(torch.jit.trace(net.eval(), x)(x), net(x))


@client("torch")
def jit_script(net: Backbone, x: Tensor) -> None:
    same(torch.jit.script(net.eval())(x), net(x))


@client("torch")
def compiled(net: Backbone, x: Tensor) -> None:
    same(torch.compile(net.eval(), backend="aot_eager", fullgraph=True)(x), net(x))


@client("torch")
def functional_call_and_vmap(net: Backbone, x: Tensor) -> None:
    from torch.func import functional_call, stack_module_state, vmap

    nets = [net.eval(), resnetlib.build(net.spec, num_classes=net.num_classes).eval()]
    states = stack_module_state(nets)
    got = vmap(lambda params, buffers: functional_call(net, (params, buffers), (x,)))(*states)
    same(got[1], nets[1](x), 1e-3)


@client("onnxruntime")
def onnx_runtime(net: Backbone, x: Tensor) -> None:
    import onnxruntime

    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/net.onnx"
        torch.onnx.export(net.eval(), (x,), path, dynamo=True, verbose=False, external_data=False)
        session = onnxruntime.InferenceSession(path)
        (got,) = session.run(None, {session.get_inputs()[0].name: x.numpy()})
    same(torch.from_numpy(got), net(x), 1e-3)


@client("openvino")
def openvino(net: Backbone, x: Tensor) -> None:
    import openvino

    model = openvino.compile_model(openvino.convert_model(net.eval(), example_input=x), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    same(torch.from_numpy(model(x.numpy())[0]), net(x).detach(), 1e-3)


@client("torchao")
def torchao_int8(net: Backbone, x: Tensor) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    expected = net.eval()(x)
    quantize_(net, Int8WeightOnlyConfig())
    assert (net(x) - expected).abs().max() < 0.05 * expected.abs().max()


@client("torchao")
def pt2e_quantization(net: Backbone, x: Tensor) -> None:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    quantizer = X86InductorQuantizer().set_global(get_default_x86_inductor_quantization_config())
    prepared = prepare_pt2e(torch.export.export(net.eval(), (x,)).module(), quantizer)
    prepared(x)
    assert convert_pt2e(prepared)(x).isfinite().all()


@client("torch-pruning")
def torch_pruning(net: Backbone, x: Tensor) -> None:
    import torch_pruning

    before = sum(p.numel() for p in net.parameters())
    options: dict[str, Any] = {"importance": torch_pruning.importance.MagnitudeImportance(p=2), "pruning_ratio": 0.5}
    torch_pruning.pruner.BasePruner(net.eval(), x, ignored_layers=[net.get_classifier()], **options).step()
    assert net(x).shape == (len(x), net.num_classes)
    assert sum(p.numel() for p in net.parameters()) < 0.6 * before


# Second order, robustness, other losses


@client("backpack-for-pytorch")
def backpack(net: Backbone, x: Tensor) -> None:
    from backpack import backpack, extend
    from backpack.extensions import BatchGrad

    model, loss = extend(net.eval()), extend(nn.CrossEntropyLoss())
    with backpack(BatchGrad()):
        loss(model(x), torch.zeros(len(x), dtype=torch.long)).backward()
    parameters = [p for p in model.parameters() if p.ndim == 4]
    assert parameters[-1].grad_batch.shape[0] == len(x)


@client("curvlinops-for-pytorch")
def curvlinops(net: Backbone, x: Tensor) -> None:
    from curvlinops import GGNLinearOperator

    params = list(net.eval().get_classifier().parameters())
    operator = GGNLinearOperator(net, nn.CrossEntropyLoss(), params, [(x, torch.zeros(len(x), dtype=torch.long))])
    assert (operator @ torch.ones(operator.shape[1])).isfinite().all()


@client("laplace-torch")
def laplace(net: Backbone, x: Tensor) -> None:
    from laplace import Laplace

    net.reset_classifier(2)
    model = Laplace(net.eval(), "classification", subset_of_weights="last_layer", hessian_structure="diag")
    model.fit(loader(x))
    assert model(x).shape == (len(x), 2)


@client("foolbox")
def foolbox(net: Backbone, x: Tensor) -> None:
    import foolbox

    model = foolbox.PyTorchModel(net.eval(), bounds=(-5, 5), device="cpu")
    _, attacked, _ = foolbox.attacks.LinfPGD(steps=2)(model, x.clamp(-5, 5), torch.zeros(len(x), dtype=torch.long), epsilons=0.1)
    assert attacked.shape == x.shape


@client("torchattacks")
def torchattacks(net: Backbone, x: Tensor) -> None:
    import torchattacks

    assert torchattacks.PGD(net.eval(), steps=2)(x.sigmoid(), torch.zeros(len(x), dtype=torch.long)).shape == x.shape


@client("torchmetrics")
def torchmetrics(net: Backbone, x: Tensor) -> None:
    from torchmetrics.classification import MulticlassAccuracy

    metric = MulticlassAccuracy(net.num_classes)
    metric.update(net.eval()(x), torch.zeros(len(x), dtype=torch.long))
    assert 0 <= metric.compute() <= 1


@client("pytorch-metric-learning")
def metric_learning(net: Backbone, x: Tensor) -> None:
    from pytorch_metric_learning.losses import TripletMarginLoss

    net.reset_classifier(0)
    images, labels = toy(x)
    assert TripletMarginLoss()(net(images), labels).isfinite()


@client("lightly")
def lightly(net: Backbone, x: Tensor) -> None:
    from lightly.loss import NTXentLoss
    from lightly.models.modules import SimCLRProjectionHead

    net.reset_classifier(0)
    model = nn.Sequential(net, SimCLRProjectionHead(net.num_features, 32, 16))
    assert NTXentLoss()(model(x), model(x)).isfinite()


@client("segmentation_models_pytorch", "R")
def segmentation_models(net: Backbone, x: Tensor) -> None:
    import segmentation_models_pytorch as smp

    with tempfile.TemporaryDirectory() as folder:
        resnetlib.save_model(net, folder)
        model = smp.Unet(f"tu-local-dir:{folder}", encoder_weights="imagenet", classes=2)
    assert model.eval()(x).shape == (len(x), 2, *x.shape[2:])


def run(name: str, family: str) -> None:
    """Use a client on a new network of a family; raise what it raises."""
    network = FAMILIES[family]
    torch.manual_seed(0)
    net = resnetlib.create_model(network, num_classes=10)
    size = 32 if network.startswith("cifar") else 64
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        CLIENTS[name].check(net, torch.randn(2, 3, size, size))


def version_of(package: str) -> str:
    """Return a package's version, or "" if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def table(rows: Sequence[Sequence[str]]) -> str:
    """Format rows as a Markdown table."""
    head, *body = rows
    return "\n".join("| " + " | ".join(row) + " |" for row in (head, ["-"] * len(head), *body))


@click.command()
@click.argument("names", nargs=-1, type=click.Choice(list(CLIENTS)))
def main(names: tuple[str, ...]) -> None:
    """Run the tools NAMES (all, if none is given) on every family, and print a table."""
    rows = [["tool", "package", *(f"{family} ({name})" for family, name in FAMILIES.items())]]
    failures = []
    for name in tqdm(names or list(CLIENTS), disable=None):
        package, families = CLIENTS[name].package, CLIENTS[name].families
        version = version_of(package)
        row = [name, f"{package} {version}"]
        for family in FAMILIES:
            result = "yes"
            if not version:
                result = "not installed"
            elif family not in families:
                result = "-"
            else:
                try:
                    run(name, family)
                except Exception as error:  # noqa: BLE001 - whatever a tool raises is its result
                    result = "no"
                    failures.append(f"{name}, {FAMILIES[family]}: {type(error).__name__}: {str(error).strip()[:300]}")
            row.append(result)
        rows.append(row)
    click.echo(table(rows))
    for failure in failures:
        click.echo(f"\n{failure}", err=True)
    sys.exit(bool(failures))


if __name__ == "__main__":
    main()
