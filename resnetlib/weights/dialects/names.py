"""The names that others give to the same tensors, as rules. The canonical names are torchvision's, and ours for what it has not."""

from resnetlib.weights.dialects.renaming import Refusal, Rule


def _same(*names: str) -> tuple[Rule, ...]:
    return tuple((name, name) for name in names)


POST = _same(
    "conv1.{p}",
    "bn1.{p}",
    "layer{s}.{b}.conv{k}.{p}",
    "layer{s}.{b}.bn{k}.{p}",
    "layer{s}.{b}.downsample.0.{p}",
    "layer{s}.{b}.downsample.1.{p}",
)
PRE = _same(
    "conv1.{p}",
    "bn1.{p}",
    "layer{s}.{b}.norm{k}.{p}",
    "layer{s}.{b}.conv{k}.{p}",
    "layer{s}.{b}.downsample.0.{p}",
    "norm.{p}",
)
DENSE = _same(
    "features.conv0.{p}",
    "features.norm0.{p}",
    "features.denseblock{s}.denselayer{b}.norm{k}.{p}",
    "features.denseblock{s}.denselayer{b}.conv{k}.{p}",
    "features.transition{s}.norm.{p}",
    "features.transition{s}.conv.{p}",
    "features.norm5.{p}",
    "classifier.{p}",
)
DENSE_0_2 = (
    ("features.denseblock{s}.denselayer{b}.norm.{k}.{p}", "features.denseblock{s}.denselayer{b}.norm{k}.{p}"),
    ("features.denseblock{s}.denselayer{b}.conv.{k}.{p}", "features.denseblock{s}.denselayer{b}.conv{k}.{p}"),
    *(rule for rule in DENSE if "denselayer" not in rule[0]),
)
FC = _same("fc.{p}")
LINEAR = (("linear.{p}", "fc.{p}"),)
ALPHA = _same("layer{s}.{b}.join.alpha")

