"""A training learns, is logged, and ends the same however often it was stopped."""

import json
import os
import shutil
import signal
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
import torch
from families import FAMILIES
from filelock import FileLock
from forks import run

from resnetlib import Backbone, build, create_model, evaluate, finetune, frozen_batchnorm, load_file
from resnetlib.data import LabeledImages
from resnetlib.experiments import degradation
from resnetlib.train import DivergenceError, fit, recipe_of
from resnetlib.train.checkpoint import Checkpoints
from resnetlib.train.trainer import Trainer

pytestmark = pytest.mark.usefixtures("no_curves")


def train(out: Path, *, net: Backbone | None = None, **options: Any) -> Backbone:
    net = net or tiny.network()
    changes = {key: options.pop(key) for key in list(options) if key in tiny.recipe().__dataclass_fields__}
    fit(
        net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(**changes), out, **{"device": "cpu", "precision": "fp32"} | options
    )
    return net


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def assert_same(a: Backbone, b: Backbone) -> None:
    for (key, one), other in zip(a.state_dict().items(), b.state_dict().values(), strict=True):
        assert torch.equal(one, other), key


class StoppedError(Exception):
    """Stands for whatever ends a process."""


def stop_after(monkeypatch: pytest.MonkeyPatch, iterations: int) -> None:
    """Interrupt the next training in the middle of what it does."""
    train_until = Trainer.train_until

    def interrupted(self: Trainer, stop: int) -> Any:
        for done in train_until(self, min(stop, iterations)):
            yield done
            if self.iteration >= iterations:
                raise StoppedError

    monkeypatch.setattr(Trainer, "train_until", interrupted)


def test_it_learns_and_says_so(tmp_path: Path) -> None:
    images, recipe = (tiny.images(), tiny.images(30, seed=1)), tiny.recipe(epochs=12)
    result = fit(tiny.network(), *images, recipe, tmp_path, device="cpu", precision="fp32")
    assert result.iterations == 72
    assert result.train_error < 5
    assert result.test_error < 10
    assert json.loads((tmp_path / "result.json").read_text())["test_loss"] == result.test_loss
    log = records(tmp_path)
    assert [record["iteration"] for record in log] == list(range(6, 73, 6))
    assert log[-1]["train_loss"] < log[0]["train_loss"]
    assert {"lr", "loss", "error", "gradient_norm", "train_error", "test_error", "seconds", "images_per_second"} <= set(log[0])
    run = json.loads((tmp_path / "run.json").read_text())
    assert (run["seed"], run["images"]) == (0, 60)
    (session,) = run["sessions"]
    assert (session["from"], session["precision"], session["versions"]["torch"]) == (0, "float32", torch.__version__)


def test_the_folder_is_a_network_that_evaluates_as_the_result_says(tmp_path: Path) -> None:
    net = train(tmp_path)
    again = create_model(f"{tmp_path}/")
    assert_same(net, again)
    test = tiny.images(30, seed=1)
    assert again.preprocess is not None
    measured = evaluate(again, [(again.preprocess(test.images), test.labels)])
    assert again.pretrained_cfg.top1 == measured.top1
    assert again.classes == test.classes
    assert again.pretrained_cfg.recipe.startswith("one_cycle_cifar, epochs=4, batch_size=10")
    best = load_file(tmp_path / "best.safetensors")
    assert best.pretrained_cfg.top1 == 100 - min(record["test_error"] for record in records(tmp_path))


