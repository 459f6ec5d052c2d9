"""The catalog says of each set of weights what those who publish it say, and leaves none out."""

import hashlib
import subprocess
import sys
import zipfile
from dataclasses import replace
from importlib.resources import files
from math import floor
from pathlib import Path

import pytest
import timm
import torchvision
from timm.data import ImageNetInfo
from timm.models import PretrainedCfg, get_arch_pretrained_cfgs

import resnetlib
from resnetlib import build
from resnetlib.analysis import measure_cost
from resnetlib.config import EmbeddedFile, HubFile, PretrainedConfig, UrlFile, pretrained_config_from_json
from resnetlib.models.catalog import SPECS
from resnetlib.weights import catalog
from resnetlib.weights.catalog import EMBEDDED, describe, list_pretrained, pretrained_configs, read_embedded, tags_of
from resnetlib.weights.catalog.tables import imagenet_classes, imagenet_ids, sha256_sums, url_file
from resnetlib.weights.dialects.rules import ALIASES, DIALECTS

TORCHVISION = {
    f"{name}.{'tv2' if weights.name.endswith('V2') else 'tv'}_in1k": weights
    for name in torchvision.models.list_models(module=torchvision.models)
    if name in SPECS
    for weights in torchvision.models.get_model_weights(name)
}

TIMM: dict[str, PretrainedCfg] = {
    f"{name}.{full_name.partition('.')[2]}": cfg
    for name, their_name in ((name, name.replace("preact_resnet", "resnetv2_")) for name in SPECS)
    if timm.is_model(their_name)
    for full_name, cfg in get_arch_pretrained_cfgs(their_name).items()
    if cfg.num_classes == 1000 and (cfg.hf_hub_id or cfg.url)
}

OF_TIMM_ALONE = sorted(TIMM.keys() - TORCHVISION.keys())


def hub_of(cfg: PretrainedConfig) -> HubFile | None:
    return next((source for source in cfg.sources if isinstance(source, HubFile)), None)


def url_of(cfg: PretrainedConfig) -> UrlFile | None:
    return next((source for source in cfg.sources if isinstance(source, UrlFile)), None)


def test_no_weights_of_torchvision_or_timm_are_missing() -> None:
    assert len(TORCHVISION) >= 21
    assert len(OF_TIMM_ALONE) >= 61
    urls = {name: url_of(cfg) for name, cfg in pretrained_configs().items()}
    assert {name for name, url in urls.items() if url and url.dialect.startswith("torchvision")} == TORCHVISION.keys()
    hubs = {name: hub_of(cfg) for name, cfg in pretrained_configs().items()}
    assert {name for name, hub in hubs.items() if hub and hub.repo.startswith("timm/")} == TIMM.keys()


@pytest.mark.parametrize("full_name", TORCHVISION)
def test_torchvisions_weights_are_as_torchvision_says(full_name: str) -> None:
    cfg, theirs = describe(full_name), TORCHVISION[full_name]
    url = url_of(cfg)
    assert url is not None
    assert url.url == theirs.url
    assert url.mib == theirs.meta["_file_size"]
    assert url.dialect == ("torchvision-legacy" if "densenet" in full_name else "torchvision")
    transform = theirs.transforms()
    assert cfg.preprocess is not None
    input_ = cfg.preprocess
    assert ([input_.resize], [input_.size]) == (transform.resize_size, transform.crop_size)
    assert (list(input_.mean), list(input_.std)) == (transform.mean, transform.std)
    assert (input_.interpolation, input_.antialias) == (transform.interpolation.value, transform.antialias)
    assert cfg.classes == tuple(theirs.meta["categories"])
    assert cfg.params == theirs.meta["num_params"]
    assert cfg.gmacs == theirs.meta["_ops"]
    assert {"acc@1": cfg.top1, "acc@5": cfg.top5} == theirs.meta["_metrics"]["ImageNet-1K"]
    assert cfg.recipe == theirs.meta["recipe"]
    assert cfg.license == "BSD-3-Clause"
    hub = hub_of(cfg)
    assert hub is not None
    assert hub.repo == TIMM[full_name].hf_hub_id
    assert cfg.sources == (hub, url)


@pytest.mark.parametrize("full_name", OF_TIMM_ALONE)
def test_timms_weights_are_as_timm_says(full_name: str) -> None:
    cfg, theirs = describe(full_name), TIMM[full_name]
    hub, url = hub_of(cfg), url_of(cfg)
    assert hub is not None
    assert (hub.repo, hub.file) == (theirs.hf_hub_id, theirs.hf_hub_filename or "model.safetensors")
    assert hub.dialect == ("timm-resnetv2" if full_name.startswith("preact_") else "timm")
    assert (url.url if url else None) == (theirs.url or None)
    assert url is None or url.dialect == hub.dialect
    input_ = cfg.preprocess
    assert input_ is not None
    assert (3, input_.size, input_.size) == theirs.input_size
    assert input_.resize == floor(input_.size / theirs.crop_pct)
    assert (input_.mean, input_.std, input_.interpolation) == (theirs.mean, theirs.std, theirs.interpolation)
    assert theirs.crop_mode == "center"
    assert cfg.classes is not None
    assert len(cfg.classes) == theirs.num_classes
    assert cfg.license.lower() == theirs.license
    if theirs.origin_url:
        assert theirs.origin_url in cfg.origin
    if theirs.paper_ids and "ra4" not in full_name:  # whose own recipe is a later one
        assert theirs.paper_ids.removeprefix("arXiv:") in cfg.recipe