TIMM_V2 = (
    ("stem.conv.{p}", "conv1.{p}"),
    ("stages.{s-1}.blocks.{b}.norm{k}.{p}", "layer{s}.{b}.norm{k}.{p}"),
    ("stages.{s-1}.blocks.{b}.conv{k}.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("stages.{s-1}.blocks.{b}.downsample.conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("norm.{p}", "norm.{p}"),
    ("head.fc.{p}", "fc.{p}"),
)
TRANSFORMERS = (
    ("embedder.embedder.convolution.{p}", "conv1.{p}"),
    ("embedder.embedder.normalization.{p}", "bn1.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.layer.{k-1}.convolution.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.layer.{k-1}.normalization.{p}", "layer{s}.{b}.bn{k}.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.shortcut.convolution.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("encoder.stages.{s-1}.layers.{b}.shortcut.normalization.{p}", "layer{s}.{b}.downsample.1.{p}"),
)
TRANSFORMERS_CLASSIFIER = (
    *((f"resnet.{foreign}", canonical) for foreign, canonical in TRANSFORMERS),
    ("classifier.1.{p}", "fc.{p}"),
)

PYTORCHCV_POST = (
    ("features.stage{s}.unit{b+1}.body.conv{k}.conv.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("features.stage{s}.unit{b+1}.body.conv{k}.bn.{p}", "layer{s}.{b}.bn{k}.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.bn.{p}", "layer{s}.{b}.downsample.1.{p}"),
    ("output.{p}", "fc.{p}"),
)
PYTORCHCV_PRE = (
    ("features.stage{s}.unit{b+1}.body.conv{k}.bn.{p}", "layer{s}.{b}.norm{k}.{p}"),
    ("features.stage{s}.unit{b+1}.body.conv{k}.conv.{p}", "layer{s}.{b}.conv{k}.{p}"),
    ("features.stage{s}.unit{b+1}.identity_conv.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("features.post_activ.bn.{p}", "norm.{p}"),
    ("output.{p}", "fc.{p}"),
)
PYTORCHCV_DENSE = (
    ("features.stage{s}.unit{b}.conv{k}.bn.{p}", "features.denseblock{s}.denselayer{b}.norm{k}.{p}"),
    ("features.stage{s}.unit{b}.conv{k}.conv.{p}", "features.denseblock{s}.denselayer{b}.conv{k}.{p}"),
    ("features.stage{s+1}.trans{s+1}.conv.bn.{p}", "features.transition{s}.norm.{p}"),
    ("features.stage{s+1}.trans{s+1}.conv.conv.{p}", "features.transition{s}.conv.{p}"),
    ("features.post_activ.bn.{p}", "features.norm5.{p}"),
    ("output.{p}", "classifier.{p}"),
)
PYTORCHCV_DENSE_SIMPLE = (
    ("features.stage{s}.unit{b}.conv.bn.{p}", "features.denseblock{s}.denselayer{b}.norm1.{p}"),
    ("features.stage{s}.unit{b}.conv.conv.{p}", "features.denseblock{s}.denselayer{b}.conv1.{p}"),
    *PYTORCHCV_DENSE[2:],
)


def pytorchcv_stem(conv: str, norm: str = "") -> tuple[Rule, ...]:
    """Return the rules of a stem with this convolution, and this norm if it has one."""
    rules = ((f"features.init_block.{conv}{{p}}", "conv1.{p}"),)
    return (*rules, (f"features.init_block.{norm}{{p}}", "bn1.{p}")) if norm else rules


PYTORCHCV_DENSE_STEM = (
    ("features.init_block.conv.{p}", "features.conv0.{p}"),
    ("features.init_block.bn.{p}", "features.norm0.{p}"),
)
PYTORCHCV_DENSE_SMALL_STEM = (("features.init_block.{p}", "features.conv0.{p}"),)
BEARPAW_DENSE = (
    ("conv1.{p}", "features.conv0.{p}"),
    ("dense{s}.{b-1}.bn{k}.{p}", "features.denseblock{s}.denselayer{b}.norm{k}.{p}"),
    ("dense{s}.{b-1}.conv{k}.{p}", "features.denseblock{s}.denselayer{b}.conv{k}.{p}"),
    ("trans{s}.bn1.{p}", "features.transition{s}.norm.{p}"),
    ("trans{s}.conv1.{p}", "features.transition{s}.conv.{p}"),
    ("bn.{p}", "features.norm5.{p}"),
    ("fc.{p}", "classifier.{p}"),
)
KUANGLIU = (
    *(rule for rule in POST if "downsample" not in rule[0]),
    ("layer{s}.{b}.shortcut.0.{p}", "layer{s}.{b}.downsample.0.{p}"),
    ("layer{s}.{b}.shortcut.1.{p}", "layer{s}.{b}.downsample.1.{p}"),
    *LINEAR,
)
AKAMASTER = (*(rule for rule in POST if "downsample" not in rule[0]), *LINEAR)

REFUSALS = (
    Refusal(
        needs="bn.weight",
        names=(
            "conv1.{p}",
            "layer{s}.{b}.bn{k}.{p}",
            "layer{s}.{b}.conv{k}.{p}",
            "layer{s}.{b}.downsample.0.{p}",
            "bn.{p}",
            "fc.{p}",
        ),
        why="bearpaw's preresnet, whose projections read what enters a block; those of a PreActResNet read it behind norm and relu",
    ),
    Refusal(
        needs="layer1.0.bn1.weight",
        names=("conv1.{p}", "layer{s}.{b}.bn{k}.{p}", "layer{s}.{b}.conv{k}.{p}", "layer{s}.{b}.shortcut.0.{p}", "linear.{p}"),
        why="kuangliu's PreActResNet, which has no norm and relu behind its last stage; a PreActResNet has them",
    ),
    Refusal(
        needs="trans1.bn.weight",
        names=(
            "conv1.{p}",
            "dense{s}.{b}.bn{k}.{p}",
            "dense{s}.{b}.conv{k}.{p}",
            "trans{s}.bn.{p}",
            "trans{s}.conv.{p}",
            "bn.{p}",
            "linear.{p}",
        ),
        why="kuangliu's DenseNet, whose layers put their new channels before the old ones; those of a DenseNet put them after",
    ),
)
"""Whose files are known, and cannot be read."""
