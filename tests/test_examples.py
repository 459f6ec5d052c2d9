"""The examples run, at toy size."""

import gzip
import hashlib
import io
import json
import runpy
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import tiny
import torch
from pictures import fill

from resnetlib import Backbone, build, create_model, save_model, spec_of, transform_for
from resnetlib.analysis import (
    Perturbation,
    block_survival,
    blocks_of,
    branch_ratio,
    hessian_map,
    landscape,
    lesion,
    recalibrated,
    trajectory,
)
from resnetlib.config import Preprocessing
from resnetlib.data import CIFAR10_CLASSES, LabeledImages, cifar10
from resnetlib.train import fit, recipe_of
from resnetlib.weights import read_weights

EXAMPLES = Path(__file__).parents[1] / "examples"


def run(name: str, *args: object) -> str:
    """Run an example in this process, where PyTorch is imported already, and return what it prints."""
    command, out = [str(EXAMPLES / name), *map(str, args)], io.StringIO()
    with mock.patch.object(sys, "argv", command), mock.patch.object(sys, "path", [str(EXAMPLES), *sys.path]), redirect_stdout(out):
        runpy.run_path(command[0], run_name="__main__")
    return out.getvalue()


def first(data: LabeledImages, n: int) -> LabeledImages:
    return replace(data, images=data.images[:n], labels=data.labels[:n])