def test_imagenets_classes_are_timms_and_torchvisions() -> None:
    info = ImageNetInfo("imagenet-1k")
    assert imagenet_ids() == tuple(info.label_names()) == tuple(sorted(set(imagenet_ids())))
    assert len(imagenet_ids()) == len(set(imagenet_classes())) == 1000
    other = [i for i, name in enumerate(imagenet_classes()) if name.lower() not in info.index_to_description(i).lower()]
    assert other == [134, 639]  # "crane bird" and "maillot tank suit", to tell them from two others


@pytest.mark.parametrize("name", sorted({cfg.name for cfg in pretrained_configs().values()}))
def test_params_are_those_of_the_network(name: str) -> None:
    own = [cfg for cfg in pretrained_configs().values() if cfg.name == name]
    for classes in {len(cfg.classes or ()) for cfg in own}:
        net = build(SPECS[name], num_classes=classes, device="meta")
        count = sum(parameter.numel() for parameter in net.parameters())
        for cfg in own:
            if len(cfg.classes or ()) == classes and cfg.full_name not in {".".join(key) for key in EMBEDDED}:
                assert cfg.params == count


COUNTED = ["resnet18.tv_in1k", "wide_resnet50_2.tv_in1k", "densenet121.tv_in1k", "resnext101_32x4d.gluon_in1k", "resnet26.bt_in1k"]
COUNTED += [next(iter(list_pretrained(f"preact_resnet{depth}.*"))) for depth in (18, 34, 50, 101)]


@pytest.mark.parametrize("full_name", [*COUNTED, *list_pretrained("*.chenyaofo_c10*")])
def test_published_gmacs_are_the_counted_ones(full_name: str) -> None:
    cfg = describe(full_name)
    assert cfg.classes is not None
    net = build(cfg.spec, num_classes=len(cfg.classes), device="meta")
    digits = 5 if "cifar" in full_name else 3
    size = 32 if "cifar" in full_name else 224
    assert round(measure_cost(net, size).macs / 1e9, digits) == cfg.gmacs


@pytest.mark.parametrize("full_name", pretrained_configs())
def test_a_pretrained_config_is_consistent_and_survives_json(full_name: str) -> None:
    cfg = pretrained_configs()[full_name]
    assert full_name == cfg.full_name == f"{cfg.name}.{cfg.tag}"
    assert cfg.spec == SPECS[cfg.name]
    assert cfg.classes is not None
    assert len(cfg.classes) == len(set(cfg.classes)) == (1000 if "in1k" in cfg.tag else int(full_name.split("_c")[-1]))
    assert (cfg.class_ids is not None) == cfg.tag.endswith("in1k")
    assert cfg.preprocess is not None
    assert bool(cfg.evaluated_on) == (cfg.top1 is not None)
    assert cfg.top5 is None or (cfg.top1 or 100) < cfg.top5
    assert cfg.sources
    assert {source.dialect for source in cfg.sources if not isinstance(source, EmbeddedFile)} <= {*DIALECTS, *ALIASES}
    assert pretrained_config_from_json(cfg.to_json()) == replace(cfg, sources=())


def test_hashes_begin_as_the_files_names_end() -> None:
    urls = [url for cfg in pretrained_configs().values() if (url := url_of(cfg))]
    assert len({url.url for url in urls}) == len(urls)
    for url in urls:
        assert url.url.rpartition("-")[2].partition(".")[0] == url.sha256[:8]
        assert len(url.sha256) in (8, 64)
    files = {url.url.rpartition("/")[2]: url.sha256 for url in urls}
    assert {name: files[name] for name in sha256_sums()} == sha256_sums()
    with pytest.raises(ValueError, match=r"sha256 must be 8 to 64 hexadecimal digits, in lower case, got '18'"):
        url_file("https://x.org/resnet-18.pth", dialect="timm")


def test_real_files_have_the_hashes_of_the_catalog(akamaster_folder: Path) -> None:
    urls = [url for cfg in pretrained_configs().values() if (url := url_of(cfg)) and url.dialect == "akamaster"]
    local = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in akamaster_folder.glob("*.th")}
    assert local
    hashes = {url.url.rpartition("/")[2]: url.sha256 for url in urls}
    assert {name: hashes[name] for name in local} == local


def test_microsofts_repositories_are_those_of_the_same_depth() -> None:
    repos = {name.partition(".")[0]: hub_of(describe(name)).repo for name in list_pretrained("*.microsoft_in1k")}
    assert repos == {f"resnet{depth}": f"microsoft/resnet-{depth}" for depth in (18, 26, 34, 50, 101, 152)}