def test_the_callers_generator_is_left_alone(tmp_path: Path) -> None:
    net = tiny.network()
    before = torch.random.get_rng_state()
    train(tmp_path, net=net)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"recipe": {"ema": 0.9, "clip_norm": 0.5, "mixup": 0.2, "cutmix": 1.0, "label_smoothing": 0.1}},
        {"network": {"drop_path_rate": 0.3, "drop_rate": 0.2}, "every": 5},
    ],
    ids=["simple", "everything", "dropping"],
)
def test_a_training_that_was_stopped_ends_the_same(
    options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Stopped in the first iteration, at the end of an epoch, in the middle of one, and in the last one."""

    def run(out: str) -> Backbone:
        return train(
            tmp_path / out,
            net=tiny.network(**options.get("network", {})),
            every=options.get("every", 0),
            **options.get("recipe", {}),
        )

    whole = run("whole")
    monkeypatch.setattr("resnetlib.train.trainer._READ_EVERY", 1)
    for stop in (1, 6, 8, 23):
        with monkeypatch.context() as patch:
            stop_after(patch, stop)
            with pytest.raises(StoppedError):
                run("parts")
        torch.rand(7)  # whatever else happened in between
    assert_same(whole, run("parts"))
    same = [[{k: v for k, v in r.items() if k not in ("seconds", "images_per_second")} for r in records(tmp_path / out)]
            for out in ("whole", "parts")]  # fmt: skip
    assert same[0] == same[1]


def train_and_die(out: Path, where: type, name: str, at: int) -> None:
    """Train, and be killed in the call of this number."""
    called, calls = getattr(where, name), 0

    def deadly(*args: Any, **options: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return called(*args, **options)

    setattr(where, name, deadly)
    train(out, epochs=10, every=20)


def test_a_process_that_is_killed_goes_on_in_another_and_ends_the_same(tmp_path: Path) -> None:
    """Killed while it trains, and while it writes a checkpoint."""
    output = tmp_path / "output"
    assert run(partial(train, tmp_path / "whole", epochs=10, every=20), output) == 0
    parts = partial(train_and_die, tmp_path / "parts")
    assert run(partial(parts, Trainer, "step", 25), output) == -signal.SIGKILL
    assert newest_checkpoint(tmp_path / "parts").startswith("000000020")
    assert run(partial(parts, Checkpoints, "newest_first", 3), output) == -signal.SIGKILL
    assert run(partial(parts, Trainer, "step", 0), output) == 0, output.read_text()
    assert len(json.loads((tmp_path / "parts" / "run.json").read_text())["sessions"]) == 3
    assert_same(create_model(f"{tmp_path}/whole"), create_model(f"{tmp_path}/parts"))


def newest_checkpoint(out: Path) -> str:
    return max((path.name for path in (out / "checkpoints").glob("*.pt")), default="")


def test_the_network_has_the_config_of_what_was_saved(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20.resnetlib_c10", num_classes=3)
    train(tmp_path, net=net, epochs=1)
    assert net.pretrained_cfg == create_model(tmp_path).pretrained_cfg
    assert net.pretrained_cfg.top1 != create_model("cifar_resnet20.resnetlib_c10").pretrained_cfg.top1


def test_a_recipe_by_its_name(tmp_path: Path) -> None:
    few = tiny.images(12)
    result = fit(tiny.network(), few, few, "one_cycle_cifar", tmp_path, device="cpu", precision="fp32")
    assert result.iterations == recipe_of("one_cycle_cifar").epochs


def test_calling_again_at_the_end_does_nothing(tmp_path: Path) -> None:
    first = train(tmp_path)
    stamp = (tmp_path / "model.safetensors").stat().st_mtime_ns
    again = train(tmp_path)
    assert_same(first, again)
    assert_same(first, train(tmp_path, net=again))  # which has the config of trained weights
    assert (tmp_path / "model.safetensors").stat().st_mtime_ns == stamp


def test_a_damaged_checkpoint_is_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    whole = train(tmp_path / "whole")
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(StoppedError):
            train(tmp_path / "parts")
    older, newest = sorted((tmp_path / "parts" / "checkpoints").glob("*.pt"))
    content = bytearray(newest.read_bytes())
    content[len(content) // 2] ^= 1
    newest.write_bytes(content)
    assert_same(whole, train(tmp_path / "parts"))
    [said] = [message for message in caplog.messages if "damaged" in message]
    assert f"{newest.name} is damaged" in said
    assert newest.with_suffix(".damaged").exists()
    assert [session["from"] for session in json.loads((tmp_path / "parts" / "run.json").read_text())["sessions"]] == [0, 12]
    assert said.endswith("; continuing from iteration 12")
    assert older.name.startswith("000000012-")


def test_only_damaged_checkpoints(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(StoppedError):
            train(tmp_path)
    for path in (tmp_path / "checkpoints").glob("*.pt"):
        path.write_bytes(path.read_bytes()[:-100])
    for _ in range(2):
        with pytest.raises(ValueError, match=r"No checkpoint in .* is intact: delete the folder to start again"):
            train(tmp_path)


def test_a_folder_of_another_training(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    with pytest.raises(ValueError, match=r"training: lr was 0.1 in that training, but is 0.2 now; give another folder"):
        train(tmp_path, epochs=1, lr=0.2)
    with pytest.raises(ValueError, match="seed was 0 in that training, but is 3 now"):
        train(tmp_path, epochs=1, seed=3)
    with pytest.raises(ValueError, match="join was 'add' in that training, but is 'replace' now"):
        train(tmp_path, epochs=1, net=tiny.network(tiny.plain()))


def test_a_number_that_is_not_finite_stops_the_training(tmp_path: Path) -> None:
    net = tiny.network(replace(tiny.SPEC, norm="none"))
    with pytest.raises(DivergenceError, match=r"diverged in iteration \d+: loss"):
        train(tmp_path, net=net, lr=1e6)
    assert not (tmp_path / "result.json").exists()


def test_the_checkpoint_before_a_divergence_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net = tiny.network()
    train_until = Trainer.train_until

    def poisoned(self: Trainer, stop: int) -> Any:
        if stop > 12:
            with torch.no_grad():
                net.fc.weight[0, 0] = float("nan")
        yield from train_until(self, stop)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "train_until", poisoned)
        with pytest.raises(DivergenceError, match="diverged in iteration 13: loss nan"):
            train(tmp_path, net=net)
    assert newest_checkpoint(tmp_path).startswith("000000012-")
    assert_same(train(tmp_path), train(tmp_path / "whole"))


def test_order_and_augmentation_depend_on_the_seed_alone(tmp_path: Path) -> None:
    a, b, c = (train(tmp_path / str(i), seed=seed, epochs=1) for i, seed in enumerate((5, 5, 6)))
    assert_same(a, b)
    assert not torch.equal(a.fc.weight, c.fc.weight)


def test_other_classes_augmentations_and_precisions(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there are 3 classes, but the network has 10 logits"):
        train(tmp_path, net=create_model("cifar_resnet20"))
    with pytest.raises(ValueError, match="by 'pad_crop_flip' or 'none'"):
        train(tmp_path, augmentation="resized_crop_flip")
    with pytest.raises(ValueError, match="precision must be one of auto, fp32, bf16, fp16, got 'int8'"):
        train(tmp_path, precision="int8")


@pytest.mark.parametrize("precision", ["bf16", "fp32"])
def test_precisions(tmp_path: Path, precision: str) -> None:
    net = train(tmp_path, precision=precision, epochs=1)
    assert net.fc.weight.dtype == torch.float32
    assert (
        json.loads((tmp_path / "run.json").read_text())["sessions"][0]["precision"]
        == {"bf16": "bfloat16", "fp32": "float32"}[precision]
    )


@pytest.mark.parametrize("loss", ["cross_entropy", "binary_cross_entropy"])
@pytest.mark.parametrize("changes", [{}, {"mixup": 0.3}, {"cutmix": 1.0}])
def test_losses(tmp_path: Path, loss: str, changes: dict[str, float]) -> None:
    train(tmp_path, loss=loss, epochs=12, **changes)
    log = records(tmp_path)
    assert log[-1]["train_error"] < 20
    assert log[-1]["loss"] < log[0]["loss"]


def test_clipping_shortens_what_is_applied_and_reports_what_was_there(tmp_path: Path) -> None:
    start = tiny.network()
    net = train(tmp_path, clip_norm=1e-9, iterations=1, epochs=0, optimizer="sgd", weight_decay=0.0)
    moved = max((a - b).abs().max() for a, b in zip(net.parameters(), start.parameters(), strict=True))
    assert moved <= 1e-9
    assert records(tmp_path)[0]["gradient_norm"] > 1e-3


def test_the_moving_average_is_the_result(tmp_path: Path) -> None:
    plain = train(tmp_path / "plain")
    averaged = train(tmp_path / "ema", ema=0.999)
    assert (averaged.fc.weight - tiny.network().fc.weight).norm() < 0.1 * (plain.fc.weight - tiny.network().fc.weight).norm()
    assert_same(averaged, create_model(f"{tmp_path}/ema/"))


def test_checkpoints_keep_the_newest(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=3)
    for iteration in range(1, 8):
        kept.save(iteration, {"iteration": iteration, "x": torch.rand(3)})
    assert [path.name[:9] for path in sorted(tmp_path.iterdir())] == ["000000005", "000000006", "000000007"]
    state, complaints = kept.load()
    assert state is not None
    assert (state["iteration"], complaints) == (7, [])


def test_a_checkpoint_runs_nothing_that_it_holds(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path)
    path = kept.save(1, {"code": islice})
    assert path.is_file()
    with pytest.raises(
        ValueError,
        match=r"000000001-\w+.pt is not a checkpoint, or holds more than tensors and plain data \(nothing was executed\)$",
    ):
        kept.load()


def test_a_checkpoint_takes_the_place_of_its_twin_and_no_other(tmp_path: Path) -> None:
    kept = Checkpoints(tmp_path, keep=1)
    for number in range(6):
        path = kept.save(5, {"number": number})
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_what_a_killed_process_left_is_cleaned_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        stop_after(patch, 20)
        with pytest.raises(StoppedError):
            train(tmp_path)
    orphan = tmp_path / "checkpoints" / ".000000018-0123456789abcdef.pt.k3j2h1"
    orphan.write_bytes(b"half")
    train(tmp_path)
    assert not orphan.exists()


def test_a_finished_training_without_its_checkpoints_is_still_finished(tmp_path: Path) -> None:
    first = train(tmp_path)
    before = (tmp_path / "log.jsonl").read_bytes()
    shutil.rmtree(tmp_path / "checkpoints")
    assert_same(first, train(tmp_path))
    assert (tmp_path / "log.jsonl").read_bytes() == before


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(FileExistsError, match=r"holds README.md, which would be overwritten"):
        train(tmp_path)
    assert [path.name for path in tmp_path.iterdir() if path.name != ".lock"] == ["README.md"]


@pytest.mark.parametrize("early", ["images", "recipe", "seed", "network", "place", "lock"])
def test_the_folder_is_checked_before_the_work(early: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever can be known before the images are read is said before."""
    out = tmp_path / "out"
    if early in ("recipe", "seed", "lock"):
        train(out, epochs=1)
    monkeypatch.setattr("resnetlib.train.run.make_loader", None)
    lock = FileLock(out / ".lock") if early == "lock" else nullcontext()
    changes: dict[str, Any] = {"recipe": {"epochs": 1, "lr": 0.3}, "seed": {"epochs": 1, "seed": 5}}.get(early, {})
    message = {
        "recipe": "lr was 0.1 in that training, but is 0.3 now",
        "seed": "seed was 0 in that training, but is 5 now",
        "lock": "another process is already training in",
    }.get(early, "")
    if early == "network":
        out.mkdir()
        (out / "model.safetensors").touch()
        message = "holds model.safetensors, which would be overwritten"
    if early == "place":
        (tmp_path / "file").touch()
        out, message = tmp_path / "file" / "out", "file is a file, so .*out cannot be a folder"
    if early == "images":
        (tmp_path / "red").mkdir()
        with pytest.raises(ValueError, match=r"out is inside .*, so its files would be read as data: give another folder"):
            fit(tiny.network(), tmp_path, tmp_path, tiny.recipe(), out, device="cpu")
        return
    with lock, pytest.raises((ValueError, OSError), match=message):
        train(out, **changes)


def test_weights_chosen_on_test_images_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "resnetlib"):
        train(tmp_path, epochs=1, patience=2)
    assert "kept, which had the lowest test error, so it is not that of unseen images" in caplog.messages[-1]