@pytest.fixture(scope="module")
def runs(cifar10_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Trainings of a grid, on a few of the real images."""
    out = tmp_path_factory.mktemp("runs")
    train, test = first(cifar10(cifar10_folder, "train"), 64), first(cifar10(cifar10_folder, "test"), 32)
    for name in ("cifar_plain20", "cifar_resnet20"):
        for seed in (0, 1):
            recipe = recipe_of("one_cycle_cifar", iterations=4, batch_size=16)
            fit(create_model(name), train, test, recipe, out / f"{name}-seed={seed}", seed=seed, every=2)
    return out


def test_degradation(runs: Path, tmp_path: Path) -> None:
    said = run("degradation.py", "--runs", runs, "--out", tmp_path / "figure")
    assert [line.partition(":")[0] for line in said.splitlines()] == ["plain-20", "residual-20"]
    data = json.loads((tmp_path / "figure.json").read_text())
    run_json = json.loads((runs / "cifar_plain20-seed=1" / "result.json").read_text())
    assert data["runs"]["cifar_plain20-seed=1"]["train_error"] == run_json["train_error"]
    assert len(data["runs"]["cifar_plain20-seed=1"]["log"]) == 2
    figures = {path.name: path.read_bytes() for path in tmp_path.glob("*.png")}
    assert figures.keys() == {"figure.png", "figure-depth.png"}
    assert run("degradation.py", "--out", tmp_path / "figure") == said  # from the JSON alone
    assert {path.name: path.read_bytes() for path in tmp_path.glob("*.png")} == figures
    (tmp_path / "alone").mkdir()
    assert run("degradation.py", "--runs", runs, "--no-figures", "--out", tmp_path / "alone" / "figure") == said
    assert [path.name for path in (tmp_path / "alone").iterdir()] == ["figure.json"]


def test_batch_norm(runs: Path, cifar10_folder: Path, tmp_path: Path) -> None:
    train, test = first(cifar10(cifar10_folder, "train"), 64), first(cifar10(cifar10_folder, "test"), 32)
    net = build(replace(spec_of("cifar_plain20"), norm="none"))
    recipe = recipe_of("one_cycle_cifar", iterations=4, batch_size=16, lr=0.01)
    fit(net, train, test, recipe, tmp_path / "runs" / "cifar_plain20-norm=none-lr=0.01-seed=0", every=2)
    for name in ("cifar_plain20-seed=0", "cifar_plain20-widths=[8,8,8]-seed=0"):  # the second does not belong into the comparison
        shutil.copytree(runs / "cifar_plain20-seed=0", tmp_path / "runs" / name)
    run("degradation.py", "--runs", tmp_path / "runs", "--out", tmp_path / "all")
    said = run("batch_norm.py", "--data", tmp_path / "all.json", "--out", tmp_path / "norm.png")
    lines = [line.partition(":")[0] for line in said.splitlines()]
    assert lines == ["plain, 20 layers, no norm, rate 0.01", "plain, 20 layers, batch norm, rate 0.2"]
    assert (tmp_path / "norm.png").read_bytes().startswith(b"\x89PNG")


def test_transfer(tmp_path: Path) -> None:
    """On pictures that are made up, in Fashion-MNIST's format."""
    draws = np.random.default_rng(0)
    for split, n in (("train", 400), ("t10k", 100)):
        labels = np.arange(n, dtype=np.uint8) % 10
        pixels = draws.integers(0, 99, (n, 28, 28), np.uint8) + 15 * labels[:, None, None]
        for kind, head, values in (("images-idx3", 16, pixels), ("labels-idx1", 8, labels)):
            (tmp_path / f"{split}-{kind}-ubyte.gz").write_bytes(gzip.compress(bytes(head) + values.tobytes()))
    sizes = ("--each", 5, "--seeds", 2, "--epochs", 1, "--test", 50)
    said = run("transfer.py", "--data", tmp_path, "--out", tmp_path / "table", "--runs", tmp_path / "runs", *sizes)
    ways = ["fine-tuned", "linear probe", "from scratch"]
    assert [line.partition(",")[0] for line in said.splitlines()] == ways
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert list(results) == [f"{way}, 5 a class" for way in ways]
    assert all(len(result["errors"]) == 2 for result in results.values())
    began = [
        json.loads((tmp_path / "runs" / f"{way}-5-0" / "run.json").read_text())["weights"] for way in ("fine-tuned", "from-scratch")
    ]
    assert ["resnetlib_c10" in name for name in began] == [True, False]
    states = [create_model(f"{tmp_path}/runs/{way}-5-0/").state_dict() for way in ("linear-probe", "fine-tuned")]
    begin = create_model("cifar_resnet20.resnetlib_c10", in_chans=1).state_dict()
    assert [torch.equal(state["layer3.2.conv2.weight"], begin["layer3.2.conv2.weight"]) for state in states] == [True, False]


def test_finetune_digits(tmp_path: Path) -> None:
    pytest.importorskip("sklearn")
    sizes = ("--each", 3, "--test", 2, "--set", "epochs=2", "--set", "batch_size=10", "--device", "cpu")
    said = run("finetune_digits.py", "--work", tmp_path / "work", "--out", tmp_path / "finetune", *sizes)
    assert [line.split()[2] for line in said.splitlines() if line.startswith("$")] == [
        "finetune", "evaluate", "predict", "export", "evaluate", "finetune", "evaluate",
    ]  # fmt: skip
    assert (tmp_path / "finetune.txt").read_text().strip() == said.strip()
    data = json.loads((tmp_path / "finetune.json").read_text())
    assert data["images"] == {"photos": 30, "test": 20}
    assert [result["log"]["epoch"] for result in data["results"].values()] == [[1, 2], [1, 2]]
    with pytest.raises(FileExistsError):  # its images may be others
        run("finetune_digits.py", "--work", tmp_path / "work", "--out", tmp_path / "other", *sizes)
    assert (tmp_path / "finetune.png").read_bytes().startswith(b"\x89PNG")


def test_finetune_rates(tmp_path: Path) -> None:
    photos, test = fill(tmp_path / "photos", 8), fill(tmp_path / "test", 2)
    sizes = ("--rates", 0.01, "--seeds", 2, "--epochs", 1)
    said = run("finetune_rates.py", "--photos", photos, "--test", test, "--out", tmp_path / "rates.json", *sizes)
    results = json.loads((tmp_path / "rates.json").read_text())["results"]
    assert [*results] == ["fine-tuned, rate 0.01", "from scratch, rate 0.1"]
    assert all(len(each) == 2 and 0 <= min(each) <= max(each) <= 100 for each in results.values())
    assert f"fine-tuned, rate 0.01: {sum(results['fine-tuned, rate 0.01']) / 2:.1f} %" in said


def test_label_noise(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 64, "--test", 20, "--epochs", 1, "--seeds", 2, "--share", 0.5)
    said = run("label_noise.py", "--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "noise.json", *sizes)
    assert [line.partition(":")[0] for line in said.splitlines()] == ["plain20", "resnet20"]
    data = json.loads((tmp_path / "noise.json").read_text())
    assert (data["images"], data["share"], data["recipe"]["epochs"]) == (64, 0.5, 1)
    net, true = create_model(tmp_path / "runs" / "plain20-1").eval(), cifar10(cifar10_folder, "train").first(64)
    script = runpy.run_path(str(EXAMPLES / "label_noise.py"))
    given = script["with_wrong_labels"](true, 0.5, 1)
    wrong = given.labels != true.labels
    assert 20 <= wrong.sum() <= 32
    assert torch.equal(given.images, true.images)
    with torch.no_grad():
        predicted = net(transform_for(net)(true.images)).argmax(1)
    errors = data["results"]["plain20"]
    assert errors["train_error"][1] == pytest.approx(100 * (predicted != true.labels).double().mean().item())
    assert errors["learned_wrong_labels"][1] == pytest.approx(100 * (predicted == given.labels)[wrong].double().mean().item())


def test_regularization(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 40, "--test", 20, "--epochs", 1, "--batch", 20, "--seeds", 2)
    said = run("regularization.py", "--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "table", *sizes)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    ways = ["neither", "dropout", "stochastic depth", "both"]
    assert list(results) == [*(f"resnet20, {way}" for way in ways), *(f"plain20, {way}" for way in ways[:2])]
    assert len(said.splitlines()) == 6
    for errors in results.values():
        gaps = [test - train for train, test in zip(errors["train_error"], errors["test_error"], strict=True)]
        assert errors["gap"] == pytest.approx(gaps)
    logs = [(tmp_path / "runs" / f"cifar_resnet20-{way}-0" / "log.jsonl").read_text() for way in ("neither", "dropout", "both")]
    assert len({json.loads(log)["loss"] for log in logs}) == 3  # each way trained otherwise
    one = ("--model", "cifar_resnet20", "--ways", "dropout")
    run("regularization.py", "--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "one", *sizes, *one)
    assert json.loads((tmp_path / "one.json").read_text())["results"] == {"resnet20, dropout": results["resnet20, dropout"]}
    other = ("--runs", tmp_path / "runs", "--out", tmp_path / "other", *sizes, *one, "--dropout", 0.9)
    with pytest.raises(ValueError, match=r"start was 'dropout 0.2, stochastic depth 0' in that training, but is 'dropout 0.9, "):
        run("regularization.py", "--data", cifar10_folder, *other)


def test_an_output_file_is_replaced_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    from outputs import output_path, write_json

    path = output_path(f"{tmp_path}/new/run_0.1.json")
    assert path.parent.is_dir()
    write_json(path, {"one": 1})
    with mock.patch("os.fsync", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        write_json(path, {"two": 2})
    assert [*path.parent.iterdir()] == [path]
    assert json.loads(path.read_text()) == {"one": 1}


def test_deepening(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 64, "--test", 20, "--epochs", 1, "--depths", 4, 4, 3)
    run("deepening.py", "--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "table", *sizes)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    residual, plain = (results[f"cifar_{kind}20.resnetlib_c10"] for kind in ("resnet", "plain"))
    assert residual["copy"]["largest_difference_of_logits"] == 0
    assert 0 < plain["copy"]["largest_difference_of_logits"] < 1e-4
    assert residual["copy"]["images"] == 20
    assert residual["errors"].keys() == residual["logs"].keys() == {"deepened", "shallow", "deep, from scratch"}
    assert len(residual["logs"]["deepened"]) == 1


def test_embed_weights(runs: Path, cifar10_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("resnetlib.data.cifar10", lambda folder, split: cifar10(folder, split).first(1000))
    folder = runs / "cifar_resnet20-seed=0"
    said = run("embed_weights.py", folder, "--data", cifar10_folder, "--tag", "toy", "--out", tmp_path, "--cost", 100)
    path = tmp_path / "cifar_resnet20.toy.safetensors"
    assert f'("cifar_resnet20", "toy"): "{hashlib.sha256(path.read_bytes()).hexdigest()}",' in said
    file = read_weights(path)
    assert file.pretrained_cfg is not None
    assert f"{file.pretrained_cfg.top1:.2f} % in fp16" in said
    assert file.pretrained_cfg.evaluated_on == "the 1,000 test images of CIFAR-10; train_top1: the 64 training images"
    assert {tensor.dtype for key, tensor in file.state.items() if not key.endswith("num_batches_tracked")} == {torch.float16}
    assert torch.equal(file.state["fc.weight"], create_model(f"{folder}/").fc.weight.half())


def test_landscape_benchmark(cifar10_folder: Path, tmp_path: Path) -> None:
    pytest.importorskip("loss_landscapes")
    net = build(tiny.SPEC, num_classes=10)
    with torch.no_grad():
        net(torch.randn(8, 3, 32, 32))
    net.preprocess = Preprocessing.named("cifar10", resize=32, size=32)
    save_model(net, tmp_path / "network", classes=list(CIFAR10_CLASSES))
    sizes = ("--images", 4, "--points", 3, "--rounds", 1, "--no-compile")
    paths = ("--model", tmp_path / "network", "--data", cifar10_folder, "--out", tmp_path / "out.json")
    run("bench/landscape.py", *paths, *sizes)
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert list(results) == ["published", "loss-landscapes", "resnetlib, fp32", "resnetlib, bf16"]
    assert results["published"]["published_seconds_over_these"] == 1
    assert all(results[label]["first_call_seconds"] > 0 for label in ("resnetlib, fp32", "resnetlib, bf16"))
    for label in ("loss-landscapes", "resnetlib, fp32"):
        assert 0 < results[label]["largest_deviation"] < 1e-5


@pytest.mark.parametrize("path", sorted({*EXAMPLES.rglob("*.py")} - {EXAMPLES / "clients.py"}), ids=lambda path: path.name)
def test_examples_are_short(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 100


def test_beginnings(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--networks", "cifar_plain20", "cifar_densenet40_k12", "--images", 4, "--points", 20, "--seeds", 1)
    said = run("beginnings.py", "--data", cifar10_folder, "--out", tmp_path / "table", *sizes)
    names = [f"{name}, norm {norm}" for name in ("plain20", "densenet40_k12") for norm in ("batch", "none")]
    assert [line.partition(":")[0] for line in said.splitlines()] == names
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert len(results["plain20, norm none"][0]["feature_norm"]) == 10


def test_evidence(cifar10_folder: Path, tmp_path: Path) -> None:
    weights = "tiny=cifar_plain20.resnetlib_c10"
    fixed = ("--data", cifar10_folder, "--images", 20, "--out", tmp_path)
    assert (
        run("evidence.py", weights, *fixed, "--only", "residual_decomposition", "lesion")
        == "tiny: residual_decomposition\ntiny: lesion\n"
    )
    said = run("evidence.py", weights, *fixed, "--only", "lesion", "reorder")
    assert said == f"tiny: lesion is in {tmp_path / 'tiny' / 'lesion.json'} already\ntiny: reorder\n"
    assert not list(tmp_path.glob("*.png"))  # examples/lecture.py draws
    assert Perturbation.load(tmp_path / "tiny" / "lesion.json").images == 20


def test_inference_benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("timm")
    monkeypatch.setattr("time.sleep", lambda seconds: None)
    sizes = ("--models", "resnet18", "cifar_plain20", "--size", 32, "--batch", 2, "--cifar-batch", 2, "--rounds", 1)
    run("bench/inference.py", *sizes, "--out", tmp_path / "out.json")
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert list(results) == [f"{name}, batch {batch}" for name in ("resnet18", "cifar_plain20") for batch in (1, 2)]
    rows = results["resnet18, batch 2"]
    assert rows["torchvision, float32, NCHW"]["speed_over_first"] == 1
    assert {
        "timm, float32, NCHW",
        "resnetlib, float32, channels-last",
        "resnetlib optimized, float32, channels-last",
    } <= rows.keys()
    assert all(row["images_per_second"] > 0 for row in rows.values())


def test_speeds_of_weights(tmp_path: Path) -> None:
    names = ("cifar_resnet20.resnetlib_c10", "cifar_plain20.resnetlib_c10")
    run("bench/weights.py", "--names", *names, "--batch", 2, "--rounds", 1, "--out", tmp_path / "out.json")
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert results.keys() == {"cifar_plain20, 32", "cifar_resnet20, 32"}
    assert all(speed > 0 for speed in results.values())


def test_training_memory(tmp_path: Path) -> None:
    sizes = ("--batch", 2, "--size", 64, "--rounds", 1, "--small-batch", 2, "--depths", 16, 40)
    run("bench/training_memory.py", "--out", tmp_path / "memory", *sizes)
    report = json.loads((tmp_path / "memory.json").read_text())
    live = [row["live_mib"] for row in report["results"].values()]
    assert live[0] > live[1] > live[2]
    plain, efficient, most = (depths[1] for depths in report["live_mib_by_depth"].values())
    assert plain > efficient > most
    assert (tmp_path / "memory.png").read_bytes().startswith(b"\x89PNG")


def test_activations(cifar10_folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "table.json"
    sizes = ("--images", 2, "--depths", 8, "--seeds", 1, "--starts", "sigmoid, Gaussian of 0.01", "relu, He")
    said = run("activations.py", "--data", cifar10_folder, "--out", out, *sizes)
    results = json.loads(out.read_text())["results"]
    assert len(results) == len(said.splitlines()) == 4
    assert results[0]["gradient_first_to_last"][0] < 1e-6 < 1e-2 < results[1]["gradient_first_to_last"][0]
    assert run("activations.py", "--data", cifar10_folder, "--out", out, *sizes) == ""  # what is there is not measured again
    with pytest.raises(SystemExit, match=r"was measured with other settings than \{'images': 3, 'seeds': 1\}: move it away"):
        run("activations.py", "--data", cifar10_folder, "--out", out, *sizes, "--images", 3)


@pytest.mark.slow
def test_lesions(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("resnet20=cifar_resnet20.resnetlib_c10", "--images", 20, "--calibrate", 10, "--seeds", 1)
    run("lesions.py", *sizes, "--data", cifar10_folder, "--out", tmp_path / "table.json")
    net, batches = tiny_batches(cifar10_folder, 20)
    found = json.loads((tmp_path / "table.json").read_text())["results"]["resnet20"]["trained"]
    expected = lesion(net, batches)
    assert found["running"]["error"] == pytest.approx(expected.clean_error)
    assert found["running"]["cost"] == pytest.approx((expected.error - expected.clean_error).tolist())
    train = cifar10(cifar10_folder, "train").first(10).batches(transform_for(net))
    with recalibrated(net, train):
        whole = lesion(net, batches).clean_error
    name = found["blocks"][4]
    hook = net.get_submodule(f"{name}.join").register_forward_pre_hook(lambda _, pair: (pair[0], torch.zeros_like(pair[1])))
    with recalibrated(net, train):
        without = lesion(net, batches).clean_error
    hook.remove()
    assert found["recalibrated"]["error"] == pytest.approx(whole)
    assert found["recalibrated"]["cost"][4] == pytest.approx(without - whole)
    assert all(
        low <= cost <= high for cost, (low, high) in zip(found["running"]["cost"], found["running"]["interval"], strict=True)
    )
    done = json.dumps({"results": {"resnet20": {"images": 20, "calibrate": 10, "untrained": [{}]}}})
    (tmp_path / "table.json").write_text(done)
    run("lesions.py", *sizes, "--data", cifar10_folder, "--out", tmp_path / "table.json")
    assert (tmp_path / "table.json").read_text() == done  # what is there is not measured again
    with pytest.raises(SystemExit, match=r"was measured with other settings than .*'calibrate': 9, 'seeds': 1.: move it away"):
        run("lesions.py", *sizes, "--calibrate", 9, "--data", cifar10_folder, "--out", tmp_path / "table.json")


def tiny_batches(folder: Path, images: int) -> tuple[Backbone, list[tuple[torch.Tensor, torch.Tensor]]]:
    net = create_model("cifar_resnet20.resnetlib_c10").eval()
    return net, cifar10(folder, "test").first(images).batches(transform_for(net))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "sizes", "keys"),
    [
        ("paths", ("--images", 4, "--group", 2, "--draws", 1, "--seeds", 1), {"resnet20"}),
        ("probes", ("--images", 60, "--test", 20, "--seeds", 1), {"plain20", "resnet20"}),
        ("sparsity", ("--images", 8, "--seeds", 1), {"plain20", "resnet20"}),
    ],
)
def test_measurements_of_the_lecture(
    name: str, sizes: tuple[object, ...], keys: set[str], cifar10_folder: Path, tmp_path: Path
) -> None:
    run(f"{name}.py", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert results.keys() == keys
    assert all(len(each["untrained"]) == 1 for each in results.values())
    if name != "probes":
        rest = {key: {**each, "trained": {}, "untrained": [{}]} for key, each in results.items()}
        (tmp_path / "table.json").write_text(done := json.dumps({"results": rest}))
        run(f"{name}.py", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes)
        assert (tmp_path / "table.json").read_text() == done  # what is there is not measured again
        with pytest.raises(SystemExit, match=r"was measured with other settings than .*'seeds': 2.: move it away"):
            run(f"{name}.py", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes, "--seeds", 2)


@pytest.mark.slow
def test_first_steps(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 20, "--test", 4, "--batch", 2, "--after", 1, "--seeds", 2, "--networks", "plain20")
    copies = ("--rates", 0.01, "--blocks", 4)
    run("first_steps.py", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes, *copies)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert [step for step, _ in results["scratch, plain20"][0]] == [0, 1]
    before = [results[f"plain, {layers} layers, rate 0.01"][0][0][1]["evaluation"] for layers in (20, 26)]
    assert before[0] == before[1]  # the copy predicts the same before it is trained on


@pytest.mark.slow
def test_largest_rate(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 20, "--test", 4, "--batch", 2, "--after", 2, "--seeds", 2, "--networks", "plain20")
    fixed = ("--data", cifar10_folder, "--out", tmp_path / "table.json")
    run("largest_rate.py", *fixed, *sizes, "--rates", 0.001, 1e30)
    first = json.loads((tmp_path / "table.json").read_text())["results"]
    assert all(0 < loss < 20 for loss in first["plain20, rate 0.001"])
    assert first["plain20, rate 1e+30"] == [None, None]  # not finite
    with pytest.raises(SystemExit, match="was measured with other settings"):
        run("largest_rate.py", *fixed, *sizes, "--seeds", 1)
    said = run("largest_rate.py", *fixed, *sizes, "--rates", 0.001, 0.01)
    assert said.startswith("plain20, rate 0.01: ")  # what is there is not measured again
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert results == first | {"plain20, rate 0.01": results["plain20, rate 0.01"]}


@pytest.mark.slow
def test_before_2015(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--images", 20, "--test", 4, "--batch", 4, "--after", 2, "--seeds", 1, "--depths", 8, "--rates", 0.01)
    run("before_2015.py", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert len(results) == 6
    assert results["relu, Gaussian of 0.01, 8 layers, rate 0.01"] == [pytest.approx(np.log(10), abs=0.3)]  # learns nothing yet


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
def test_penalties(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--networks", "plain20", "--images", 32, "--test", 20, "--measured", 8, "--epochs", 4, "--seeds", 1)
    fixed = ("--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "table.json")
    run("penalties.py", *fixed, *sizes, "--l1", 0.01, "--l2", 0.2)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    for penalty in ("L1", "L2"):
        for size in ("weight_rms", "gamma"):
            assert results[f"plain20, {penalty}"][size] < results["plain20, neither"][size]
    with pytest.raises(ValueError, match=r"start was 'L1 0.01' in that training, but is 'L1 0.02' now"):
        run("penalties.py", *fixed, *sizes, "--l1", 0.02, "--l2", 0.2)


def test_variance(runs: Path, cifar10_folder: Path, tmp_path: Path) -> None:
    paths = [f"{name}={runs}/cifar_{name}-seed=" for name in ("plain20", "resnet20")]
    run("variance.py", *paths, "--data", cifar10_folder, "--images", 30, "--seeds", 2, "--out", tmp_path / "table.json")
    found = json.loads((tmp_path / "table.json").read_text())["results"]
    test = cifar10(cifar10_folder, "test").first(30)
    for name, each in found.items():
        nets = [create_model(f"{runs}/cifar_{name}-seed={seed}").eval() for seed in (0, 1)]
        logits = [torch.cat([net(x).detach() for x, _ in test.batches(transform_for(net))]) for net in nets]
        one, other = (each.argmax(1) for each in logits)
        assert each["errors"] == pytest.approx([100 * float((y != test.labels).double().mean()) for y in (one, other)])
        assert each["disagreements"] == pytest.approx([100 * float((one != other).double().mean())])
        vote = sum(each.double().softmax(1) for each in logits).argmax(1)
        assert each["vote_error"] == pytest.approx(100 * float((vote != test.labels).double().mean()))


def test_invariance(runs: Path, cifar10_folder: Path, tmp_path: Path) -> None:
    path = f"plain20={runs}/cifar_plain20-seed="
    run("invariance.py", path, "--data", cifar10_folder, "--images", 30, "--seeds", 2, "--out", tmp_path / "table.json")
    found = json.loads((tmp_path / "table.json").read_text())["results"]["plain20"]
    test = cifar10(cifar10_folder, "test").first(30)
    moved = torch.zeros_like(test.images)
    moved[:, :, 8:, 8:] = test.images[:, :, :-8, :-8]
    for name, images in {"mirrored": test.images.flip(-1), "shifted by 8 pixels": moved}.items():
        for seed in (0, 1):
            net = create_model(f"{runs}/cifar_plain20-seed={seed}").eval()
            whole, changed = (
                100 * float((net(transform_for(net)(x)).argmax(1) == test.labels).double().mean()) for x in (test.images, images)
            )
            assert found["accuracy"][seed] == pytest.approx(whole)
            assert found[name][seed] == pytest.approx(100 * (whole - changed) / (whole - 10))


@pytest.mark.slow
@pytest.mark.usefixtures("no_curves")
def test_unneeded_layers(cifar10_folder: Path, tmp_path: Path) -> None:
    sizes = ("--networks", "resnet20", "--images", 32, "--measured", 20, "--epochs", 1, "--seeds", 1)
    run("unneeded_layers.py", "--data", cifar10_folder, "--runs", tmp_path / "runs", "--out", tmp_path / "table.json", *sizes)
    results = json.loads((tmp_path / "table.json").read_text())["results"]
    assert results.keys() == {"resnet20, two classes", "resnet20, ten classes"}
    assert create_model(tmp_path / "runs" / "resnet20-two-classes-0").num_classes == 2
    test = cifar10(cifar10_folder, "test")
    numbers = torch.tensor([0, 6])  # airplane and frog
    chosen = torch.isin(test.labels, numbers).nonzero().flatten()[:20]
    two = replace(test, images=test.images[chosen], labels=(test.labels[chosen] == 6).long(), classes=("airplane", "frog"))
    for task, data in {"two classes": two, "ten classes": test.first(20)}.items():
        net, found = create_model(tmp_path / "runs" / f"resnet20-{task.replace(' ', '-')}-0").eval(), results[f"resnet20, {task}"]
        batches = data.batches(transform_for(net))
        wrong = torch.cat([net(x).argmax(1) != y for x, y in batches])
        assert found["test_error"] == [pytest.approx(100 * float(wrong.double().mean()))]
        assert found["trained"][0]["ratio"] == pytest.approx(branch_ratio(net, batches).ratio.tolist())
        expected = block_survival(net, batches, factors=(1, 0))
        assert found["trained"][0]["changed"] == pytest.approx(expected.changed[:, -1].tolist())
        assert found["trained"][0]["error"] == pytest.approx(expected.error[:, -1].tolist())
        assert found["trained"][0]["clean_error"] == pytest.approx(expected.clean_error)
        assert found["trained"][0]["chance_error"] == pytest.approx(100 * (1 - 1 / len(data.classes)))
        assert found["untrained"][0]["ratio"] != found["trained"][0]["ratio"]


def test_surfaces(cifar10_folder: Path, tmp_path: Path) -> None:
    data = first(cifar10(cifar10_folder, "train"), 16)
    net = build(replace(spec_of("cifar_resnet20"), depths=(1, 1, 1), widths=(4, 8, 8)))
    recipe = recipe_of("one_cycle_cifar", iterations=8, batch_size=8)
    fit(net, data, data, recipe, tmp_path / "run", every=2, keep=4)
    sizes = ("--images", 12, "--points", 3, "--planes", 2, "--hessian", 6, "--step", 2)
    run("surfaces.py", f"resnet8={tmp_path / 'run'}", "--data", cifar10_folder, "--out", tmp_path / "table.json", *sizes)
    with pytest.raises(SystemExit, match="was measured with other settings"):
        run("surfaces.py", f"other={tmp_path / 'run'}", "--data", cifar10_folder, "--out", tmp_path / "table.json", "--images", 11)
    found = json.loads((tmp_path / "table.json").read_text())["results"]["resnet8"]
    batches, few = (data.first(count).batches(transform_for(net.eval())) for count in (12, 6))
    for seed, losses in enumerate(found["planes"]):
        expected = landscape(net, batches, points=3, seed=seed, batch_norm="recalibrated").loss
        torch.testing.assert_close(torch.tensor(losses, dtype=expected.dtype), expected, rtol=1e-5, atol=1e-6)
    expected = landscape(net, batches, points=3).loss
    torch.testing.assert_close(torch.tensor(found["running"], dtype=expected.dtype), expected, rtol=1e-5, atol=1e-6)
    assert found["loss"] == pytest.approx(found["planes"][0][1][1])
    states = {int(path.name[:9]): torch.load(path)["net"] for path in sorted((tmp_path / "run" / "checkpoints").iterdir())}
    assert found["path"]["iterations"] == [*states] == [2, 4, 6, 8]
    path = trajectory(net, [states[iteration] for iteration in (2, 4, 6)])
    torch.testing.assert_close(torch.tensor(found["path"]["coordinates"], dtype=torch.float64), path.coordinates)
    assert [each["iteration"] for each in found["curvature"]] == [4, 8]
    for each in found["curvature"]:
        net.load_state_dict(states[each["iteration"]])
        assert each["largest"] == pytest.approx(float(hessian_map(net, few, points=1).largest), rel=0.02)
        assert each["smallest"] < 0


def test_dense_reuse(tmp_path: Path) -> None:
    net = create_model("cifar_densenet40_k12")
    weight = net.get_parameter("features.denseblock1.denselayer3.conv1.weight")  # reads 16, 12 and 12 channels
    with torch.no_grad():
        weight[:, 16:28] = -3.0
        weight[:, 28:] = 0.0
    save_model(net, tmp_path / "dense")
    run("dense_reuse.py", tmp_path / "dense", "--seeds", 1, "--out", tmp_path / "table.json")
    results = json.loads((tmp_path / "table.json").read_text())
    assert results["trained"][0][2][1:] == [3, 0]
    assert [len(row) for row in results["untrained"][0][2]] == [*range(1, 13), 13]  # the last is the classifier


@pytest.mark.slow
def test_probes_read_each_layer_of_a_dense_network(cifar10_folder: Path, tmp_path: Path) -> None:
    net = build(replace(spec_of("cifar_densenet40_k12"), depths=(2, 1, 1)))
    net.preprocess = Preprocessing.named("cifar10", resize=32, size=32)
    save_model(net, tmp_path / "dense")
    sizes = ("--images", 40, "--test", 20, "--seeds", 0, "--data", cifar10_folder)
    run("probes.py", f"densenet40={tmp_path / 'dense'}", *sizes, "--out", tmp_path / "table.json")
    found = json.loads((tmp_path / "table.json").read_text())["results"]["densenet40"]
    assert found["trained"]["places"] == ["stem", *blocks_of(net)]
    assert len(found["trained"]["r2"]) == len(found["trained"]["accuracy"]) == 1 + 2 + 1 + 1
    assert found["untrained"] == []
