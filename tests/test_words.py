"""What users of timm, torchvision and fastai type: the same words, the same answers; or one error that says what to write here."""

import hashlib
import inspect
import logging
import re
import runpy
import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import timm
import torch
import torchvision
from commands import right, wrong
from loopback import Hub
from pictures import fill
from PIL import Image
from safetensors.torch import save
from timm.models import densenet as timm_densenet
from timm.models import resnet as timm_resnet

import resnetlib
from resnetlib import (
    classify,
    create_model,
    evaluate,
    finetune,
    get_model,
    get_model_weights,
    is_model,
    list_models,
    list_pretrained,
    save_model,
)
from resnetlib.analysis import branch_ratio, load_result
from resnetlib.features import Pyramid
from resnetlib.models.catalog import SPECS, TIMM_NAMES
from resnetlib.models.foreign_options import _ROWS, FOREIGN
from resnetlib.train import fit, recipe_of
from resnetlib.weights import Preprocessing, UrlFile, convert_file, describe, find, read_weights, tags_of
from resnetlib.weights.find import _tag
from resnetlib.zoo import KEYWORDS

ROOT = Path(__file__).parents[1]
SAMPLES = ROOT / "resnetlib" / "data" / "samples"
TORCHVISIONS = [name for name in torchvision.models.list_models(module=torchvision.models) if name in SPECS]


def weights_of(name: str) -> dict[str, torch.Tensor]:
    return {key: value.contiguous() for key, value in getattr(resnetlib, name)().state_dict().items()}


# pretrained=True, and the names of torchvision


def test_pretrained_takes_the_weights_in_the_package_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "resnetlib")
    for net in (
        create_model("cifar_resnet20", pretrained=True),
        resnetlib.cifar_resnet20(True),
        create_model("cifar_resnet20", True),
    ):
        assert net.pretrained_cfg.full_name == "cifar_resnet20.resnetlib_c10"
    assert caplog.messages == ["cifar_resnet20: loading the default weights, cifar_resnet20.resnetlib_c10"] * 3
    assert create_model("cifar_resnet20").pretrained_cfg.tag == ""
    assert create_model("cifar_resnet20.resnetlib_c10", pretrained=True).classes[0] == "airplane"
    assert len(caplog.messages) == 3
    with pytest.raises(ValueError, match=r"plain18 has no pretrained weights: give a file as weights; list_pretrained\(\) lists"):
        create_model("plain18", pretrained=True)
    with pytest.raises(TypeError, match=r"pretrained must be True or False, got 'tv_in1k': name weights with weights="):
        resnetlib.resnet50("tv_in1k")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="weights cannot be loaded on device='meta'"):
        create_model("cifar_resnet20", pretrained=True, device="meta")


@pytest.mark.parametrize(("theirs", "ours"), TIMM_NAMES.items())
def test_the_default_of_an_imagenet_name_is_timms(theirs: str, ours: str) -> None:
    tags, default = tags_of(ours), timm.models.get_pretrained_cfg(theirs).tag
    assert tags[:1] == ([] if default == "untrained" else [default])


def test_every_network_with_weights_has_a_default() -> None:
    for name in SPECS:
        assert [*get_model_weights(name)] == tags_of(name)


@pytest.mark.parametrize("name", TORCHVISIONS)
def test_torchvisions_names_of_weights_are_those_of_the_same_files(name: str) -> None:
    enum = torchvision.models.get_model_weights(name)
    for member in enum:
        tag = _tag(name, member)
        assert describe(f"{name}.{tag}").sources[-1].url == member.url
        assert _tag(name, member.name) == _tag(name, str(member)) == tag
    assert _tag(name, "DEFAULT") == _tag(name, enum.DEFAULT) == _tag(name, f"{enum.__name__}.DEFAULT")