def test_a_training_may_be_beside_cifar10s_files(tmp_path: Path) -> None:
    (tmp_path / "cifar-10-batches-bin").mkdir()
    (tmp_path / "cifar-10-batches-bin" / "test_batch.bin").touch()
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin is missing"):  # which comes after the check of `out`
        finetune("cifar_resnet20", tmp_path, tmp_path / "out")
    with pytest.raises(FileNotFoundError, match=r"data_batch_1\.bin is missing"):
        degradation(data=tmp_path, out=tmp_path / "out")


def test_a_batch_of_all_images_where_there_are_fewer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    few, recipe = tiny.images(7), tiny.recipe(epochs=2, batch_size=32)
    result = fit(tiny.network(), few, few, recipe, tmp_path / "out", device="cpu", precision="fp32")
    assert caplog.messages.count("7 images do not fill a batch of 32: the batch size is 7") == 1
    assert result.iterations == 2
    assert fit(tiny.network(), few, few, recipe, tmp_path / "out", device="cpu", precision="fp32") == result  # the same training


def test_a_single_image_at_batch_norms_names_what_helps(tmp_path: Path) -> None:
    net = create_model("cifar_resnet20", num_classes=3)
    one = tiny.images(1, side=4)
    with pytest.raises(ValueError, match=r"batch norms cannot train on one image .* resnetlib.frozen_batchnorm\(net\)"):
        fit(net, one, one, tiny.recipe(), tmp_path / "out", device="cpu", precision="fp32")
    with frozen_batchnorm(net):
        fit(net, one, one, tiny.recipe(epochs=1), tmp_path / "frozen", device="cpu", precision="fp32")


