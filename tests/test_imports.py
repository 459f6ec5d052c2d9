"""Imports go one way, cost nothing before they are needed, and the public names are all there."""

import ast
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import resnetlib

PACKAGE = Path(resnetlib.__file__).parent

BASE = {"disk", "errors", "distributed"}
"""Modules that every room may import; they import `errors` at the most."""

ARROWS: dict[str, set[str]] = {
    "disk": set(),
    "errors": set(),
    "distributed": set(),
    "predictions": set(),
    "images": {"config"},
    "config": set(),
    "modules": {"config"},
    "models": {"config", "modules"},
    "weights": {"config", "models", "modules"},
    "zoo": {"config", "features", "models", "modules", "weights"},
    "models/entrypoints": {"modules", "zoo"},
    "features": {"modules"},
    "timm_models": {"config", "models", "modules"},
    "finetuning": {"modules"},
    "finetuning/finetune": {"config", "modules", "data", "train", "weights", "zoo"},
    "analysis": {"config", "deploy", "modules"},
    "deploy": {"config", "images", "modules", "predictions"},
    "deploy/onnx_export": {"config", "images", "modules"},
    "data": {"config", "images"},
    "inference": {"config", "data", "deploy", "images", "modules", "predictions", "weights"},
    "train": {"config", "modules", "weights", "data", "images", "inference", "finetuning", "zoo"},
    "experiments": {"analysis", "config", "models", "train"},
    "cli": {"config", "models", "modules", "weights", "zoo", "analysis", "data", "deploy", "images", "inference", "predictions"}
    | {"train", "finetuning", "experiments"},
}
"""Which rooms each room may import from, besides `BASE`; a file that stands above its room has its own entry."""

ANYWHERE = {"torch", "safetensors", "numpy", "click", "tqdm"}


def imports_of(path: Path, *, at_import: bool) -> set[str]:
    """Return the modules that a file imports; only those that importing it imports, or all."""
    tree = ast.parse(path.read_text())
    nodes = list(ast.walk(tree))
    if at_import:
        nodes = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
    found = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
    sources = [node for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return found | {f"{node.module}.{alias.name}" for node in sources for alias in node.names}


FILES = sorted(path for path in PACKAGE.rglob("*.py") if path.parent != PACKAGE or path.stem in ARROWS)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_from_the_rooms_below(path: Path) -> None:
    inside = str(path.relative_to(PACKAGE)).removesuffix(".py")
    room = inside if inside in ARROWS else inside.partition("/")[0]
    inner = {name.split(".")[1] for name in imports_of(path, at_import=False) if name.startswith("resnetlib")}
    assert inner - {room.partition("/")[0], "__version__"} <= ARROWS[room] | (BASE if room not in BASE else {"errors"})


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_what_is_slow_or_optional_is_imported_where_it_is_used(path: Path) -> None:
    outer = {name.split(".")[0] for name in imports_of(path, at_import=True)}
    named = {"cli": {"PIL"}, "timm_models.py": {"timm"}}  # these modules are imported on demand
    allowed = named.get(path.parent.name, set()) | named.get(path.name, set())
    assert outer - set(sys.stdlib_module_names) - {"resnetlib"} <= ANYWHERE | allowed


def run(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603


def test_import_loads_nothing_and_use_loads_no_more_than_torch_and_safetensors() -> None:
    out = run("import sys, resnetlib; print(*sorted(m for m in sys.modules if m.split('.')[0] in ('torch', 'resnetlib')))")
    assert out.split() == ["resnetlib"]
    heavy = ("torchvision", "matplotlib", "huggingface_hub", "PIL", "click", "timm")
    code = "import sys, resnetlib; resnetlib.create_model('cifar_resnet20', weights='resnetlib_c10'); "
    assert run(code + f"print([name for name in {heavy} if name in sys.modules])").strip() == "[]"


def test_listing_names_needs_no_torchvision() -> None:
    out = run("import sys, resnetlib; print(len(resnetlib.list_models()), 'torchvision' in sys.modules)")
    assert out.split() == [str(len(resnetlib.list_models())), "False"]


def test_every_public_name_is_there_and_listed() -> None:
    for room in (resnetlib.modules, resnetlib.models):
        for name in room.__all__:
            assert getattr(resnetlib, name) is getattr(room, name)
            assert name in dir(resnetlib)
    promised = "PlainNet ResNet PreActResNet DenseNet BasicBlock Bottleneck PreActBasicBlock PreActBottleneck DenseLayer"
    for name in [*promised.split(), "Replace", "Add", "Concat", "create_model", "list_models", "spec_of", "build"]:
        assert name in dir(resnetlib)


def test_a_star_import_brings_the_public_names() -> None:
    names: dict[str, object] = {}
    exec("from resnetlib import *", names)  # noqa: S102
    assert {"ResNet", "Add", "create_model", "resnet50", "zoo"} <= names.keys()
    assert not {"Any", "TYPE_CHECKING", "import_module"} & names.keys()


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'resnet51'"):
        _ = resnetlib.resnet51


def test_there_is_a_function_for_every_network() -> None:
    from resnetlib.models import entrypoints

    functions_by_name = {
        name: value for name, value in vars(entrypoints).items() if getattr(value, "__module__", "") == entrypoints.__name__
    }
    assert sorted(functions_by_name) == sorted(resnetlib.list_models())
    for name, function in functions_by_name.items():
        assert function.__name__ == name
        assert getattr(resnetlib, name) is function
    assert type(resnetlib.cifar_plain20(num_classes=3)).__name__ == "PlainNet"
    for name, function in functions_by_name.items():
        if resnetlib.spec_of(name).depths[0] < 50:
            assert function(device="meta").spec == resnetlib.spec_of(name)


def test_the_functions_know_every_option_of_create_model() -> None:
    from resnetlib.zoo import KEYWORDS

    name, *options, foreign = inspect.signature(resnetlib.create_model).parameters
    assert (name, foreign) == ("name", "foreign")
    assert sorted(KEYWORDS) == sorted(options)
