"""What networks are made of: joins, blocks, stages, and the skeleton that holds them."""

from resnetlib.modules.backbone import Backbone, FeatureInfo
from resnetlib.modules.block import Block
from resnetlib.modules.dense import DenseBlock, DenseLayer, Transition
from resnetlib.modules.dilation import DilatedAvgPool2d, dilate, is_dilated
from resnetlib.modules.frozen import (
    FrozenBatchNorm1d,
    FrozenBatchNorm2d,
    FrozenBatchNorm3d,
    FrozenSyncBatchNorm,
    hold_,
    is_norm_layer,
    release_,
)
from resnetlib.modules.init import init_fixup_, init_he_, init_zero_residual_
from resnetlib.modules.join import Add, Concat, Join, Replace, ScaledAdd, StochasticAdd, StochasticConcat
from resnetlib.modules.layers import BATCH, FIXUP, GROUP, NONE, Layers
from resnetlib.modules.postact import BasicBlock, Bottleneck
from resnetlib.modules.preact import PreActBasicBlock, PreActBottleneck
from resnetlib.modules.recompute import recompute
from resnetlib.modules.shortcut import PadShortcut
from resnetlib.modules.stage import Stage

__all__ = [
    "BATCH",
    "FIXUP",
    "GROUP",
    "NONE",
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
    "Layers",
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
    "hold_",
    "init_fixup_",
    "init_he_",
    "init_zero_residual_",
    "is_dilated",
    "is_norm_layer",
    "recompute",
    "release_",
]