def test_torchvisions_words_for_other_networks() -> None:
    assert resnetlib.cifar_resnet20(weights="DEFAULT").pretrained_cfg.tag == "resnetlib_c10"
    with pytest.raises(ValueError, match=r"ResNet18_Weights.IMAGENET1K_V1 is not for resnet50: its tags are a1_in1k"):
        resnetlib.resnet50(weights=torchvision.models.ResNet18_Weights.IMAGENET1K_V1)
    with pytest.raises(ValueError, match=r"densenet121 has no weights 'IMAGENET1K_V2': its tags are ra_in1k, tv_in1k"):
        resnetlib.densenet121(weights="IMAGENET1K_V2")
    with pytest.raises(TypeError, match=r"got EnumType: choose a member, such as ResNet50_Weights.DEFAULT"):
        resnetlib.resnet50(weights=torchvision.models.ResNet50_Weights)  # type: ignore[arg-type]
    quantized = torchvision.models.quantization.ResNet50_QuantizedWeights.DEFAULT
    with pytest.raises(ValueError, match=r"ResNet50_QuantizedWeights.IMAGENET1K_FBGEMM_V2 is not for resnet50"):
        resnetlib.resnet50(weights=quantized)


def test_names_with_default_weights_on_the_hub(hub: Hub) -> None:
    files = {tag: weights_of("resnet18") for tag in ("a1_in1k", "tv_in1k")}
    for tag, state in files.items():
        hub.add(f"timm/resnet18.{tag}", {"model.safetensors": save(state)})
    enum = torchvision.models.ResNet18_Weights.IMAGENET1K_V1
    for tag, net in [
        ("a1_in1k", resnetlib.resnet18(pretrained=True)),
        ("a1_in1k", create_model("timm/resnet18.a1_in1k")),
        ("a1_in1k", get_model("resnet18", weights="resnet18.a1_in1k")),
        ("tv_in1k", resnetlib.resnet18(weights="DEFAULT")),
        ("tv_in1k", get_model("resnet18", weights=enum)),
    ]:
        assert net.pretrained_cfg.tag == tag
        assert torch.equal(net.fc.weight, files[tag]["fc.weight"])


# Foreign words


def test_every_keyword_of_timm_and_torchvision_is_known_or_answered() -> None:
    theirs = [
        timm.create_model, timm_resnet.ResNet, timm_densenet.DenseNet, torchvision.models.ResNet, torchvision.models.DenseNet,
        torchvision.models.resnet50,
    ]  # fmt: skip
    ours = {*KEYWORDS, *FOREIGN, "model_name", "kwargs"}
    for function in theirs:
        assert set(inspect.signature(function).parameters) <= ours, function
    assert not set(FOREIGN) & set(KEYWORDS)


@pytest.mark.parametrize("word", FOREIGN)
def test_a_foreign_word_is_an_error_under_the_name_that_was_called(word: str) -> None:
    advice = re.escape(FOREIGN[word].replace("NAME", "resnet50").replace("`", ""))
    if "for DenseNets" in FOREIGN[word]:
        advice = "leave it out: a ResNetSpec has block, depths, widths.*"
    options: dict[str, Any] = {word: 1}
    for called, call in [("resnet50", resnetlib.resnet50), ("get_model", None), ("create_model", None)]:
        with pytest.raises(TypeError, match=rf"^{called}\(\) has no {word}: (write )?{advice}$"):
            (call or getattr(resnetlib, called))(*([] if call else ["resnet50"]), **options)
    assert resnetlib.resnet18(device="meta", **{word: None}).num_classes == 1000  # the default, as in timm


def test_misspelled_keywords() -> None:
    with pytest.raises(TypeError, match=r"^resnet50\(\) has no num_clases: did you mean num_classes=\?$"):
        resnetlib.resnet50(num_clases=3)
    with pytest.raises(TypeError, match=r"create_model\(\) has no xyz: see help\(resnetlib.create_model\)"):
        create_model("resnet50", xyz=3)


def test_advice_about_specs_can_be_followed() -> None:
    names = {
        "replace": replace,
        "build": partial(resnetlib.build, device="meta"),
        "spec_of": resnetlib.spec_of,
        "create_model": create_model,
    }
    followed = 0
    for network in ("resnet50", "cifar_resnet20.resnetlib_c10", "densenet121", "preact_resnet18", str(SAMPLES.parent)):
        for word in FOREIGN:
            with pytest.raises(TypeError) as raised:
                create_model(network, **{word: 1})
            for code in re.findall(r"write (build\(.*\)\))", str(raised.value)):
                if network == str(SAMPLES.parent):
                    assert f'create_model("{network}").spec' in code
                else:
                    assert eval(code, names)  # noqa: S307
                    followed += 1
    assert followed > 25


