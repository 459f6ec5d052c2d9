"""A function for every name, for completion and documentation: `resnet50(...)` is `create_model("resnet50", ...)`."""

import inspect as _inspect
from collections.abc import Callable as _Callable
from typing import Concatenate as _Concatenate
from typing import ParamSpec as _ParamSpec

from resnetlib.modules import Backbone as _Backbone
from resnetlib.zoo import create_model as _create

_P = _ParamSpec("_P")


def _named(create: _Callable[_Concatenate[str, _P], _Backbone], name: str) -> _Callable[_P, _Backbone]:
    """Return `create` with the name given, and with a signature and a docstring that say so."""

    def create_named(*args: _P.args, **kwargs: _P.kwargs) -> _Backbone:
        return create(name, *args, **kwargs)

    signature = _inspect.signature(create)
    options = [parameter for parameter in signature.parameters.values() if parameter.kind is parameter.KEYWORD_ONLY]
    create_named.__name__ = create_named.__qualname__ = name
    create_named.__doc__ = f"Create `{name}`: `create_model` with this name, and with the same options."
    create_named.__signature__ = signature.replace(parameters=options)  # type: ignore[attr-defined]
    return create_named


plain18 = _named(_create, "plain18")
plain34 = _named(_create, "plain34")
resnet18 = _named(_create, "resnet18")
resnet26 = _named(_create, "resnet26")
resnet34 = _named(_create, "resnet34")
resnet50 = _named(_create, "resnet50")
resnet101 = _named(_create, "resnet101")
resnet152 = _named(_create, "resnet152")
resnet200 = _named(_create, "resnet200")
resnext50_32x4d = _named(_create, "resnext50_32x4d")
resnext101_32x4d = _named(_create, "resnext101_32x4d")
resnext101_32x8d = _named(_create, "resnext101_32x8d")
resnext101_64x4d = _named(_create, "resnext101_64x4d")
wide_resnet50_2 = _named(_create, "wide_resnet50_2")
wide_resnet101_2 = _named(_create, "wide_resnet101_2")
preact_resnet18 = _named(_create, "preact_resnet18")
preact_resnet34 = _named(_create, "preact_resnet34")
preact_resnet50 = _named(_create, "preact_resnet50")
preact_resnet101 = _named(_create, "preact_resnet101")
preact_resnet152 = _named(_create, "preact_resnet152")
preact_resnet200 = _named(_create, "preact_resnet200")
densenet121 = _named(_create, "densenet121")
densenet161 = _named(_create, "densenet161")
densenet169 = _named(_create, "densenet169")
densenet201 = _named(_create, "densenet201")
densenet264 = _named(_create, "densenet264")
cifar_plain20 = _named(_create, "cifar_plain20")
cifar_plain32 = _named(_create, "cifar_plain32")
cifar_plain44 = _named(_create, "cifar_plain44")
cifar_plain56 = _named(_create, "cifar_plain56")
cifar_plain110 = _named(_create, "cifar_plain110")
cifar_resnet20 = _named(_create, "cifar_resnet20")
cifar_resnet32 = _named(_create, "cifar_resnet32")
cifar_resnet44 = _named(_create, "cifar_resnet44")
cifar_resnet56 = _named(_create, "cifar_resnet56")
cifar_resnet110 = _named(_create, "cifar_resnet110")
cifar_resnet164 = _named(_create, "cifar_resnet164")
cifar_resnet1202 = _named(_create, "cifar_resnet1202")
cifar_resnet20b = _named(_create, "cifar_resnet20b")
cifar_resnet32b = _named(_create, "cifar_resnet32b")
cifar_resnet44b = _named(_create, "cifar_resnet44b")
cifar_resnet56b = _named(_create, "cifar_resnet56b")
cifar_resnet110b = _named(_create, "cifar_resnet110b")
cifar_preact_resnet20 = _named(_create, "cifar_preact_resnet20")
cifar_preact_resnet56 = _named(_create, "cifar_preact_resnet56")
cifar_preact_resnet110 = _named(_create, "cifar_preact_resnet110")
cifar_preact_resnet164 = _named(_create, "cifar_preact_resnet164")
cifar_preact_resnet1001 = _named(_create, "cifar_preact_resnet1001")
cifar_densenet40_k12 = _named(_create, "cifar_densenet40_k12")
cifar_densenet100_k12 = _named(_create, "cifar_densenet100_k12")
cifar_densenet_bc100_k12 = _named(_create, "cifar_densenet_bc100_k12")
cifar_densenet_bc190_k40 = _named(_create, "cifar_densenet_bc190_k40")
cifar_densenet_bc250_k24 = _named(_create, "cifar_densenet_bc250_k24")
