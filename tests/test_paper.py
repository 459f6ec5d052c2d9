"""Parameters and operations of the papers' tables."""

from dataclasses import replace

import pytest

from resnetlib import list_models
from resnetlib.analysis import Cost, measure_cost
from resnetlib.models import ResNetSpec, Spec, build, spec_of

PARAMETERS = {
    "plain18": 11_515_688,
    "plain34": 21_623_848,
    "resnet18": 11_689_512,
    "resnet26": 15_995_176,
    "resnet34": 21_797_672,
    "resnet50": 25_557_032,
    "resnet101": 44_549_160,
    "resnet152": 60_192_808,
    "resnet200": 64_673_832,
    "resnext50_32x4d": 25_028_904,
    "resnext101_32x4d": 44_177_704,
    "resnext101_32x8d": 88_791_336,
    "resnext101_64x4d": 83_455_272,
    "wide_resnet50_2": 68_883_240,
    "wide_resnet101_2": 126_886_696,
    "preact_resnet18": 11_687_720,
    "preact_resnet34": 21_795_880,
    "preact_resnet50": 25_549_352,
    "preact_resnet101": 44_541_480,
    "preact_resnet152": 60_185_128,
    "preact_resnet200": 64_666_152,  # pytorchcv's 64,666,280 less its stem norm's 128
    "densenet121": 7_978_856,
    "densenet161": 28_681_000,
    "densenet169": 14_149_480,
    "densenet201": 20_013_928,
    "densenet264": 33_337_704,
    "cifar_plain20": 269_722,
    "cifar_plain32": 464_154,
    "cifar_plain44": 658_586,
    "cifar_plain56": 853_018,
    "cifar_plain110": 1_727_962,
    "cifar_resnet20": 269_722,
    "cifar_resnet32": 464_154,
    "cifar_resnet44": 658_586,
    "cifar_resnet56": 853_018,
    "cifar_resnet110": 1_727_962,
    "cifar_resnet164": 1_704_154,
    "cifar_resnet1202": 19_421_274,
    "cifar_resnet20b": 272_474,
    "cifar_resnet32b": 466_906,
    "cifar_resnet44b": 661_338,
    "cifar_resnet56b": 855_770,
    "cifar_resnet110b": 1_730_714,
    "cifar_preact_resnet20": 269_722,
    "cifar_preact_resnet56": 853_018,
    "cifar_preact_resnet110": 1_727_962,
    "cifar_preact_resnet164": 1_703_258,
    "cifar_preact_resnet1001": 10_327_706,
    "cifar_densenet40_k12": 1_019_722,
    "cifar_densenet100_k12": 6_979_642,
    "cifar_densenet_bc100_k12": 769_162,
    "cifar_densenet_bc190_k40": 25_624_430,
    "cifar_densenet_bc250_k24": 15_324_406,
}

GIGA_MACS = {  # with the stride in the 3x3, and as torchvision states them where it does
    "plain18": "1.795",
    "plain34": "3.644",
    "resnet18": "1.814",
    "resnet34": "3.664",
    "resnet50": "4.089",
    "resnet101": "7.801",
    "resnet152": "11.514",
    "resnext50_32x4d": "4.230",
    "resnext101_32x8d": "16.414",
    "resnext101_64x4d": "15.460",
    "wide_resnet50_2": "11.398",
    "wide_resnet101_2": "22.753",
    "densenet121": "2.834",
    "densenet161": "7.728",
    "densenet169": "3.360",
    "densenet201": "4.291",
}

MEGA_MACS = {
    "cifar_plain20": "40.55",
    "cifar_plain56": "125.49",
    "cifar_resnet20": "40.55",
    "cifar_resnet32": "68.86",
    "cifar_resnet44": "97.17",
    "cifar_resnet56": "125.49",
    "cifar_resnet110": "252.89",
    "cifar_resnet1202": "2829.24",
    "cifar_preact_resnet20": "40.55",
    "cifar_preact_resnet56": "125.49",
    "cifar_preact_resnet110": "252.89",
    "cifar_densenet40_k12": "264.81",
    "cifar_densenet100_k12": "1769.52",
    "cifar_densenet_bc100_k12": "287.93",
    "cifar_densenet_bc250_k24": "5418.79",
    "cifar_densenet_bc190_k40": "9301.95",
}

V1_MEGA_MACS = {  # with the stride in the 1x1, as in the papers' own networks
    "resnet50": 3858,
    "resnet101": 7570,
    "resnet152": 11282,
    "cifar_preact_resnet164": 244.5,
    "cifar_preact_resnet1001": 1487.9,
}


def resnet_spec(name: str) -> ResNetSpec:
    spec = spec_of(name)
    assert isinstance(spec, ResNetSpec)
    return spec


def cost_of(name: str, **changes: object) -> Cost:
    spec = spec_of(name)
    net = build(replace(spec, **changes), device="meta")
    return measure_cost(net, 224 if spec.stem == "imagenet" else 32)


