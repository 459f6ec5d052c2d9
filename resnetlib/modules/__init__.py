"""Building blocks of networks: joins, blocks, stages, and the backbone."""

from resnetlib.modules.backbone import Backbone, FeatureInfo
from resnetlib.modules.block import Block
from resnetlib.modules.dense import DenseBlock, DenseLayer, Transition
from resnetlib.modules.dilation import DilatedAvgPool2d, dilate, is_dilated
from resnetlib.modules.frozen import (
    FrozenBatchNorm1d,
    FrozenBatchNorm2d,
    FrozenBatchNorm3d,
    FrozenSyncBatchNorm,
)
from resnetlib.modules.init import init_fixup_, init_he_, init_zero_residual_
from resnetlib.modules.join import Add, Concat, Join, Replace, ScaledAdd, StochasticAdd, StochasticConcat
from resnetlib.modules.layers import LayerFactory
from resnetlib.modules.residual import BasicBlock, Bottleneck, PadShortcut, PreActBasicBlock, PreActBottleneck
from resnetlib.modules.stage import Stage, recompute

__all__ = [
    "Add",
    "Backbone",
    "BasicBlock",
    "Block",
    "Bottleneck",
    "Concat",
    "DenseBlock",
    "DenseLayer",
    "DilatedAvgPool2d",
    "FeatureInfo",
    "FrozenBatchNorm1d",
    "FrozenBatchNorm2d",
    "FrozenBatchNorm3d",
    "FrozenSyncBatchNorm",
    "Join",
    "LayerFactory",
    "PadShortcut",
    "PreActBasicBlock",
    "PreActBottleneck",
    "Replace",
    "ScaledAdd",
    "Stage",
    "StochasticAdd",
    "StochasticConcat",
    "Transition",
    "dilate",
    "init_fixup_",
    "init_he_",
    "init_zero_residual_",
    "is_dilated",
    "recompute",
]