def test_the_migration_page_holds_the_table() -> None:
    rows = [f"| {', '.join(f'`{word}`' for word in words.split())} | {advice} |" for words, advice in _ROWS]
    assert "\n".join(["| there | here |", "|-|-|", *rows]) in (ROOT / "docs" / "migration.md").read_text()


# Lists


@pytest.mark.parametrize(
    ("args", "options"),
    [
        ((), {}),
        (("resnet18*",), {}),
        ((["resnet18*", "densenet*"],), {}),
        (("*net1??",), {"exclude_filters": "*1"}),
        (("resnet18",), {"pretrained": True}),
        (("resnet*",), {"pretrained": True, "exclude_filters": ["*fb_*", "resnet50*"]}),
        (("*.a1_in1k",), {"pretrained": True}),
        (("densenet121.*",), {"pretrained": True, "exclude_filters": "densenet121.ra*"}),
        (("nothing",), {"pretrained": True}),
    ],
)
def test_lists_are_timms(args: tuple[Any, ...], options: dict[str, Any]) -> None:
    both = {name for name, ours in TIMM_NAMES.items() if name == ours and (tags_of(name) or not options.get("pretrained"))}
    theirs = {name for name in timm.list_models(*args, **options) if name.partition(".")[0] in both}
    ours = {name for name in list_models(*args, **options) if name.partition(".")[0] in both}
    if options.get("pretrained"):
        theirs &= set(list_pretrained())
        ours = {name for name in ours if timm.is_model_pretrained(name)}
    assert ours == theirs


def test_lists_and_names() -> None:
    assert list_pretrained("cifar_resnet20") == ["cifar_resnet20.akamaster_c10", "cifar_resnet20.resnetlib_c10"]
    assert list_pretrained("*", "*in1k") == list_pretrained("cifar_*")
    assert list_models(pretrained=True) == list_pretrained()
    assert list_models(None) == list_models()
    for odd in (5, b"resnet*", ["resnet*", 5]):
        with pytest.raises(TypeError, match="a filter must be a str or a list of strs, got"):
            list_models(odd)  # type: ignore[arg-type]
    assert all(map(is_model, ("resnet50", "resnet50.tv_in1k", "resnetv2_50")))
    assert tags_of("resnetv2_50") == tags_of("preact_resnet50")
    assert describe("resnetv2_50.a1h_in1k") == describe("preact_resnet50.a1h_in1k")
    assert [*resnetlib.get_model_weights("resnetv2_50")] == tags_of("preact_resnet50")
    assert not any(map(is_model, ("vit_base", "resnet50.tv9_in1k", "./resnet50")))
    assert get_model_weights("resnet18")["tv_in1k"].top1 == 69.758
    assert next(iter(get_model_weights("resnet50"))) == "a1_in1k"
    assert get_model_weights(resnetlib.resnet50) == get_model_weights("resnet50")
    with pytest.raises(ValueError, match=r"'resnet50.tv_in1k' is not the name of a network"):
        get_model_weights("resnet50.tv_in1k")


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("resnet20", "cifar_resnet20"), ("ResNet-18", "resnet18"), ("resnet-50", "resnet50"), ("ResNet50", "resnet50"),
        ("densenet-121", "densenet121"), ("resnet_18", "resnet18"), ("wideresnet50", "wide_resnet50_2"),
        ("resnext50", "resnext50_32x4d"), ("PreActResNet18", "preact_resnet18"), ("densenet40_k12", "cifar_densenet40_k12"),
        ("resnet50.tv2", "resnet50.tv2_in1k"), ("ResNet50.A1_in1k", "resnet50.a1_in1k"),
        ("resnet20.akamaster_c10", "cifar_resnet20.akamaster_c10"),
    ],
)  # fmt: skip
def test_a_near_miss_names_what_was_meant(typed: str, meant: str) -> None:
    with pytest.raises(ValueError, match=rf"named '{re.escape(typed)}'; nearest: {re.escape(meant)}(,|$)"):
        create_model(typed)


