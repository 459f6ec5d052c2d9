"""How weights begin."""

from torch import nn

from resnetlib.modules.arguments import check_module
from resnetlib.modules.backbone import Backbone, check_network


def init_he_(module: nn.Module) -> None:
    """Draw every convolution from N(0, 2 / (k^2 c_out)), and let every other layer begin anew: He initialisation by fan-out.

    Norms begin with ones, zeros and no statistics, linear layers with PyTorch's uniform draws, as in torchvision; biases of
    convolutions, shifts and alphas where they were made to begin.

    Args:
        module: any module; changed in place. One on the meta device has nothing to draw, and is left alone.

    Source:
        arXiv 1502.01852, sec. 2.2, "backward propagation case".
    """
    check_module(module)
    if all(parameter.is_meta for parameter in module.parameters()):
        return
    for layer in module.modules():
        if isinstance(layer, nn.Conv2d):
            nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
            for scalar in (layer.bias, getattr(layer, "shift", None)):
                if scalar is not None:
                    nn.init.zeros_(scalar)
        elif callable(reset := getattr(layer, "reset_parameters", None)):
            reset()


def init_zero_residual_(net: Backbone) -> None:
    """Make every branch zero, so that each block begins as the identity on its skip path.

    Args:
        net: any network; changed in place.

    Source:
        arXiv 1706.02677, sec. 5.1 (the last norm's gamma).
    """
    check_network(net)
    for block in net.blocks():
        block.zero_branch_()


def init_fixup_(net: Backbone) -> None:
    """Scale He's draws by L^(-1/(2m-2)) in a branch of m convolutions, but zero its last one, and the classifier.

    L is the number of blocks. The scalar shifts and scales that belong to Fixup are layers, `resnetlib.modules.FIXUP`.

    Args:
        net: a network without norms; changed in place.

    Source:
        arXiv 1901.09321, sec. 3.
    """
    check_network(net)
    init_he_(net)
    blocks = list(net.blocks())
    for block in blocks:
        *inner, last = block.convs
        for conv in inner:
            conv.weight.data.mul_(len(blocks) ** (-1 / (2 * len(block.convs) - 2)))
        nn.init.zeros_(last.weight)
    for parameter in net.get_classifier().parameters():
        nn.init.zeros_(parameter)
