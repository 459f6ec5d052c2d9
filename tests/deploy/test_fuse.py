"""An optimized network computes what the original does, is a copy, and says what it cannot do."""

import copy
import io
import logging
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn
from torch.nn.utils import prune

import resnetlib
from resnetlib import Backbone, OptimizedNetwork, Spec, build, classify, create_model, evaluate, optimize, save_model
from resnetlib.analysis import measure_cost
from resnetlib.config import Preprocessing
from resnetlib.deploy import fuse
from resnetlib.deploy.fuse import FusedConv2d, FusedNorm2d

IMAGES = torch.randn(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=["packed", "plain"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """With oneDNN's operators, and without them, as on a GPU."""
    if request.param == "plain":
        monkeypatch.setattr(fuse, "_operators_work", lambda dtype: False)
    elif not fuse._operators_work(torch.float32):
        pytest.skip("PyTorch's oneDNN operators are not there")
    return request.param  # type: ignore[no-any-return]


def network(spec: Spec, **options: Any) -> Any:
    torch.manual_seed(0)
    net = build(spec, num_classes=5, **options)
    with torch.no_grad():
        net(IMAGES.repeat(1, net.in_chans // 3, 1, 1) + 0.5)  # statistics other than the initial ones
        for parameter in net.parameters():  # and no zeros, as in Fixup
            parameter += 0.05 * torch.randn_like(parameter)
    return net.eval()


def output(net: Any, x: Tensor = IMAGES) -> Tensor:
    with torch.no_grad():
        return net(x)  # type: ignore[no-any-return]


def assert_same(a: Tensor, b: Tensor, close: float = 1e-5) -> None:
    assert a.shape == b.shape
    assert float((a - b).norm()) <= close * float(b.norm())


def fused(fast: OptimizedNetwork, kind: type[nn.Module] = FusedConv2d) -> list[Any]:
    return [module for module in fast.modules() if isinstance(module, kind)]


def packs(module: FusedConv2d) -> list[Tensor]:
    return list(module.packs.values())


def test_outputs_are_the_same(spec: Spec, way: str) -> None:
    net = network(spec)
    fast = optimize(net)
    for size, n in ((32, 3), (32, 1), (47, 2), (33, 1), (34, 1)):  # batches and sizes take turns
        x = torch.randn(n, 3, size, size)
        for layout in (torch.contiguous_format, torch.channels_last):
            images = x.to(memory_format=layout)
            before = images.clone()
            assert_same(fast(images), output(net, images))
            assert torch.equal(images, before)
            with torch.inference_mode():
                assert_same(fast(images), output(net, images))
    for module in fused(fast):
        assert len(packs(module)) in ((0,) if way == "plain" else (1,) if module.weight.shape[2:].numel() == 1 else (1, 2, 3))
    assert bool(fused(fast)) != ("init='fixup'" in str(spec))  # its convolutions stay as they are
    for module in fused(fast)[:1]:
        assert len(packs(module)) == (3 if way == "packed" else 0)


@pytest.mark.parametrize("options", [{"num_classes": 0}, {"num_classes": 0, "global_pool": ""}])
def test_networks_without_a_head(options: Any, way: str) -> None:
    net = build(FAMILIES["resnet"], **options).eval()
    first = optimize(net)(IMAGES)
    assert_same(first, output(net))


def test_every_norm_after_a_convolution_is_folded_and_no_other_left() -> None:
    fast = optimize(create_model("resnet50"))
    assert len(fused(fast)) == 53
    assert sum(module.relu for module in fused(fast)) == 49
    assert sum(module.overwrites for module in fused(fast)) == 16
    assert not any(isinstance(module, nn.BatchNorm2d | nn.ReLU | nn.Conv2d) for module in fast.modules())
    dense = optimize(create_model("densenet121"))
    assert len(fused(dense)) == 120
    assert len(fused(dense, FusedNorm2d)) == 121 - 59
    assert fast.unfused == dense.unfused == {}


def test_bfloat16_and_other_dtypes(way: str) -> None:
    net = network(FAMILIES["resnet-bottleneck"])
    fast = optimize(net, dtype=torch.bfloat16)
    assert fast(IMAGES).dtype == fast.dtype == torch.bfloat16
    assert_same(fast(IMAGES).float(), output(net), 0.03)
    assert {parameter.dtype for parameter in fast.parameters()} == {torch.bfloat16}
    assert next(net.parameters()).dtype == torch.float32
    double = optimize(net, dtype=torch.float64)
    assert_same(double(IMAGES), output(copy.deepcopy(net).double(), IMAGES.double()), 1e-12)
    assert optimize(copy.deepcopy(net).half()).dtype == torch.float16


def test_it_is_a_copy_in_evaluation_mode() -> None:
    net = network(FAMILIES["preact"])
    want, state = output(net), copy.deepcopy(net.state_dict())
    fast = optimize(net.train())
    assert net.training
    assert not any(module.training for module in fast.modules())
    own = {parameter.data_ptr() for parameter in net.parameters()}
    assert not any(p.data_ptr() in own for p in fast.parameters())
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.zero_()
    assert_same(fast(IMAGES), want)
    assert all(torch.equal(state[name], tensor) for name, tensor in net.state_dict().items() if "running" in name)


def test_copies_and_pickles(way: str) -> None:
    fast = optimize(network(FAMILIES["resnet"]))
    want, file = fast(IMAGES), io.BytesIO()
    assert torch.equal(copy.deepcopy(fast)(IMAGES), want)
    torch.save(fast, file)
    file.seek(0)
    loaded = torch.load(file, weights_only=False)
    assert torch.equal(loaded(IMAGES), want)
    assert all(tensor.layout == torch.strided for tensor in loaded.state_dict().values())
    file = io.BytesIO()
    torch.save(fast.state_dict(), file)


def test_classify_and_evaluate() -> None:
    net = create_model("cifar_resnet20.resnetlib_c10").eval()
    fast = optimize(net)
    pixels = torch.randint(256, (8, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    for mine, others in zip(classify(fast, pixels), classify(net, pixels), strict=True):
        assert [guess.name for guess in mine] == [guess.name for guess in others]
        assert [guess.probability for guess in mine] == pytest.approx([guess.probability for guess in others], abs=1e-5)
    batches = [(net.preprocess(pixels), torch.arange(8))]  # type: ignore[misc]
    mine_, others_ = evaluate(fast, batches), evaluate(net, batches)
    assert (mine_.top1, mine_.top5) == (others_.top1, others_.top5)
    assert mine_.loss == pytest.approx(others_.loss, rel=1e-5)
    assert isinstance(fast.preprocess, Preprocessing)
    assert (fast.classes, fast.pretrained_cfg, fast.num_classes) == (net.classes, net.pretrained_cfg, 10)
    assert evaluate(optimize(net, dtype=torch.bfloat16), batches).images == 8


@pytest.mark.parametrize(
    "name", ["conv1", "bn1", "layer1.0", "layer1.0.join", "layer2.0.bn2", "layer1.0.relu2", "layer2", "fc", ""]
)
def test_hooks_fire_with_what_they_saw(name: str, way: str) -> None:
    net, seen = network(FAMILIES["resnet"]), []
    net.get_submodule(name).register_forward_hook(lambda module, args, y: seen.append((args[0], y)))
    want = output(net)
    fast = optimize(net)
    assert_same(fast(IMAGES), want)
    assert len(seen) == 2
    for a, b in zip(*seen, strict=True):
        assert_same(b, a)
    assert fast.unfused == ({name: "it has hooks"} if name else {})


def test_a_hook_can_change_an_output() -> None:
    net = network(FAMILIES["resnet"])
    net.layer1[0].bn2.register_forward_hook(lambda module, args, y: y * 2)
    assert_same(optimize(net)(IMAGES), output(net))


class Kept(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        self.kept = x
        return x if bool(x.sum() > 1e9) is False else -x  # which cannot be traced


@pytest.mark.filterwarnings("ignore")  # of torch.ao.quantization
def test_what_is_unfused_is_said(caplog: pytest.LogCaptureFixture) -> None:
    net = network(FAMILIES["resnet"])
    net.layer1[0].bn1 = Kept()
    nn.utils.parametrizations.weight_norm(net.layer1[1].conv1)
    net.layer2[0].bn1 = nn.GroupNorm(2, 16)
    net.layer2[0].relu1 = nn.LeakyReLU()
    with caplog.at_level(logging.DEBUG, "resnetlib"):
        fast = optimize(net.eval())
    assert_same(fast(IMAGES), output(net))
    assert fast.unfused == {
        "layer1.0.bn1": "Kept",
        "layer1.1.conv1": "it is parametrized",
        "layer2.0.bn1": "GroupNorm",
        "layer2.0.relu1": "LeakyReLU",
    }
    assert "optimize leaves layer1.1.conv1 as it is: it is parametrized" in caplog.text
    assert "dtype=torch.float32, 4 modules unfused" in repr(fast)
    assert bool((fast.get_submodule("network.layer1.0.bn1").kept < 0).any())  # type: ignore[operator]
    quantized = torch.ao.quantization.quantize_dynamic(network(FAMILIES["resnet"]), {nn.Linear})
    assert "fc" in optimize(quantized).unfused


def test_shared_modules_and_skips_that_are_read_again(way: str) -> None:
    net = network(FAMILIES["resnet"])
    net.layer1[1].bn1 = net.layer1[0].bn1
    assert_same(optimize(net)(IMAGES), output(net))
    net = network(FAMILIES["resnet"])
    net.layer1[1] = net.layer1[0]
    assert_same(optimize(net)(IMAGES), output(net))
    plain = network(FAMILIES["resnet"])
    plain.conv1, plain.bn1, plain.relu = nn.Identity(), nn.Identity(), nn.Identity()
    plain.layer1[0] = resnetlib.BasicBlock(3, 8, shortcut="A").eval()
    assert_same(optimize(plain)(IMAGES), output(plain))


def test_the_input_is_never_overwritten(way: str) -> None:
    net = network(FAMILIES["resnet"])
    net.conv1, net.bn1, net.relu = nn.Identity(), nn.Identity(), nn.Identity()
    net.layer1[0] = resnetlib.BasicBlock(3, 3).eval()
    net.layer1[1] = resnetlib.BasicBlock(3, 8).eval()
    x = IMAGES.to(memory_format=torch.channels_last)
    before, want = x.clone(), output(net, x)
    assert_same(optimize(net)(x), want)
    assert torch.equal(x, before)


def test_errors() -> None:
    net = network(FAMILIES["resnet"])
    fast = optimize(net)
    with pytest.raises(TypeError, match="expected a network of this library, got Linear"):
        optimize(nn.Linear(2, 2))  # type: ignore[arg-type]
    for dtype in (torch.int8, torch.float8_e4m3fn):
        with pytest.raises(TypeError, match=rf"dtype must be a floating-point torch.dtype, .* got {dtype}"):
            optimize(net, dtype=dtype)
    with pytest.raises(TypeError, match="got OptimizedNetwork: pass the original network"):
        optimize(fast)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="a network on the meta device has no weights to optimize"):
        optimize(build(FAMILIES["resnet"], device="meta"))
    with pytest.raises(TypeError, match="expected images"):
        fast(torch.zeros(1, 3, 32, 32, dtype=torch.uint8))
    with pytest.raises(ValueError, match="an optimized network computes no gradients: use the original network"):
        fast(IMAGES.clone().requires_grad_())
    with pytest.raises(
        ValueError, match="an optimized network cannot be trained: train the original network, then call optimize again"
    ):
        fast.train()
    for move in (lambda: fast.to(torch.bfloat16), lambda: fast.half(), lambda: fast.to("meta")):
        with pytest.raises(
            ValueError, match=r"an optimized network stays torch.float32 on cpu: move the original network"
        ) as caught:
            move()
        assert str(caught.value).endswith("move the original network, then call optimize again, with dtype= for another dtype")
    assert fast.to("cpu") is fast.float() is fast.eval() is fast
    with pytest.raises(
        ValueError, match="an optimized network loads no weights: load them into the original network, then call optimize again"
    ):
        fast.load_state_dict(fast.state_dict())
    with pytest.raises(TypeError, match="OptimizedNetwork"):
        save_model(fast, "nowhere")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="OptimizedNetwork"):
        optimize(fast)  # type: ignore[arg-type]


def test_operators_that_fail_or_are_wrong_are_not_used(monkeypatch: pytest.MonkeyPatch) -> None:
    net = network(FAMILIES["resnet"])
    fuse._operators_work.cache_clear()
    monkeypatch.setattr(FusedConv2d, "_pack", lambda self, x: torch.ops.mkldnn.there_is_no_such_operator())
    fast = optimize(net)
    assert_same(fast(IMAGES), output(net))
    assert not any(packs(module) for module in fused(fast))
    fuse._operators_work.cache_clear()
    monkeypatch.setattr(FusedConv2d, "_pack", lambda self, x: 2 * self.weight)
    assert_same(fast(IMAGES), output(net))
    fuse._operators_work.cache_clear()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["resnet", "resnet-bottleneck", "preact", "densenet"])
def test_autocast_chooses_the_dtype_of_every_size(name: str, dtype: torch.dtype, way: str) -> None:
    net = network(FAMILIES[name])
    fast, warm = optimize(net), optimize(net)
    for size in (32, 40):
        warm(torch.randn(2, 3, size, size))
    if way == "packed":
        fuse._operators_work.cache_clear()
    for size in (32, 40, 48, 56, 64):  # more than have packed weights
        x = torch.randn(2, 3, size, size)
        with torch.autocast("cpu", dtype):
            found = fast(x), warm(x)
        for y in found:
            assert y.dtype == dtype
            assert_same(y.float(), output(net, x), 0.03)
    assert_same(warm(IMAGES), output(net))


@pytest.mark.parametrize("setting", ["autocast", "inference mode", "float64", "meta"])
def test_the_check_of_the_operators_is_the_same_everywhere(setting: str) -> None:
    fuse._operators_work.cache_clear()
    expected = [fuse._operators_work(dtype) for dtype in (torch.float32, torch.bfloat16)]
    fuse._operators_work.cache_clear()
    try:
        torch.set_default_dtype(torch.float64 if setting == "float64" else torch.float32)
        with (
            torch.autocast("cpu", torch.bfloat16, enabled=setting == "autocast"),
            torch.inference_mode(setting == "inference mode"),
            torch.device("meta" if setting == "meta" else "cpu"),
        ):
            assert [fuse._operators_work(dtype) for dtype in (torch.float32, torch.bfloat16)] == expected
    finally:
        torch.set_default_dtype(torch.float32)
        fuse._operators_work.cache_clear()


@pytest.mark.slow
@pytest.mark.parametrize(
    "name", ["resnet50", "resnext50_32x4d", "wide_resnet50_2", "densenet121", "preact_resnet18", "cifar_plain20"]
)
def test_real_networks(name: str, way: str) -> None:
    torch.manual_seed(0)
    net = create_model(name)
    x = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        net(x)
    assert_same(optimize(net)(x), output(net.eval(), x))


@pytest.mark.parametrize("function", [optimize, partial(measure_cost, size=32)], ids=["optimize", "measure_cost"])
def test_a_pruned_network_says_how_to_make_it_plain(function: Callable[[Backbone], object]) -> None:
    net = build(FAMILIES["resnet"], num_classes=5)
    prune.l1_unstructured(net.conv1, "weight", 0.5)
    with pytest.raises(ValueError, match=r"torch.nn.utils.prune.remove"):
        function(net)
    prune.remove(net.conv1, "weight")
    function(net)