# Places, and other types


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: create_model(b"resnet50"), "name must be a str or a Path, got bytes: write 'resnet50'"),  # type: ignore[call-overload]
        (lambda: create_model("resnet50", weights=b"a.pth"), "weights must be .*, got bytes: write 'a.pth'"),  # type: ignore[call-overload]
        (lambda: create_model("resnet50", weights={}), r"got dict: create the network first, then load_state\(net, state\)"),  # type: ignore[call-overload]
        (lambda: create_model("resnet50", weights=True), "got bool: write pretrained=True"),  # type: ignore[call-overload]
        (lambda: create_model("resnet50", weights=3), "got int"),  # type: ignore[call-overload]
        (lambda: create_model("org/name"), "no file and no folder org/name; .* Hub, write 'hf-hub:org/name'"),
        (lambda: create_model("resnet50", weights="org/name"), "there is no file org/name: .* write 'hf-hub:org/name'"),
        (lambda: create_model("timm/resnet50.zz_in1k"), "no weights named 'resnet50.zz_in1k'"),
        (lambda: create_model("./org"), "no file and no folder org$"),
        (lambda: create_model("r56.safetensors"), "there is no file and no folder r56.safetensors"),
        (lambda: create_model("net.PTH"), "there is no file and no folder net.PTH"),
        (lambda: create_model(weights="r56.th"), r"create_model needs a name, .*load_file\(path\)"),  # type: ignore[call-overload]
        (lambda: create_model(model_name="resnet50"), r"create_model\(\) has no model_name: write name="),  # type: ignore[call-overload]
        (lambda: create_model("resnet50", weights="IMAGENET1K_V9"), "or torchvision's 'IMAGENET1K_V1', 'IMAGENET1K_V2', 'DEFAULT'"),
        (
            lambda: create_model("resnet50", weights="a.pth", checkpoint_path="a.pth"),
            "^pass either weights or checkpoint_path, not both$",
        ),
        (lambda: create_model("resnet50.tv_in1k", checkpoint_path="a.pth"), "already names its weights"),
        (lambda: create_model("resnet50", out_indices=(1,)), r"^out_indices=\(1,\) requires features_only=True$"),  # type: ignore[call-overload]
    ],
)
def test_what_is_no_name_gets_an_answer(call: Any, message: str) -> None:
    with pytest.raises((TypeError, ValueError, FileNotFoundError), match=message):
        call()


def test_a_spec_is_of_a_network_and_not_of_weights() -> None:
    for name in ("resnet50.tv2_in1k", "resnet50.nope", "resnetv2_50.a1h_in1k"):
        network = name.partition(".")[0]
        with pytest.raises(ValueError, match=rf"name of a network, without a tag, got '{name}': write spec_of\('{network}'\)$"):
            resnetlib.spec_of(name)
    for theirs, ours in TIMM_NAMES.items():
        assert resnetlib.spec_of(theirs) == SPECS[ours]


def test_networks_of_timm_are_pointed_out() -> None:
    for name in ("resnet50d", "resnet50d.ra2_in1k"):
        with pytest.raises(ValueError, match=r"timm has it: timm.create_model\('resnet50d'\)$"):
            create_model(name)
    with pytest.raises(ValueError, match=r"no network named 'resnet57'; nearest: [^;]*$"):
        create_model("resnet57")


def test_the_functions_of_networks_are_in_models_as_in_torchvision() -> None:
    from resnetlib.models import cifar_plain20, resnet50

    assert resnet50 is resnetlib.resnet50 is resnetlib.models.resnet50
    assert cifar_plain20(num_classes=3).num_classes == 3
    assert {*SPECS, *resnetlib.models.__all__} <= {*dir(resnetlib.models)}
    with pytest.raises(ImportError, match="cannot import name 'resnet51'"):
        from resnetlib.models import resnet51  # type: ignore[attr-defined] # noqa: F401
    with pytest.raises(AttributeError, match=r"has no attribute 'nothing'$"):
        _ = resnetlib.models.nothing