def test_a_folder_in_which_another_process_trains(tmp_path: Path) -> None:
    with FileLock(tmp_path / ".lock"), pytest.raises(BlockingIOError, match="another process is already training in"):
        train(tmp_path)
    train(tmp_path, epochs=1)


def test_other_images_are_another_training(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    test = tiny.images(30, seed=1)
    with pytest.raises(ValueError, match="the images differ"):
        fit(tiny.network(), tiny.images(), replace(test, labels=test.labels.flip(0)), tiny.recipe(epochs=1), tmp_path, device="cpu")
    with pytest.raises(ValueError, match="images was 60 in that training, but is 50 now"):
        fit(tiny.network(), tiny.images(50), test, tiny.recipe(epochs=1), tmp_path, device="cpu")
    others = [replace(images, classes=("a", "b", "c")) for images in (tiny.images(), test)]
    with pytest.raises(ValueError, match="classes was "):
        fit(tiny.network(), *others, tiny.recipe(epochs=1), tmp_path, device="cpu")


def test_a_divergence_in_the_last_iteration_is_seen(tmp_path: Path) -> None:
    net = tiny.network(replace(tiny.SPEC, norm="none"))
    with pytest.raises(DivergenceError, match="diverged after iteration 1: loss nan on train images"):
        train(tmp_path, net=net, epochs=0, iterations=1, lr=1e30)
    assert {path.name for path in tmp_path.iterdir()} == {"run.json", ".lock"}


def test_half_precision_forgives_a_gradient_but_not_all_of_them(tmp_path: Path) -> None:
    net = tiny.network()
    seen = 0

    def once(gradient: torch.Tensor) -> torch.Tensor:
        nonlocal seen
        seen += 1
        return gradient * float("nan") if seen == 1 or seen > 24 else gradient

    net.fc.weight.register_hook(once)
    with pytest.raises(DivergenceError, match=r"diverged in iteration 25: loss [\d.]+, norm of the gradient nan"):
        train(tmp_path, net=net, precision="fp16", every=24, epochs=8)
    assert [record["iteration"] for record in records(tmp_path)] == [24]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"keep": 0}, "keep must be an integer of at least 1, got 0"),
        ({"every": 1.5}, "every must be an integer of at least 0, got 1.5"),
        ({"sample": -1}, "sample must be an integer of at least 0, got -1"),
        ({"seed": -1}, r"seed must be an integer from 0 to 2\^63 - 1, got -1"),
    ],
)
def test_numbers_out_of_range(options: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=message):
        train(tmp_path, **options)