def test_every_name_has_its_count() -> None:
    assert sorted(PARAMETERS) == sorted(list_models())


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameters(name: str) -> None:
    net = build(spec_of(name), device="meta")
    assert sum(parameter.numel() for parameter in net.parameters()) == PARAMETERS[name]


@pytest.mark.parametrize("name", GIGA_MACS)
def test_macs_of_large_networks(name: str) -> None:
    assert f"{cost_of(name).macs / 1e9:.3f}" == GIGA_MACS[name]


@pytest.mark.parametrize("name", MEGA_MACS)
def test_macs_of_small_networks(name: str) -> None:
    assert f"{cost_of(name).macs / 1e6:.2f}" == MEGA_MACS[name]


@pytest.mark.parametrize("name", V1_MEGA_MACS)
def test_macs_with_the_papers_stride(name: str) -> None:
    assert cost_of(name, stride_in="1x1").macs / 1e6 == pytest.approx(V1_MEGA_MACS[name], rel=2e-4)


@pytest.mark.parametrize(
    ("name", "shortcut", "parameters", "mega_macs"),
    [
        ("resnet18", "A", 11_515_688, "1794.81"),
        ("resnet34", "A", 21_623_848, "3644.49"),
        ("cifar_resnet20", "B", 272_474, "40.81"),
        ("cifar_resnet32", "B", 466_906, "69.12"),
        ("cifar_resnet44", "B", 661_338, "97.44"),
        ("cifar_resnet56", "B", 855_770, "125.75"),
        ("cifar_resnet110", "B", 1_730_714, "253.15"),
        ("cifar_preact_resnet20", "B", 272_282, "40.81"),
        ("cifar_preact_resnet56", "B", 855_578, "125.75"),
        ("cifar_preact_resnet110", "B", 1_730_522, "253.15"),
    ],
)
def test_shortcuts(name: str, shortcut: str, parameters: int, mega_macs: str) -> None:
    cost = cost_of(name, shortcut=shortcut)
    assert cost.params == parameters
    assert f"{cost.macs / 1e6:.2f}" == mega_macs


def test_the_deepest_with_projections() -> None:
    net = build(replace(spec_of("cifar_resnet1202"), shortcut="B"), device="meta")
    assert sum(parameter.numel() for parameter in net.parameters()) == 19_424_026


@pytest.mark.parametrize(
    ("spec", "classes", "parameters"),
    [
        (replace(spec_of("cifar_preact_resnet1001"), order="post"), 10, 10_328_602),
        (replace(resnet_spec("resnet50"), depths=(2, 2, 2, 2)), 1000, 15_995_176),
        (spec_of("cifar_resnet20"), 100, 269_722 + 5_850),
        (spec_of("cifar_resnet164"), 100, 1_704_154 + 23_130),
        (spec_of("cifar_densenet40_k12"), 100, 1_060_132),
        (spec_of("cifar_densenet_bc100_k12"), 100, 800_032),
        (spec_of("cifar_densenet_bc190_k40"), 100, 25_821_620),
        (spec_of("cifar_densenet_bc250_k24"), 100, 15_480_556),
        (replace(spec_of("cifar_densenet100_k12"), growth=24), 10, 27_249_082),
        (replace(spec_of("cifar_densenet_bc100_k12"), depths=(6, 6, 6)), 10, 176_122),
        (replace(spec_of("cifar_densenet_bc100_k12"), depths=(6, 6, 6), growth=36, stem_width=72), 10, 1_542_682),
        (replace(spec_of("cifar_densenet_bc100_k12"), depths=(6, 6, 6), growth=48, stem_width=96), 10, 2_733_130),
        (replace(spec_of("cifar_densenet_bc100_k12"), depths=(6, 6, 6), growth=60, stem_width=120), 10, 4_261_690),
    ],
)
def test_networks_that_have_no_name(spec: Spec, classes: int, parameters: int) -> None:
    net = build(spec, num_classes=classes, device="meta")
    assert sum(parameter.numel() for parameter in net.parameters()) == parameters


@pytest.mark.parametrize("depth", [20, 32, 44, 56, 110])
def test_residual_and_plain_networks_have_the_same_parameters(depth: int) -> None:
    plain, residual = build(spec_of(f"cifar_plain{depth}")), build(spec_of(f"cifar_resnet{depth}"))
    assert [(k, t.shape) for k, t in plain.named_parameters()] == [(k, t.shape) for k, t in residual.named_parameters()]


@pytest.mark.parametrize("name", [name for name in list_models("cifar_*") if name[-1].isdigit()])
def test_depth_in_the_name_counts_convolutions_and_the_classifier(name: str) -> None:
    spec = spec_of(name)
    if isinstance(spec, ResNetSpec):
        depth = int(name.rpartition("t")[2] if "resnet" in name else name.removeprefix("cifar_plain"))
        layers = sum(spec.depths) * (2 if spec.block == "basic" else 3) + 2
    else:
        depth = int(name.split("_k")[0].split("densenet")[1].removeprefix("_bc"))
        layers = sum(spec.depths) * (2 if spec.bottleneck else 1) + len(spec.depths) - 1 + 2
    assert layers == depth