def test_a_file_of_the_catalog_has_its_config(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = create_model("cifar_resnet20").state_dict()
    torch.save(state, tmp_path / "w.pth")
    sha256 = hashlib.sha256((tmp_path / "w.pth").read_bytes()).hexdigest()
    path = (tmp_path / "w.pth").rename(tmp_path / f"w-{sha256[:8]}.pth")
    source = UrlFile(url=f"https://example.org/{path.name}", sha256=sha256)
    cfg = replace(describe("cifar_resnet20.akamaster_c10"), sources=(source,))
    monkeypatch.setattr(find, "pretrained_configs", lambda: {cfg.full_name: cfg})
    for net in (create_model(path), create_model("cifar_resnet20", weights=path)):
        assert (net.classes, net.preprocess, net.pretrained_cfg) == (cfg.classes, cfg.preprocess, cfg)
    shutil.copy(path, tmp_path / "copy.pth")
    assert create_model("cifar_resnet20", weights=tmp_path / "copy.pth").classes is None
    torch.save(create_model("cifar_resnet20").state_dict(), path)
    assert create_model("cifar_resnet20", weights=path).classes is None


def test_urls_that_tell_their_hash(hub: Hub, tmp_path: Path) -> None:
    net = create_model("cifar_resnet20", num_classes=3)
    torch.save(net.state_dict(), tmp_path / "w.pth")
    content = (tmp_path / "w.pth").read_bytes()
    sha256 = hashlib.sha256(content).hexdigest()
    named, plain = hub.put(f"mine-{sha256[:8]}.pth", content), hub.put("other.pth", content)
    for weights in (named, f"{plain}#sha256={sha256}", UrlFile(url=plain, sha256=sha256)):
        assert torch.equal(create_model("cifar_resnet20", weights=weights).fc.weight, net.fc.weight)
    save_model(net, tmp_path / "m", classes=["a", "b", "c"])
    content = (tmp_path / "m" / "model.safetensors").read_bytes()
    whole = hub.put(f"whole-{hashlib.sha256(content).hexdigest()[:8]}.safetensors", content)
    assert create_model(whole).classes == ("a", "b", "c")
    with pytest.raises(ValueError, match=r"other.pth has no SHA-256 of the file: append it, as in '.*#sha256="):
        create_model("cifar_resnet20", weights=plain)
    with pytest.raises(ValueError, match="expected 01234567"):
        create_model("cifar_resnet20", weights=hub.put("wrong-01234567.pth", content))
    with pytest.raises(ValueError, match="sha256 must be 8 to 64 hexadecimal digits"):
        create_model("cifar_resnet20", weights=f"{plain}#sha256=xyz")


def test_a_home_folder_is_expanded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    net = create_model("cifar_plain20", num_classes=2)
    save_model(net, tmp_path / "mine")
    torch.save(net.state_dict(), tmp_path / "w.pth")
    assert create_model("~/mine").num_classes == 2
    for path in ("~/w.pth", Path("~/w.pth")):
        assert create_model("cifar_plain20", weights=path).num_classes == 2
        assert create_model("cifar_plain20", checkpoint_path=path).num_classes == 2
    save_model(net, "~/yours", classes=["blue", "red"])
    net = create_model("~/yours")
    for name, color in (("blue", (0, 0, 255)), ("red", (255, 0, 0))):
        (tmp_path / "photos" / name).mkdir(parents=True)
        Image.new("RGB", (40, 40), color).save(tmp_path / "photos" / name / "1.png")
    net.preprocess = Preprocessing.named("cifar10", resize=32, size=32)
    assert len(classify(net, "~/photos/red/1.png", top=2)) == 2
    assert evaluate(net, "~/photos").images == 2
    recipe = recipe_of("finetune", epochs=1, batch_size=2, train_size=8, test_size=8, test_resize=8)
    fit(net, "~/photos", "~/photos", recipe, "~/tuned", device="cpu", workers=0)
    assert create_model("~/tuned").classes == ("blue", "red")
    with pytest.raises(ValueError, match="is inside ~/photos, so its files would be read as data"):
        fit(net, "~/photos", "~/photos", recipe, "~/photos/out")
    assert read_weights("~/w.pth").state.keys() == net.state_dict().keys()
    convert_file("~/yours/model.safetensors", "~/theirs.safetensors", "resnetlib")
    with pytest.raises(FileExistsError, match=r"theirs\.safetensors exists already"):
        convert_file("~/yours/model.safetensors", "~/theirs.safetensors", "resnetlib")
    branch_ratio(net, torch.randn(2, 3, 32, 32)).save("~/ratio.json")
    assert len(load_result("~/ratio.json").blocks) == 9
    assert not Path("~").exists()


def test_a_name_may_begin_with_a_tilde(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (40, 40)).save("~backup.png")
    assert classify(create_model("cifar_resnet20.resnetlib_c10"), "~backup.png")


def test_a_checkpoint_path_is_never_a_tag(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(create_model("cifar_resnet20", num_classes=4).state_dict(), "resnetlib_c10")
    assert create_model("cifar_resnet20", checkpoint_path="resnetlib_c10").num_classes == 4
    assert create_model("cifar_resnet20", weights="resnetlib_c10").num_classes == 10
    assert create_model("cifar_resnet20", checkpoint_path="").pretrained_cfg.tag == ""
    for missing in ({"checkpoint_path": "nothing"}, {"weights": Path("nothing")}, {"weights": "nothing.pth"}):
        with pytest.raises(FileNotFoundError, match=r"^there is no file nothing(\.pth)?$"):
            create_model("cifar_resnet20", **missing)


def test_a_folder_without_a_separator_is_the_same_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    net = create_model("cifar_resnet20.resnetlib_c10")
    save_model(net, "mine")
    save_model(net, "my.model")
    data = fill(tmp_path / "data", 6)
    image = SAMPLES / "test_1_ship.png"
    for name in ("mine", "my.model", "mine/model.safetensors"):
        assert create_model(name).classes == net.classes
        assert "ship" in right("predict", name, image, "--top", "1")
        assert "269,722" in right("info", name)
        assert "the network has no class" in wrong("evaluate", name, "--data", data)
    short = {"recipe": recipe_of("finetune", epochs=1, batch_size=6), "device": "cpu"}
    monkeypatch.setattr("resnetlib.train.metrics.draw_curves", lambda records, path, split: path.write_bytes(b""))
    finetune("mine", data, "out", **short)
    (tmp_path / "cifar_plain20").mkdir()  # the catalog comes first
    assert create_model("cifar_plain20").pretrained_cfg.tag == ""


def test_info_takes_weights_folders_and_files(tmp_path: Path) -> None:
    out = " ".join(right("info", "cifar_resnet20b.chenyaofo_c100").split())
    assert "weights chenyaofo_c100 classes 100" in out
    torch.save(create_model("cifar_plain20", num_classes=7).state_dict(), tmp_path / "w.pth")
    assert "the same for 3 networks" in wrong("info", tmp_path / "w.pth")
    torch.save(create_model("resnet18", num_classes=7).state_dict(), tmp_path / "w.pth")
    assert "weights none classes 7" in " ".join(right("info", tmp_path / "w.pth").split())
    assert "weights resnetlib_c10, akamaster_c10 classes 10" in " ".join(right("info", "cifar_resnet20").split())
    assert "nearest: resnet50" in wrong("info", "ResNet-50")


# features_only


def test_features_only_has_timms_maps_of_a_densenet() -> None:
    peer = timm.create_model("densenet121").eval()
    maps = timm.create_model("densenet121", features_only=True).eval()
    maps.load_state_dict({key.replace(".", "_", 1): tensor for key, tensor in peer.state_dict().items() if "classifier" not in key})
    net = create_model("densenet121", features_only=True).eval()
    net.load_state_dict({key: tensor for key, tensor in peer.state_dict().items() if "classifier" not in key})
    x = torch.randn(1, 3, 64, 64)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(net(x), maps(x), strict=True))


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "resnetv2_50", "densenet121"])
@pytest.mark.parametrize("out_indices", [None, (1, 2, 3, 4), (2, 4), 3])
def test_features_only_is_timms(name: str, out_indices: Any) -> None:
    options = {} if out_indices is None else {"out_indices": out_indices}
    theirs = timm.create_model(name, features_only=True, **options)
    ours = create_model(name, features_only=True, **options)
    assert isinstance(ours, Pyramid)
    assert ours.feature_info.reduction() == theirs.feature_info.reduction()
    x = torch.randn(1, 3, 64, 64)
    shapes = [tuple(each.shape) for each in ours.eval()(x)]
    assert [shape[1] for shape in shapes] == ours.feature_info.channels()
    assert len(ours.feature_info.module_name()) == len(shapes)
    if name != "densenet121":
        assert ours.feature_info.channels() == theirs.feature_info.channels()
        assert shapes == [tuple(each.shape) for each in theirs.eval()(x)]


