"""The names of tensors are a promise: their set, their order and their shapes, for every kind of network.

torchvision's and timm's networks are compared live, in test_parity.py. The others are compared with the lists in golden/keys.json,
which changes only when the promise does: `PYTHONPATH=tests/helpers python tests/test_keys.py` writes it anew.
"""

import json
from pathlib import Path

import pytest
from families import FAMILIES

from resnetlib import build, spec_of

GOLDEN = Path(__file__).parent / "golden" / "keys.json"
SPECS = {**FAMILIES, "cifar_preact_resnet20": spec_of("cifar_preact_resnet20"), "cifar_resnet20": spec_of("cifar_resnet20")}


def keys_of(name: str) -> list[str]:
    state = build(SPECS[name], num_classes=10, device="meta").state_dict()
    return [f"{key} {'x'.join(map(str, tensor.shape)) or 'scalar'}" for key, tensor in state.items()]


@pytest.mark.parametrize("name", SPECS)
def test_keys_are_the_golden_ones_in_their_order(name: str) -> None:
    assert keys_of(name) == json.loads(GOLDEN.read_text())[name]


if __name__ == "__main__":
    GOLDEN.write_text(json.dumps({name: keys_of(name) for name in SPECS}, indent=1) + "\n")