def test_numpys_integers(tmp_path: Path) -> None:
    train(tmp_path, epochs=1, seed=np.int64(3), every=np.int32(1), sample=np.int64(2), keep=np.int64(1))
    assert json.loads((tmp_path / "run.json").read_text())["seed"] == 3


@pytest.mark.parametrize(
    ("net", "images", "message"),
    [
        (tiny.network(), tiny.images(0), "there are no training images"),
        (tiny.network(in_chans=1), tiny.images(), "images have 3 channels, but the network takes 1"),
        (
            build(FAMILIES["densenet-large-stem"], num_classes=3),
            tiny.images(side=4),
            "the network takes images of at least 5 pixels, got 4",
        ),
        (
            build(tiny.SPEC, num_classes=1),
            replace(tiny.images(), labels=torch.zeros(60, dtype=torch.int64), classes=("red",)),
            "there is only one class, 'red': a classifier needs two or more",
        ),
        (
            tiny.network().requires_grad_(requires_grad=False),
            tiny.images(),
            r"fit needs gradients: call it outside torch.no_grad\(\), with a network whose parameters are not all frozen",
        ),
    ],
)
def test_what_does_not_fit_is_found_before_the_folder_is_claimed(
    net: Backbone, images: LabeledImages, message: str, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=f"^{message}$"):
        fit(net, images, images, tiny.recipe(), tmp_path / "out", device="cpu")
    assert not (tmp_path / "out").exists()