def test_features_of_a_function_and_of_weights() -> None:
    maps = resnetlib.cifar_resnet20(pretrained=True, features_only=True, out_indices=[-1])
    net = resnetlib.cifar_resnet20(pretrained=True)
    x = torch.randn(1, 3, 32, 32)
    assert torch.equal(maps.eval()(x)[0], net.eval().forward_features(x))


def test_rates_of_none_are_the_defaults_as_in_timm() -> None:
    net = create_model("densenet121", drop_rate=None, drop_path_rate=None, proj_drop_rate=None, global_pool=None, device="meta")
    assert net.num_classes == timm.create_model("densenet121", drop_rate=None, global_pool=None, device="meta").num_classes


@pytest.mark.parametrize("name", ["resnet50", "cifar_resnet20.resnetlib_c10"])
def test_without_pooling_there_are_maps(name: str) -> None:
    net = create_model(name, num_classes=0, global_pool="").eval()
    x = torch.randn(1, 3, 64, 64)
    assert torch.equal(net(x), net.forward_features(x))
    if name == "resnet50":
        assert net(x).shape == timm.create_model(name, num_classes=0, global_pool="").eval()(x).shape
    with pytest.raises(ValueError, match=r"global_pool='' returns the last feature map.*set num_classes=0"):
        create_model(name, global_pool="")
    with pytest.raises(ValueError, match="global_pool must be 'avg', or '' for no pooling, got 'max'"):
        create_model(name, num_classes=0, global_pool="max")  # type: ignore[call-overload]


