"""Fine-tuning: from weights and a folder to a classifier, the same however often it is stopped."""

import json
import os
import signal
import subprocess
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import tiny
import torch
from forks import run
from pictures import draw, fill

from resnetlib import classify, create_model, evaluate, finetune, save_model
from resnetlib.data import LabeledImages, find_images, hold_out, read_image
from resnetlib.data import folder as reading
from resnetlib.distributed import Processes
from resnetlib.errors import ResnetlibError
from resnetlib.train import DivergenceError, FinetuneResult, Recipe, fit, recipe_of
from resnetlib.train.checkpoint import Checkpoints
from resnetlib.train.run import choose_batch
from resnetlib.train.trainer import Trainer
from resnetlib.weights import Preprocessing

pytestmark = pytest.mark.usefixtures("no_curves")

NAME = "cifar_resnet20.resnetlib_c10"


def recipe(**changes: Any) -> Recipe:
    return recipe_of("finetune", **{"epochs": 4, "batch_size": 6} | changes)


def tune(data: Path | tuple[LabeledImages, LabeledImages], out: Path, **options: Any) -> FinetuneResult:
    return finetune(options.pop("name", NAME), data, out, **{"recipe": recipe(), "device": "cpu", "precision": "fp32"} | options)


def records(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return fill(tmp_path_factory.mktemp("pictures") / "data", 8)


@pytest.fixture(scope="module")
def tuned(data: Path) -> Path:
    tune(data, data.parent / "tuned", recipe=recipe(epochs=8))
    return data.parent / "tuned"


def test_the_folder_is_a_complete_model(data: Path, tuned: Path) -> None:
    net = create_model(tuned)
    assert net.classes == ("blue", "green", "red")
    assert net.preprocess == create_model(NAME).preprocess
    result = json.loads((tuned / "result.json").read_text())
    assert net.pretrained_cfg.top1 == pytest.approx(100 - result["val_error"], abs=1e-3)
    assert net.pretrained_cfg.origin == f"resnetlib.train; began as {NAME} ({create_model(NAME).pretrained_cfg.origin})"
    assert net.pretrained_cfg.license == create_model(NAME).pretrained_cfg.license
    assert "6 held-out images, by which the weights were chosen" in net.pretrained_cfg.evaluated_on
    [[guess]] = classify(net, [read_image(draw(tuned.parent / "new.png", 2, seed=77))], top=1)
    assert guess.name == "blue"
    assert f"began as {NAME}" in (tuned / "README.md").read_text()


def test_the_saved_weights_are_the_best_that_were_measured(data: Path, tmp_path: Path) -> None:
    result = tune(data, tmp_path / "out", recipe=recipe(epochs=8, lr=0.5, patience=3))
    errors = [record["val_error"] for record in records(tmp_path / "out")]
    assert result.val_error == pytest.approx(min(errors), abs=1e-3)
    best = errors.index(min(errors))
    assert len(errors) == min(8, best + 1 + 3)
    assert f"weights of iteration {3 * (best + 1)} of 24" in create_model(tmp_path / "out").pretrained_cfg.recipe


def test_the_classifier_learns_alone_at_first(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A half of the training changes nothing but the classifier; the other half changes everything, deeper layers less."""
    begin = create_model(NAME).state_dict()
    seen: dict[int, dict[str, torch.Tensor]] = {}
    train_until = Trainer.train_until

    def watched(self: Trainer, stop: int) -> Any:
        yield from train_until(self, stop)
        seen[self.iteration] = {key: tensor.clone() for key, tensor in self.net.state_dict().items()}

    monkeypatch.setattr(Trainer, "train_until", watched)
    tune(data, tmp_path / "out", recipe=recipe(head_only_fraction=0.5, patience=0, weight_decay=0.0))
    assert list(seen) == [3, 6, 9, 12]
    for iteration, state in seen.items():
        changed = {
            key
            for key, tensor in state.items()
            if key in begin and not key.startswith("fc") and not torch.equal(tensor, begin[key])
        }
        assert changed == (set() if iteration <= 6 else {key for key in begin if not key.startswith("fc")}), iteration
    assert not torch.equal(seen[3]["fc.weight"], seen[6]["fc.weight"])
    rates = [record["lr"] for record in records(tmp_path / "out")]
    assert rates[0] == rates[1] == 0.02
    assert rates[3] < rates[2] < 0.02
    net = create_model(tmp_path / "out")
    assert all(parameter.requires_grad for parameter in net.parameters())


def tune_and_die(data: Path, out: Path, deadly: int) -> None:
    """Fine-tune, and be killed before the iteration of this number."""
    step = Trainer.step

    def counted(self: Trainer, *args: Any) -> torch.Tensor:
        if self.iteration == deadly:
            os.kill(os.getpid(), signal.SIGKILL)
        return step(self, *args)

    Trainer.step = counted  # type: ignore[method-assign]
    tune(data, out, recipe=recipe(epochs=6, head_only_fraction=0.5))


def test_a_process_that_is_killed_goes_on_in_another_and_ends_the_same(data: Path, tmp_path: Path) -> None:
    """Killed in an epoch of the frozen part, and of the other: the weights are those of a run that nobody stopped, bit for bit."""

    def tune_until(out: str, deadly: int) -> int:
        return run(partial(tune_and_die, data, tmp_path / out, deadly), tmp_path / "output")

    assert tune_until("whole", -1) == 0
    for deadly, measured in ((4, 1), (13, 4)):
        assert tune_until("parts", deadly) == -signal.SIGKILL
        assert not (tmp_path / "parts" / "model.safetensors").exists()
        assert len(records(tmp_path / "parts")) == measured
    assert tune_until("parts", -1) == 0
    one, two = (create_model(tmp_path / out).state_dict() for out in ("whole", "parts"))
    assert all(torch.equal(one[key], two[key]) for key in one)
    assert len(records(tmp_path / "parts")) == len(records(tmp_path / "whole"))
    run_json = json.loads((tmp_path / "parts" / "run.json").read_text())
    assert [session["from"] for session in run_json["sessions"]] == [0, 3, 12]


def test_images_are_decoded_once_and_not_at_every_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, decoded = fill(tmp_path / "data", 4), []
    (root / "red" / "1.png").write_bytes(b"broken")
    attempt = reading._try

    def counted(path: Path) -> tuple[bytes, str | None]:
        decoded.append(path.name)
        return attempt(path)

    monkeypatch.setattr(reading, "_try", counted)

    def again() -> int:
        decoded.clear()
        tune(root, tmp_path / "out", recipe=recipe(epochs=1))
        return len(decoded)

    assert again() == 12
    assert again() == 0
    content = (root / "red" / "2.png").read_bytes()
    (root / "red" / "2.png").write_bytes(content)
    assert again() == 12  # it may have changed
    (root / "red" / "2.png").write_bytes(content[:-20] + bytes(20))
    with pytest.raises(ValueError, match="holds another training"):
        again()
    assert len(decoded) == 12


def test_processes_share_the_decoding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    files, shares = find_images(fill(tmp_path / "data", 3)), []
    (tmp_path / "data" / "red" / "1.png").write_bytes(b"broken")
    alone = reading.verify_images(files)
    cpu = torch.device("cpu")

    def note(self: Processes, share: Any) -> list[Any]:
        if isinstance(share, str):  # the stamp of the files
            return [share, share]
        shares.append(share)
        raise InterruptedError

    monkeypatch.setattr(Processes, "gather", note)
    for rank in (0, 1):
        with pytest.raises(InterruptedError):
            reading.verify_images(files, processes=Processes(rank, 2, cpu, cpu))
    assert [len(share) for share in shares] == [5, 4]
    monkeypatch.setattr(Processes, "gather", lambda self, share: [share] if isinstance(share, str) else shares)
    for rank in (0, 1):
        assert reading.verify_images(files, processes=Processes(rank, 2, cpu, cpu)) == alone


@pytest.mark.parametrize(("images", "batch", "steps"), [(18, 4, 4), (45, 4, 11), (80, 8, 10), (330, 32, 10)])
def test_an_epoch_of_a_small_set_has_about_ten_steps(images: int, batch: int, steps: int, tmp_path: Path) -> None:
    def again() -> FinetuneResult:
        return tune((toy, toy), tmp_path / "out", recipe=recipe_of("finetune_cifar", epochs=2))

    toy = tiny.images(images)
    result = again()
    assert result.iterations == 2 * steps
    assert json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]["batch_size"] == batch
    assert again() == result  # the same training


def test_a_batch_size_that_is_given_is_kept(tmp_path: Path) -> None:
    toy = tiny.images(45)
    assert tune((toy, toy), tmp_path, recipe=recipe_of("finetune_cifar", epochs=1, batch_size=20)).iterations == 2


@pytest.mark.parametrize(("world", "size"), [(2, 6), (3, 6), (4, 4), (8, 8)])
def test_processes_share_a_chosen_batch(world: int, size: int, caplog: pytest.LogCaptureFixture) -> None:
    cpu = torch.device("cpu")
    with caplog.at_level("INFO", "resnetlib"):
        assert choose_batch(recipe_of("finetune"), 60, Processes(0, world, cpu, cpu)).batch_size == size
    assert caplog.messages == [f"the batch size is {size}, for 60 images"]


def test_more_processes_than_images() -> None:
    cpu = torch.device("cpu")
    for recipe in (recipe_of("finetune"), recipe_of("finetune", batch_size=6)):
        with pytest.raises(ValueError, match="5 images cannot be shared among 6 processes"):
            choose_batch(recipe, 5, Processes(0, 6, cpu, cpu))


def test_folders_are_listed_once(data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listed = []
    monkeypatch.setattr("resnetlib.finetuning.finetune.find_images", lambda root, **_: listed.append(root) or find_images(root))
    tune(data, tmp_path / "out", recipe=recipe(epochs=1))
    assert listed == [data]


def test_images_in_memory(tmp_path: Path) -> None:
    train, test = tiny.images(60, side=16), tiny.images(30, seed=1, side=16)
    result = tune((train, test), tmp_path / "out", recipe=recipe_of("finetune_cifar", epochs=3, batch_size=10))
    net = create_model(tmp_path / "out")
    assert net.classes == train.classes
    assert net.preprocess == replace(create_model(NAME).preprocess, resize=16, size=16)
    measured = evaluate(net, [(net.preprocess(test.images), test.labels)])
    assert measured.top1 == pytest.approx(100 - result.val_error, abs=1e-3)


def test_the_best_weights_are_not_chosen_on_cifar10s_test_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy, read = tiny.images(60, side=16), []
    monkeypatch.setattr("resnetlib.finetuning.finetune.is_cifar10", lambda folder: True)
    monkeypatch.setattr("resnetlib.finetuning.finetune.cifar10", lambda folder, split: read.append(split) or toy)
    options = {"recipe": recipe_of("finetune_cifar", epochs=2, batch_size=9), "validation": 0.25, "seed": 1}
    result = tune(tmp_path / "data", tmp_path / "out", **options)
    assert read == ["train"]
    assert json.loads((tmp_path / "out" / "run.json").read_text())["images"] == 45
    train, held = hold_out(toy, 0.25, seed=1)
    net = create_model(tmp_path / "out")
    for images, error in ((train, result.train_error), (held, result.val_error)):
        measured = evaluate(net, [(net.preprocess(images.images), images.labels)])
        assert measured.top1 == pytest.approx(100 - error, abs=1e-3)
    assert tune(tmp_path / "data", tmp_path / "out", **options) == result


def test_gray_images(tmp_path: Path) -> None:
    color = tiny.images(60, side=16)
    gray = replace(color, images=color.images[:, :1] // 2 + 100 * (color.labels[:, None, None, None] == 0).to(torch.uint8))
    recipe = recipe_of("finetune_cifar", epochs=3, batch_size=10)
    with pytest.raises(ValueError, match="images have 1 channels, but the preprocessing is for 3"):
        tune((gray, gray), tmp_path / "color", recipe=recipe)
    tune((gray, gray), tmp_path / "out", recipe=recipe, in_chans=1)
    net = create_model(tmp_path / "out")
    assert net.in_chans == 1
    assert "3 channels made 1 (sum)" in net.pretrained_cfg.origin


def test_from_scratch(data: Path, tmp_path: Path) -> None:
    tune(data, tmp_path / "out", name="cifar_plain20", from_scratch=True, recipe=recipe(epochs=1))
    net = create_model(tmp_path / "out")
    assert net.preprocess == Preprocessing.named("cifar10", resize=32, size=32)
    assert net.pretrained_cfg.origin == "resnetlib.train"


def test_from_scratch_all_layers_are_trained_from_the_beginning(tmp_path: Path) -> None:
    toy = tiny.images(20, side=16)
    finetune("cifar_resnet20", (toy, toy), tmp_path / "out", from_scratch=True, precision="fp32")
    used = json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]
    assert (used["head_only_fraction"], used["stem_lr_scale"]) == (0, 1)


def test_from_scratch_a_recipes_name_is_changed_and_a_recipe_is_not(tmp_path: Path) -> None:
    toy = tiny.images(20, side=16)
    whole = recipe_of("finetune_cifar", epochs=1)
    for given, fraction in (("finetune_cifar", 0), (whole, 0.2)):
        out = tmp_path / str(fraction)
        finetune("cifar_resnet20", (toy, toy), out, from_scratch=True, recipe=given, precision="fp32")
        assert json.loads((out / "run.json").read_text())["recipe"]["head_only_fraction"] == fraction


@pytest.mark.parametrize(("changes", "train", "test"), [({}, 32, (32, 32)), ({"train_size": 16, "test_resize": 40}, 16, (40, 32))])
def test_the_recipes_sizes_change_those_of_the_preprocessing(
    changes: dict[str, int], train: int, test: tuple[int, int], data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: set[int] = set()
    step = Trainer.step

    def noted(self: Trainer, x: torch.Tensor, *args: Any) -> torch.Tensor:
        seen.add(x.shape[-1])
        return step(self, x, *args)

    monkeypatch.setattr(Trainer, "step", noted)
    tune(data, tmp_path / "out", recipe=recipe(epochs=1, **changes))
    assert seen == {train}
    net = create_model(tmp_path / "out")
    assert net.preprocess is not None
    assert (net.preprocess.resize, net.preprocess.size) == test


def test_fine_tuned_weights_are_tuned_further_with_the_classifier_that_they_have(data: Path, tuned: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    tune(data, again, name=f"{tuned}/", recipe=recipe(epochs=1, lr=1e-6, patience=0))
    one, two = create_model(tuned), create_model(again)
    torch.testing.assert_close(one.fc.weight, two.fc.weight, rtol=0, atol=1e-4)


def test_other_weights_are_another_training(data: Path, tuned: Path) -> None:
    with pytest.raises(
        ValueError,
        match=rf"holds another training: weights was '{NAME} \(.*\)' in that training, but is '' now; give another folder",
    ):
        tune(data, tuned, name="cifar_resnet20", from_scratch=True, recipe=recipe(epochs=8))


def test_weights_of_one_name_that_differ_are_another_training(data: Path, tuned: Path, tmp_path: Path) -> None:
    net = create_model(tuned)
    for name in ("a", "b"):
        save_model(net, tmp_path / name, pretrained_cfg=net.pretrained_cfg)
        torch.nn.init.zeros_(net.conv1.weight)
    tune(data, tmp_path / "out", name=tmp_path / "a", recipe=recipe(epochs=1))
    with pytest.raises(
        ValueError, match=r"holds another training: start was '.*' in that training, but is '.*' now; give another folder"
    ):
        tune(data, tmp_path / "out", name=tmp_path / "b", recipe=recipe(epochs=1))


def test_images_in_folders_have_one_channel_or_three(data: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="images in folders have 1 or 3 channels, but the preprocessing is for 4"):
        tune(data, tmp_path / "four", in_chans=4)
    assert not (tmp_path / "four").exists()
    tune(data, tmp_path / "one", in_chans=1, recipe=recipe(epochs=1))
    assert create_model(tmp_path / "one").in_chans == 1


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_the_default_dtype_may_be_another(dtype: torch.dtype, data: Path, tmp_path: Path) -> None:
    toy = LabeledImages(torch.randint(256, (12, 3, 32, 32), dtype=torch.uint8), torch.arange(12) % 2, ("even", "odd"))
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        tune((toy, toy), tmp_path / "out", recipe=recipe_of("finetune_cifar", epochs=1, batch_size=6))
        tune(data, tmp_path / "folder", recipe=recipe(epochs=1))
        for name in ("out", "folder"):
            assert create_model(tmp_path / name).fc.weight.dtype == dtype
    finally:
        torch.set_default_dtype(before)


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "validation": ({"validation": 1.5}, "validation must be between 0 and 1, got 1.5"),
    "no validation": ({"validation": float("nan")}, "validation must be between 0 and 1, got nan"),
    "precision": ({"precision": "fp8"}, "precision must be one of"),
    "augmentation": ({"recipe": recipe_of("finetune_cifar")}, "not by 'pad_crop_flip'"),
    "sizes": ({"recipe": recipe(test_size=64)}, "test_resize must be at least test_size, got 32 and 64"),
    "channels": ({"in_chans": 4}, "the preprocessing is for 4"),
    "rule": ({"in_chans": 1, "input_rule": "mean"}, "the rule for the input must be"),
    "tag": ({"name": "cifar_resnet20", "weights": "none"}, "cifar_resnet20 has no weights 'none'"),
    "file": ({"name": "./none.safetensors"}, "there is no file"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_arguments_are_checked_before_images_are_read(
    kind: str, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_try", lambda path: pytest.fail("an image was read"))
    options, message = WRONG[kind]
    with pytest.raises(ResnetlibError, match=message):
        tune(data, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_a_single_class_is_found_before_its_images_are_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_try", lambda path: pytest.fail("an image was read"))
    (tmp_path / "data" / "cat").mkdir(parents=True)
    draw(tmp_path / "data" / "cat" / "1.png", 0, seed=0)
    with pytest.raises(ValueError, match="there is only one class, 'cat'"):
        tune(tmp_path / "data", tmp_path / "out")


def test_data_of_another_kind(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="data must be a folder, or training and validation images in memory"):
        tune((tmp_path, tmp_path), tmp_path / "out")  # type: ignore[arg-type]


def test_two_processes_fine_tune_from_a_folder(data: Path, tmp_path: Path) -> None:
    """Under torchrun, with worker processes that read, a linear probe, whose norms see no batches, is that of one process."""
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "resnetlib"]
    options = ["--data", data, "--device", "cpu", "--precision", "fp32", "--out", tmp_path / "two"]
    changes = ["--set", "epochs=2", "--set", "batch_size=6", "--set", "head_only_fraction=1"]
    done = subprocess.run(  # noqa: S603
        [*launch, "finetune", NAME, *map(str, options), *changes], capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr
    tune(data, tmp_path / "one", recipe=recipe(epochs=2, head_only_fraction=1.0))
    one, two = (create_model(tmp_path / out).state_dict() for out in ("one", "two"))
    for key, tensor in one.items():
        torch.testing.assert_close(two[key], tensor, rtol=1e-4, atol=1e-5, msg=key)
    losses = [records(tmp_path / out)[-1]["val_loss"] for out in ("one", "two")]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_a_broken_image_does_not_stop_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = fill(tmp_path / "data", 5)
    (root / "red" / "1.png").write_bytes(b"broken")
    tune(root, tmp_path / "out", recipe=recipe(epochs=1))
    assert caplog.messages.count(f"skipped 1 in {root}, cannot be read: red/1.png") == 1
    assert json.loads((tmp_path / "out" / "run.json").read_text())["images"] == 11


def test_one_class(tmp_path: Path) -> None:
    root = fill(tmp_path / "data", 3, classes=("red",))
    with pytest.raises(ValueError, match="there is only one class, 'red': a classifier needs two or more"):
        tune(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_out_inside_the_data(data: Path) -> None:
    for out in (data / "out", data, data / "red" / ".." / "x"):
        with pytest.raises(ValueError, match=r"is inside .*, so its files would be read as data: give another folder"):
            tune(data, out)


def test_too_few_images_for_a_batch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = fill(tmp_path / "data", 2)
    tune(root, tmp_path / "out", recipe=recipe(epochs=1))
    assert caplog.messages.count("3 images do not fill a batch of 6: the batch size is 3") == 1
    assert json.loads((tmp_path / "out" / "run.json").read_text())["recipe"]["batch_size"] == 3


def test_divergence_is_said(data: Path, tmp_path: Path) -> None:
    with pytest.raises(DivergenceError, match="diverged"):
        tune(data, tmp_path / "out", recipe=recipe(lr=1e12, head_only_fraction=0.0))


def test_patience_waits_for_the_layers_to_learn(tmp_path: Path) -> None:
    """A classifier that learns nothing alone does not end the training before the layers begin."""
    images = tiny.images(), tiny.images(30, seed=1)
    recipe = tiny.recipe(epochs=20, head_only_fraction=0.6, patience=2, lr=1e-7)
    fit(tiny.network(), *images, recipe, tmp_path / "out", device="cpu", precision="fp32")
    assert 72 + 2 * 6 <= records(tmp_path / "out")[-1]["iteration"] < 120
    probe = tiny.recipe(epochs=20, head_only_fraction=1.0, patience=2, lr=1e-7)
    fit(tiny.network(), *images, probe, tmp_path / "probe", device="cpu", precision="fp32")
    assert len(records(tmp_path / "probe")) == 3


def test_nothing_stays_frozen_when_it_fails(tmp_path: Path) -> None:
    net = tiny.network()
    with pytest.raises(DivergenceError):
        fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(head_only_fraction=0.5, lr=1e12), tmp_path, device="cpu")
    assert type(net.bn1) is torch.nn.BatchNorm2d
    assert all(parameter.requires_grad for parameter in net.parameters())


def test_the_best_weights_are_the_checkpoints_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file of better weights, written just before the process died, is none of the run that goes on from before."""
    images, recipe = (tiny.images(), tiny.images(30, seed=1)), tiny.recipe(epochs=8, patience=1, lr=0.005)
    save = Checkpoints.save

    def dying(self: Checkpoints, iteration: int, state: Any) -> Path:
        if iteration == 12:
            raise KeyboardInterrupt
        return save(self, iteration, state)

    with monkeypatch.context() as patch:
        patch.setattr(Checkpoints, "save", dying)
        with pytest.raises(KeyboardInterrupt):
            fit(tiny.network(), *images, recipe, tmp_path, device="cpu", precision="fp32", every=6)
    result = fit(tiny.network(), *images, recipe, tmp_path, device="cpu", precision="fp32", every=1)
    errors = [record["test_error"] for record in records(tmp_path)]
    assert result.test_error == pytest.approx(min(errors), abs=1e-3)
    best = records(tmp_path)[errors.index(min(errors))]["iteration"]
    assert f"weights of iteration {best} of" in create_model(tmp_path).pretrained_cfg.recipe


def test_a_dilated_network_is_not_trained_for_a_folder_that_forgets_it(tmp_path: Path) -> None:
    net = tiny.network(replace(tiny.SPEC, depths=(1, 1, 1), widths=(4, 8, 8)), output_stride=2)
    with pytest.raises(ValueError, match="build it without output_stride"):
        fit(net, tiny.images(), tiny.images(), tiny.recipe(), tmp_path, device="cpu")


def test_a_callers_own_freezing_outlives_the_frozen_part(tmp_path: Path) -> None:
    net = tiny.network()
    net.layer1.requires_grad_(False)
    before = net.layer1[0].conv1.weight.clone()
    fit(net, tiny.images(), tiny.images(30, seed=1), tiny.recipe(head_only_fraction=0.5), tmp_path, device="cpu", precision="fp32")
    assert torch.equal(net.layer1[0].conv1.weight, before)
    assert not net.layer1[0].conv1.weight.requires_grad
    assert net.layer2[0].conv1.weight.requires_grad


def test_adamw_and_rates_by_layer(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "optimizer": "adamw",
        "lr": 0.01,
        "stem_lr_scale": 0.5,
        "decay_all": False,
        "head_only_fraction": 0.25,
    }
    result = fit(tiny.network(), tiny.images(), tiny.images(30, seed=1), tiny.recipe(epochs=10, **changes), tmp_path, device="cpu")
    assert result.train_error < 20


def test_find_images_is_what_training_sees(data: Path, tuned: Path) -> None:
    files = find_images(data)
    assert len(files) == json.loads((tuned / "run.json").read_text())["images"] + 6


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
def test_timm_and_transformers_load_the_folder_and_agree(data: Path, tmp_path: Path) -> None:
    timm = pytest.importorskip("timm")
    transformers = pytest.importorskip("transformers")
    begin = create_model("resnet18", num_classes=7)
    begin.preprocess = Preprocessing.named("imagenet", resize=36, size=32)
    save_model(begin, tmp_path / "begin")
    tune(data, tmp_path / "out", name=tmp_path / "begin", recipe=recipe(epochs=1))
    net, images = create_model(tmp_path / "out").eval(), torch.randn(3, 3, 32, 32)
    with torch.inference_mode():
        ours = net(images)
        theirs = timm.create_model(f"local-dir:{tmp_path / 'out'}", pretrained=True).eval()(images)
        model = transformers.AutoModelForImageClassification.from_pretrained(tmp_path / "out").eval()
        torch.testing.assert_close(theirs, ours, rtol=0, atol=1e-5)
        torch.testing.assert_close(model(images).logits, ours, rtol=0, atol=1e-5)
    assert [model.config.id2label[i] for i in range(3)] == list(net.classes)
    path = draw(tmp_path / "new.png", 1, seed=9)
    found = transformers.pipeline("image-classification", model=str(tmp_path / "out"))(str(path))
    [guesses] = classify(net, [read_image(path)])
    for guess, entry in zip(guesses, found, strict=True):
        assert guess.name == entry["label"]
        assert guess.probability == pytest.approx(entry["score"], abs=1e-3)