def test_without_gradients_nothing_is_trained(tmp_path: Path) -> None:
    for context in (torch.no_grad(), torch.inference_mode()):
        with context, pytest.raises(ValueError, match=r"^fit needs gradients: call it outside"):
            train(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_default_dtype_changes_nothing(tmp_path: Path) -> None:
    expected, net = train(tmp_path / "float32", epochs=1), tiny.network()
    torch.set_default_dtype(torch.float64)
    try:
        fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(epochs=1), tmp_path / "out", device="cpu", precision="fp32")
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(net.state_dict(), expected.state_dict())


def test_autocast_would_not_change_a_network_in_float64(tmp_path: Path) -> None:
    for precision in ("bf16", "fp16"):
        with pytest.raises(ValueError, match=f"^precision='{precision}' is for networks in fp32 or less: autocast would leave"):
            train(tmp_path, net=tiny.network().double(), precision=precision)
    assert train(tmp_path, net=tiny.network().double(), precision="auto", epochs=1).fc.weight.dtype == torch.float64
    assert json.loads((tmp_path / "run.json").read_text())["sessions"][0]["precision"] == "float32"


@pytest.mark.parametrize("finished", [False, True])
def test_the_mode_is_the_callers(finished: bool, tmp_path: Path) -> None:
    if finished:
        train(tmp_path, epochs=1)
    net = tiny.network().eval()
    net.fc.train()
    train(tmp_path, net=net, epochs=1)
    assert [name for name, module in net.named_modules() if module.training] == ["fc"]


def test_an_average_over_more_iterations_than_the_training_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    train(tmp_path, epochs=1, ema=0.999)
    assert any(message.startswith("ema=0.999 averages 1000 iterations, more than the ") for message in caplog.messages)


def test_labels_out_of_range_and_images_of_two_kinds(tmp_path: Path) -> None:
    images = tiny.images()
    with pytest.raises(ValueError, match="labels must be 0 to 2, the classes' indices, got 1 to 3"):
        fit(tiny.network(), replace(images, labels=images.labels + 1), images, tiny.recipe(), tmp_path, device="cpu")
    with pytest.raises(TypeError, match="both be in memory or both in folders, got LabeledImages, str"):
        fit(tiny.network(), images, "folder", tiny.recipe(), tmp_path, device="cpu")


def test_it_compiles_when_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []
    monkeypatch.setattr(torch, "compile", lambda forward, mode: asked.append(mode) or forward)
    train(tmp_path / "a", epochs=1)
    assert asked == []
    train(tmp_path / "b", epochs=1, compiled=True)
    assert asked == [None]
    assert json.loads((tmp_path / "b" / "run.json").read_text())["sessions"][0]["compiled"] is True