def test_embedded_weights_are_described_by_their_file() -> None:
    folder = files("resnetlib.weights") / "embedded"
    assert {path.name for path in folder.iterdir()} == {source.file for source in EMBEDDED.values()}
    for (name, tag), source in EMBEDDED.items():
        content = folder.joinpath(source.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == source.sha256
        assert len(content) < 2_000_000
        cfg = read_embedded(name, tag).pretrained_cfg
        assert (cfg.name, cfg.tag) == (name, tag)
        assert describe(f"{name}.{tag}") == replace(cfg, sources=(source,))
        assert tags_of(name)[0] == tag
    with pytest.raises(ValueError, match=r"no weights 'akamaster_c10' for cifar_resnet20; it has \['resnetlib_c10'\]"):
        read_embedded("cifar_resnet20", "akamaster_c10")
    with pytest.raises(ValueError, match="no weights 'x' for resnet50; it has none"):
        read_embedded("resnet50", "x")


def test_a_damaged_file_of_the_package_is_not_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    key = next(iter(EMBEDDED))
    damaged = tmp_path / EMBEDDED[key].file
    content = bytearray(catalog._resource(EMBEDDED[key].file).read_bytes())
    content[-1] ^= 1
    damaged.write_bytes(content)
    monkeypatch.setattr(catalog, "_resource", lambda file: damaged)
    with pytest.raises(ValueError, match="is damaged: install the package again"):
        read_embedded(*key)


def test_names_are_listed_in_natural_order_and_nobody_changes_them() -> None:
    assert sorted(list_pretrained()) == sorted(pretrained_configs())
    assert pretrained_configs() is pretrained_configs()
    with pytest.raises(TypeError):
        pretrained_configs()["x"] = describe("resnet18.a1_in1k")  # type: ignore[index]
    assert list_pretrained("resnet[15]*.a1_in1k") == [f"resnet{depth}.a1_in1k" for depth in (18, 50, 101, 152)]
    assert list_pretrained("nothing*") == []
    assert tags_of("cifar_resnet20b") == ["chenyaofo_c10", "chenyaofo_c100"]
    assert tags_of("plain18") == []
    with pytest.raises(ValueError, match=r"^there is no network named 'resnet-50'; nearest: resnet50$"):
        tags_of("resnet-50")
    with pytest.raises(TypeError, match=r"^name must be a str, got int$"):
        tags_of(5)  # type: ignore[arg-type]
    for name in SPECS:
        assert sorted(f"{name}.{tag}" for tag in tags_of(name)) == sorted(list_pretrained(f"{name}.*"))


def test_a_lookup_builds_one_config_and_a_list_of_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[str] = []
    check = PretrainedConfig.__post_init__

    def counted(cfg: PretrainedConfig) -> None:
        built.extend([cfg.full_name] if cfg.tag else [])  # networks with random weights have a config without a tag
        check(cfg)

    monkeypatch.setattr(PretrainedConfig, "__post_init__", counted)
    pretrained_configs.cache_clear()
    resnetlib.create_model("resnet18", device="meta")
    assert pretrained_configs.cache_info().currsize == 0
    assert len(list_pretrained()) == len(pretrained_configs()) >= 106
    assert tags_of("resnet152")
    assert built == []
    for _ in range(2):
        assert describe("resnet50.tv2_in1k").top1 == 80.858
    assert built == ["resnet50.tv2_in1k"]


def test_a_name_that_is_not_there_is_an_error_with_a_way_out() -> None:
    with pytest.raises(ValueError, match=r"no weights named 'resnet50.tv3_in1k'; nearest: .*resnet50.tv2_in1k"):
        describe("resnet50.tv3_in1k")
    with pytest.raises(ValueError, match=r"cifar_resnet20b is a network: add .* tags, chenyaofo_c10, chenyaofo_c100, as in"):
        describe("cifar_resnet20b")
    with pytest.raises(ValueError, match=r"plain18 is a network without weights: list_pretrained\(\)"):
        describe("plain18")
    with pytest.raises(ValueError, match=r"^there are no weights named '%'; see list_pretrained\(\)$"):
        describe("%")
    with pytest.raises(TypeError, match="must be a str, got int"):
        describe(50)  # type: ignore[arg-type]


def test_from_a_zip_the_catalog_is_the_same_and_needs_nobody_elses_library(tmp_path: Path) -> None:
    package = Path(resnetlib.__file__).parent
    archive = tmp_path / "resnetlib.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for path in package.rglob("*"):
            if path.is_file() and "__pycache__" not in path.parts:
                file.write(path, path.relative_to(package.parent))
    others = ("torchvision", "timm", "transformers", "huggingface_hub", "httpx", "requests", "filelock", "PIL")
    code = f"""if True:
        import sys
        sys.path.insert(0, {str(archive)!r})
        import resnetlib.weights.catalog as catalog
        assert {str(archive)!r} in catalog.__file__
        for name in catalog.list_pretrained():
            print(name, catalog.describe(name).to_json())
        print(*[name for name in {others} if name in sys.modules])
    """
    out = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout  # noqa: S603
    *lines, loaded = out.splitlines()
    assert lines == [f"{name} {describe(name).to_json()}" for name in list_pretrained()]
    assert loaded == ""
