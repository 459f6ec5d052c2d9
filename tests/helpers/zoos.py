"""Networks as CIFAR repositories name and wire them, in their smallest form: the names and the arithmetic, and nothing else."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional


class Unit(nn.Module):
    """Two 3x3 convolutions and a shortcut: zero channels on both sides ("pad"), or a projection under the given name."""

    def __init__(self, c_in: int, c_out: int, stride: int, shortcut: str) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_out)
        self.conv2 = nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(c_out)
        self.stride, self.padding, self.projection = stride, (c_out - c_in) // 2, None
        if shortcut != "pad" and (stride > 1 or c_in != c_out):
            self.projection = shortcut
            self.add_module(shortcut, nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out)))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(functional.relu(self.bn1(self.conv1(x)))))
        if self.projection is not None:
            return functional.relu(y + self.get_submodule(self.projection)(x))
        small = x[:, :, :: self.stride, :: self.stride]
        return functional.relu(y + functional.pad(small, (0, 0, 0, 0, self.padding, self.padding)))


class SmallResNet(nn.Module):
    """A CIFAR ResNet with a 3x3 stem, its classifier under the given name."""

    def __init__(self, depths: Sequence[int], widths: Sequence[int], *, shortcut: str, classifier: str, classes: int) -> None:
        super().__init__()
        c_in = widths[0]
        self.conv1 = nn.Conv2d(3, c_in, 3, 1, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(c_in)
        for stage, (depth, width) in enumerate(zip(depths, widths, strict=True), 1):
            units = []
            for index in range(depth):
                units.append(Unit(c_in, width, 2 if stage > 1 and index == 0 else 1, shortcut))
                c_in = width
            self.add_module(f"layer{stage}", nn.Sequential(*units))
        self.stages, self.classifier_name = len(depths), classifier
        self.add_module(classifier, nn.Linear(c_in, classes))

    def forward(self, x: Tensor) -> Tensor:
        x = functional.relu(self.bn1(self.conv1(x)))
        for stage in range(1, self.stages + 1):
            x = self.get_submodule(f"layer{stage}")(x)
        return self.get_submodule(self.classifier_name)(x.mean((2, 3)))


class Growing(nn.Module):
    """norm-relu-conv, once or twice; the result behind the input."""

    def __init__(self, c_in: int, growth: int, bottleneck: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(
            c_in, bottleneck * growth or growth, 1 if bottleneck else 3, padding=0 if bottleneck else 1, bias=False
        )
        self.twice = bottleneck > 0
        if self.twice:
            self.bn2 = nn.BatchNorm2d(bottleneck * growth)
            self.conv2 = nn.Conv2d(bottleneck * growth, growth, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv1(functional.relu(self.bn1(x)))
        return torch.cat((x, self.conv2(functional.relu(self.bn2(y))) if self.twice else y), 1)


class Halving(nn.Module):
    """norm-relu-conv1-avgpool2 with half of the channels."""

    def __init__(self, c_in: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(c_in)
        self.conv1 = nn.Conv2d(c_in, c_in // 2, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return functional.avg_pool2d(self.conv1(functional.relu(self.bn1(x))), 2)


class SmallDenseNet(nn.Module):
    """bearpaw's DenseNet: its stem is a bare convolution of twice the growth."""

    def __init__(self, depths: Sequence[int], growth: int, *, bottleneck: int, classes: int) -> None:
        super().__init__()
        channels = 2 * growth
        self.conv1 = nn.Conv2d(3, channels, 3, padding=1, bias=False)
        self.path = ["conv1"]
        for stage, depth in enumerate(depths, 1):
            if stage > 1:
                self.add_module(f"trans{stage - 1}", Halving(channels))
                self.path.append(f"trans{stage - 1}")
                channels //= 2
            self.add_module(
                f"dense{stage}", nn.Sequential(*(Growing(channels + i * growth, growth, bottleneck) for i in range(depth)))
            )
            self.path.append(f"dense{stage}")
            channels += depth * growth
        self.bn = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels, classes)

    def forward(self, x: Tensor) -> Tensor:
        for name in self.path:
            x = self.get_submodule(name)(x)
        return self.fc(functional.relu(self.bn(x)).mean((2, 3)))