# Fine-tuning and the command line


def test_finetune_takes_the_default_weights_and_says_which(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "resnetlib")
    data = fill(tmp_path / "data", 6)
    options = {"recipe": recipe_of("finetune", epochs=1, batch_size=6), "device": "cpu"}
    started: list[resnetlib.ResNet] = []

    def stop(kind: type, net: resnetlib.ResNet, *args: Any, **more: Any) -> None:
        started.append(net)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("resnetlib.finetuning.finetune.fit_as", stop)
        finetune("cifar_resnet20", data, tmp_path / "a", **options)
        assert caplog.messages == ["cifar_resnet20: loading the default weights, cifar_resnet20.resnetlib_c10"]
        finetune("cifar_resnet20", data, tmp_path / "b", from_scratch=True, **options)
        finetune("cifar_plain32", data, tmp_path / "b", from_scratch=True, **options)
        wholly = create_model("cifar_resnet20.resnetlib_c10").conv1.weight
        assert [torch.equal(net.conv1.weight, wholly) for net in started] == [True, False, False]
        with pytest.raises(ValueError, match=r"cifar_plain32 has no pretrained weights: .*from_scratch=True.*--from-scratch"):
            finetune("cifar_plain32", data, tmp_path / "c", **options)
        with pytest.raises(
            ValueError, match=r"from_scratch starts from random weights, but cifar_resnet20.resnetlib_c10 names weights"
        ):
            finetune("cifar_resnet20.resnetlib_c10", data, tmp_path / "c", from_scratch=True, **options)
    assert not (tmp_path / "c").exists()


def test_commands_say_which_weights_they_take(tmp_path: Path, no_curves: None) -> None:
    from commands import call

    said = "cifar_resnet20: loading the default weights, cifar_resnet20.resnetlib_c10\n"
    result = call("predict", "cifar_resnet20", SAMPLES / "test_1_ship.png")
    assert result.exit_code == 0
    assert result.stderr.startswith(said)
    assert said not in result.stdout
    data = fill(tmp_path / "data", 6)
    short = ["--data", data, "--set", "epochs=1", "--set", "batch_size=6", "--device", "cpu"]
    result = call("finetune", "cifar_resnet20", *short, "--out", tmp_path / "a")
    assert result.exit_code == 0, result.output
    assert result.stderr.startswith(said)
    result = call("finetune", "cifar_resnet20", *short, "--from-scratch", "--out", tmp_path / "b")
    assert result.exit_code == 0, result.output
    assert said not in result.stderr
    assert "--from-scratch" in wrong("finetune", "cifar_plain32", *short, "--out", tmp_path / "c")


# torch.hub


def test_torch_hub_finds_the_networks_in_a_checkout() -> None:
    entries = runpy.run_path(str(ROOT / "hubconf.py"))
    assert {name for name in entries if callable(entries[name]) and name[0] != "_"} == {*SPECS, "create_model"}
    net = torch.hub.load(str(ROOT), "cifar_resnet20", source="local", pretrained=True)
    assert net.classes[0] == "airplane"
    assert torch.hub.load(str(ROOT), "create_model", "resnet18", source="local", num_classes=3, device="meta").num_classes == 3
