"""What the lecture's pages call true is true of the findings; their numbers are read from these (tests/test_lecture.py)."""

import importlib.util
import json
import statistics
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

import resnetlib
from resnetlib.analysis import ToyAutocorrelation, load_result
from resnetlib.config import spec_from_dict

DOCS = Path(__file__).parents[1] / "docs"
WHY = DOCS / "results" / "why"
OURS = [f"resnetlib, {precision}{suffix}" for suffix in ("", ", compiled") for precision in ("fp32", "bf16")]


@cache
def numbers() -> dict[str, str]:
    spec = importlib.util.spec_from_file_location("numbers_of_results", DOCS / "numbers_of_results.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return dict(module.numbers())


@cache
def finding(network: str, name: str) -> Any:
    return load_result(WHY / network / f"{name}.json")


@cache
def results(name: str) -> Any:
    return json.loads((DOCS / "results" / f"{name}.json").read_text())["results"]


def said(*sentences: str, page: str = "analysis.md") -> None:
    """Fail unless the page says all of these, however its lines are broken."""
    text = " ".join((DOCS / page).read_text().split())
    missing = [sentence for sentence in sentences if sentence not in text]
    assert not missing, missing


def median_of(found: Any) -> float:
    return statistics.median(found.error.tolist())


def test_the_forward_sum() -> None:
    exact = {name: max(finding(name, "residual_decomposition").deviation) for name in ("preact110", "densenet40")}
    with_relus = {
        name: max(finding(name, "residual_decomposition").deviation_with_out) for name in ("resnet20", "resnet56", "resnet110")
    }
    plain = min(max(finding(name, "residual_decomposition").deviation_with_out) for name in ("plain20", "plain56"))
    assert max(exact.values()) < 1e-5
    assert max(with_relus.values()) < 1e-5
    assert exact["densenet40"] == 0
    assert plain > 0.5


def test_the_two_terms_of_the_gradient() -> None:
    def first(name: str) -> float:
        terms = finding(name, "gradient_decomposition")
        return float(terms.survival[terms.chains[0][0]])

    terms = finding("preact110", "gradient_decomposition")
    inside = [float(terms.survival[i]) for start, end in terms.chains for i in range(start + 1, end)]
    assert min(inside) > 1 - 1e-4
    assert first("plain56") == 0
    for name in ("preact110", "resnet110", "resnet56", "densenet40"):
        assert max(finding(name, "gradient_decomposition").deviation) < 1e-5


def test_gradients_at_the_beginning() -> None:
    def middle(name: str) -> float:
        return statistics.median(each["gradient_first_to_last"] for each in results("beginnings")[name])

    assert middle("plain56, norm none") < middle("plain20, norm none") < 1
    assert middle("plain56, norm batch") > 100


def test_deeper_copies() -> None:
    residual, plain = (results("deepening")[f"cifar_{kind}20.resnetlib_c10"] for kind in ("resnet", "plain"))
    assert residual["copy"]["largest_difference_of_logits"] == 0
    assert plain["copy"]["other_predictions"] == 0
    for found in (residual, plain):
        errors = [found["errors"][way]["train_error"] for way in ("deepened", "deep, from scratch")]
        assert errors[0] < errors[1] / 2


def test_small_residuals() -> None:
    medians = {name: finding(name, "response_std").median for name in ("plain20", "resnet20", "plain56", "resnet56")}
    ratios = {name: finding(name, "branch_ratio").median for name in ("plain20", "resnet20", "plain56", "resnet56", "resnet110")}
    assert medians["resnet20"] < medians["plain20"]
    assert medians["resnet56"] < medians["plain56"]
    assert ratios["resnet110"] < ratios["resnet56"] < ratios["resnet20"] < ratios["plain20"]


def test_lesions() -> None:
    for name in ("resnet56", "resnet110", "preact110", "densenet40"):
        found = finding(name, "lesion")
        assert median_of(found) < found.clean_error + 15
    assert median_of(finding("plain20", "lesion")) > 85
    assert median_of(finding("plain56", "lesion")) > 80


def test_several_lesions() -> None:
    def medians(name: str) -> dict[int, float]:
        found = finding(name, "lesion_many")
        return dict(zip(found.values, map(statistics.median, found.error.tolist()), strict=True))

    for name, counts in (("resnet110", (1, 5, 10, 20)), ("preact110", (1, 5, 10, 20)), ("resnet56", (1, 2, 5, 10))):
        assert medians(name)[counts[0]] < medians(name)[counts[1]] < medians(name)[counts[2]] < medians(name)[counts[3]]
    assert min(medians("plain20").values()) > 85


def test_plain_networks_guess_after_one_deletion_and_residual_ones_lose_step_by_step() -> None:
    said(
        "Plain networks guess, or nearly, after one.",
        "Residual networks lose their accuracy step by step, the deeper one later.",
        page="lecture/ensemble.md",
    )
    for kind, steps in (("lesion_many", (1, 2, 3, 5)), ("reorder", (1, 4))):
        for name in ("plain20", "plain56"):
            found = finding(name, kind)
            assert found.error[0].mean() > 85
        rows = {name: finding(name, kind) for name in ("resnet20", "resnet56")}
        means = {name: [float(found.error[found.values.index(k)].mean()) for k in steps] for name, found in rows.items()}
        assert all(before < after for each in means.values() for before, after in pairwise(each))
        assert all(deep < shallow for deep, shallow in zip(means["resnet56"], means["resnet20"], strict=True))


def test_longer_trainings_close_most_of_the_gap() -> None:
    said(
        "This longer training, on all images and with a weight decay of 5e-4, closes most of the gap, but not all",
        "from epoch 8 on it is the largest of the four (in the [short trainings](vanishing-gradients.md) it is the smallest)",
        "13 times as many images as in the short trainings",
        page="lecture/degradation.md",
    )
    names = ("long_trainings", "degradation")
    runs, short = (json.loads((DOCS / "results" / f"{name}.json").read_text())["runs"] for name in names)
    long = {name: runs[f"cifar_{name}-seed=0"] for name in FOUR}
    assert len({json.dumps(run["recipe"], sort_keys=True) for run in long.values()}) == 1
    seen = [run["iterations"] * run["recipe"]["batch_size"] for run in (long["plain56"], short["cifar_plain56-seed=0"])]
    assert round(seen[0] / seen[1]) == 13
    errors = [[each[f"cifar_{name}-seed=0"]["train_error"] for name in ("plain20", "plain56")] for each in (runs, short)]
    assert 0 < errors[0][1] - errors[0][0] < (errors[1][1] - errors[1][0]) / 4
    assert long["resnet56"]["train_error"] < long["resnet20"]["train_error"]
    norms = {name: [record["gradient_norm"] for record in run["log"] if record["epoch"] >= 8] for name, run in long.items()}
    assert len(norms["plain56"]) == 17
    assert all(own == max(all_four) for own, *all_four in zip(norms["plain56"], *norms.values(), strict=True))
    assert {run["recipe"]["weight_decay"] for run in long.values()} == {5e-4}


def test_the_recipe_of_the_long_trainings_serves_the_deep_plain_network() -> None:
    said("Both losses are lowest with a rate of", "recipe of the long trainings", page="lecture/degradation.md")
    runs = json.loads((DOCS / "results" / "pilot.json").read_text())["runs"]
    plain = [run for name, run in runs.items() if name.startswith("cifar_plain56-")]
    long = json.loads((DOCS / "results" / "long_trainings.json").read_text())["runs"]["cifar_plain56-seed=0"]["recipe"]
    assert len(plain) == 6
    for loss in (lambda run: run["train_loss"], lambda run: run["log"][-1]["loss"]):
        best = min(plain, key=loss)["recipe"]
        assert (best["lr"], best["weight_decay"]) == (long["lr"], long["weight_decay"])


def test_residual_networks_are_nowhere_slower_and_three_seeds_have_each_rate() -> None:
    said(
        "and at none is it slower with every seed",
        "(three learning rates with 20 layers, two with 56)",
        page="lecture/convergence.md",
    )
    runs = json.loads((DOCS / "results" / "degradation.json").read_text())["runs"]
    for depth, rates in ((20, ("", "-lr=0.05", "-lr=0.2")), (56, ("", "-lr=0.05"))):
        same = {
            name: [[runs[f"cifar_{name}{depth}{rate}-seed={seed}"] for seed in range(3)] for rate in rates]
            for name in ("plain", "resnet")
        }
        for level in range(80, 0, -5):  # at the rate 0.1
            plain, residual = (
                [[record["epoch"] for record in run["log"] if record["train_error"] <= level] for run in same[name][0]]
                for name in ("plain", "resnet")
            )
            if all(plain) and all(residual):
                assert min(map(min, residual)) <= max(map(min, plain))


def test_where_the_short_trainings_have_their_gradients() -> None:
    said(
        "It is smallest in plain56, but does not show in which layers.",
        "it is as small in resnet56, which does not [degrade](degradation.md), as in plain56, which does.",
        page="lecture/vanishing-gradients.md",
    )
    runs = json.loads((DOCS / "results" / "degradation.json").read_text())["runs"]
    later = {name: [[r["gradient_norm"] for r in runs[f"cifar_{name}-seed={i}"]["log"][1:]] for i in range(3)] for name in FOUR}
    for epoch in range(14):
        others = min(log[epoch] for name in FOUR if name != "plain56" for log in later[name])
        assert max(log[epoch] for log in later["plain56"]) < others
    after = {name: statistics.mean(log[-1][1] for log in results("first_steps")[f"scratch, {name}"]) for name in FOUR}
    assert after["resnet56"] < after["plain56"] < 0.5


def test_training_makes_the_branches_of_the_deep_network_small_and_sparse() -> None:
    said(
        "a third of their outputs are near zero",
        "Plain blocks have few near-zero outputs at both depths",
        page="lecture/sparsity.md",
    )
    said("the ratio has risen with 20 layers, and fallen with 56", page="lecture/residual-mapping.md")
    found = results("sparsity")
    before = {name: [start["ratio_median"] for start in found[name]["untrained"]] for name in ("resnet20", "resnet56")}
    assert found["resnet56"]["trained"]["ratio_median"] < min(before["resnet56"])
    assert found["resnet20"]["trained"]["ratio_median"] > max(before["resnet20"])
    small = {name: found[name]["trained"]["small_median"] for name in FOUR}
    assert small["resnet56"] == pytest.approx(33, abs=1)
    assert max(small["plain20"], small["plain56"]) < 8


def test_parameters_do_not_degrade() -> None:
    said("So it is not the number of parameters that makes plain56 degrade", page="lecture/article.md")
    runs = json.loads((DOCS / "results" / "degradation.json").read_text())["runs"]
    wide = runs["cifar_plain20-widths=[29,58,116]-seed=0"]
    nets = resnetlib.build(spec_from_dict(wide["network"])), resnetlib.create_model("cifar_plain56")
    parameters = [sum(p.numel() for p in net.parameters()) for net in nets]
    assert parameters[0] > parameters[1]
    assert wide["recipe"] == runs["cifar_plain56-seed=0"]["recipe"]
    assert all(
        wide["train_error"] < runs[f"cifar_{name}-seed={seed}"]["train_error"]
        for name in ("plain20", "plain56")
        for seed in range(3)
    )


def test_unneeded_blocks_are_not_small() -> None:
    found = json.loads((DOCS / "results" / "unneeded_layers.json").read_text())["results"]
    two, ten = found["resnet32, two classes"], found["resnet32, ten classes"]
    for easy, hard in zip(two["trained"], ten["trained"], strict=True):
        for i in range(11, 15):
            assert easy["changed"][i] < 3 < hard["changed"][i]
            assert easy["ratio"][i] > 0.3


def test_shrunk_branches() -> None:
    def changed(name: str) -> float:
        found = finding(name, "survival")
        return statistics.median(found.changed[:, found.values.index(0.0)].tolist())

    assert max(changed(name) for name in ("resnet56", "resnet110", "preact110")) < changed("resnet20") < changed("plain20")


def test_swaps() -> None:
    found = finding("resnet110", "reorder")
    few = statistics.median(found.error[found.values.index(1)].tolist())
    many = statistics.median(found.error[found.values.index(16)].tolist())
    assert few < found.clean_error + 10 < many
    assert finding("plain20", "reorder").error[:, 0].min() > 60


def test_paths() -> None:
    for name in ("resnet56", "resnet110", "preact110", "densenet40"):
        found = finding(name, "paths")
        assert found.mean_length < found.mean_length_of_all


def test_short_paths_carry_the_gradient_of_a_deep_network() -> None:
    said(
        "With 56 layers each branch more than halves the gradient",
        "the longer half of all paths contributes less than 5 %",
        "With 20 layers a branch more makes the gradient larger",
        page="lecture/paths.md",
    )
    deep, shallow = (results("path_lengths")[name]["trained"] for name in ("resnet56", "resnet20"))
    assert deep["factor_interval"][1] < 0.5
    assert shallow["factor_interval"][0] > 1
    shares = dict(zip(deep["lengths"], deep["share"], strict=True))
    assert sum(share for length, share in shares.items() if length > deep["forks"] / 2) < 0.05


def test_shattered_gradients() -> None:
    def middle(name: str) -> float:
        return statistics.median(each["autocorrelation_at_lag_1"] for each in results("beginnings")[name])

    plain, residual = middle("plain56, norm batch"), middle("resnet56, norm batch")
    assert abs(plain) < 0.1 < 0.5 < residual


def test_gradients_after_training() -> None:
    names = ("plain20", "resnet20", "plain56", "resnet56", "resnet110", "preact110")
    assert min(float(finding(name, "autocorrelation").by_line[:, 1].mean()) for name in names) > 0.9


def test_the_toy_of_shattered_gradients() -> None:
    found = load_result(DOCS / "results" / "shattered_toy.json")
    assert isinstance(found, ToyAutocorrelation)
    plain, residual, small = found.acf[:, :, 1].tolist()
    assert max(abs(plain[-1]), abs(plain[-2])) < 0.1 < 0.6 < min(residual) < min(small)


FOUR = ("plain20", "resnet20", "plain56", "resnet56")


def of_seeds(name: str, kind: str) -> list[Any]:
    return [load_result(DOCS / "results" / "seeds" / f"{name}-{seed}" / f"{kind}.json") for seed in (0, 1, 2)]


@pytest.mark.parametrize("kind", ["input_noise", "weight_noise", "branch_noise"])
def test_noise_is_relative_to_what_a_network_has_above_guessing(kind: str) -> None:
    size = {"input_noise": 0.2, "weight_noise": 0.1, "branch_noise": 1.0}[kind]
    for name in FOUR:
        lost = []
        for found in of_seeds(name, kind):
            drop = (found.drop.mean(0) if kind == "branch_noise" else found.drop)[found.values.index(size)]
            lost.append(100 * float(drop) / (found.chance_error - found.clean_error))
        expected = f"{statistics.mean(lost):.1f} ({min(lost):.1f} to {max(lost):.1f})".replace("-", "\N{MINUS SIGN}")
        assert numbers()[f"{kind}_{name}"] == expected


def test_lesions_and_residuals_are_medians_over_blocks() -> None:
    for name in FOUR:
        costs = [median_of(found) - found.clean_error for found in of_seeds(name, "lesion")]
        assert numbers()[f"deleted_{name}"] == f"{statistics.mean(costs):.1f} ({min(costs):.1f} to {max(costs):.1f})"
        medians = [found.ratio[~found.ratio.isnan()].quantile(0.5).item() for found in of_seeds(name, "branch_ratio")]
        assert numbers()[f"ratio_{name}"] == f"{statistics.mean(medians):.2f} ({min(medians):.2f} to {max(medians):.2f})"


def test_regularization() -> None:
    def mean(name: str, key: str) -> float:
        return statistics.mean(results("regularization")[name][key])

    ways = [f"resnet20, {way}" for way in ("neither", "dropout", "stochastic depth")]
    gaps, tests = ([mean(name, key) for name in (*ways, "plain20, neither")] for key in ("gap", "test_error"))
    assert gaps[0] > max(gaps[1:])
    assert tests[0] == min(tests)


def test_dropout_on_all_images() -> None:
    said("since the training error rises. Whether it changes the test error is open", page="lecture/dropout.md")
    measured = json.loads((DOCS / "results" / "regularization_all_images.json").read_text())
    without = json.loads((DOCS / "results" / "long_trainings.json").read_text())["runs"]["cifar_resnet20-seed=0"]
    sizes_of_folders = {"train_size", "test_size", "test_resize"}
    differs = {key for key, value in measured["recipe"].items() if value != without["recipe"][key]}
    assert differs <= sizes_of_folders
    assert measured["images"] == without["images"] == 50_000
    assert measured["results"]["resnet20, dropout"]["train_error"][0] > without["train_error"]
    assert (numbers()["all_images_narrows"], numbers()["all_images_helps"]) == ("holds", "is open")


@pytest.mark.parametrize("name", ["plain20", "resnet20", "plain56", "resnet56"])
def test_the_surfaces_are_whole(name: str) -> None:
    found = results("surfaces")[name]
    planes, running = torch.tensor(found["planes"]), torch.tensor(found["running"])
    middle = len(found["x"]) // 2
    assert planes.shape == (3, 17, 17)
    assert planes.isfinite().all()
    assert running.isfinite().all()
    assert planes[:, middle, middle].tolist() == pytest.approx([found["loss"]] * 3)
    assert running.max() > 2 * planes.max()
    for plane in planes:  # losses never fall on the way out along an axis, but for what bf16 rounds
        for line in (plane[middle], plane[:, middle]):
            assert (line[middle:].diff() > -0.01).all()
            assert (line[: middle + 1].flip(0).diff() > -0.01).all()
    assert [each["iteration"] for each in found["curvature"]] == [3120, 6240, 9360, 12480, 15600]
    assert all(each["smallest"] < 0 < each["largest"] for each in found["curvature"])
    assert found["path"]["iterations"] == [*range(780, 15601, 780)]
    assert len(found["path"]["coordinates"]) == 19  # relative to the last one


def minima_of(plane: list[list[float]]) -> list[tuple[int, int]]:
    """Return the points inside a plane, from its middle, whose loss is lower than that of all eight neighbors."""
    loss = torch.tensor(plane)
    patches = loss.unfold(0, 3, 1).unfold(1, 3, 1).flatten(2)
    lowest = (patches.argmin(2) == 4).nonzero() + 1 - len(plane) // 2
    return [(int(row), int(column)) for row, column in lowest]


def test_loss_surfaces() -> None:
    said(
        "near the weights the loss rises a little less around the residual network, and far away it rises more",
        "every plane is a bowl with one minimum, at the weights or beside them",
        "two around plain56 and one around plain20, at losses above 3, and none around the residual networks",
        "they are steeper around the residual network",
        page="lecture/loss-surface.md",
    )
    assert [numbers()[f"flatter_56_at_{distance}"] for distance in ("0_25", "1_25")] == ["holds", "does not hold"]
    for found in results("surfaces").values():
        for plane in found["planes"]:
            [(row, column)] = minima_of(plane)
            assert max(abs(row), abs(column)) <= 1
    running = {name: results("surfaces")[name]["running"] for name in FOUR}
    further = {name: [point for point in minima_of(plane) if point != (0, 0)] for name, plane in running.items()}
    assert {name: len(points) for name, points in further.items()} == {"plain20": 1, "resnet20": 0, "plain56": 2, "resnet56": 0}
    assert all(running[name][row + 8][column + 8] > 3 for name, points in further.items() for row, column in points)
    plain, residual = (results("surfaces")[name] for name in ("plain56", "resnet56"))
    first, last = (plain["curvature"][i]["largest"] / residual["curvature"][i]["largest"] for i in (0, -1))
    assert first < 1.1
    assert last > 5
    assert torch.tensor(residual["running"]).max() > 2 * torch.tensor(plain["running"]).max()
    smooth = [torch.tensor(found["planes"]).max() for found in results("surfaces").values()]
    assert max(smooth) < 6


def test_residual_networks_gain_more_from_augmentation() -> None:
    said("Augmentation gives the residual network more, not less.", "learns every training image by heart", page="lecture/noise.md")
    without = json.loads((DOCS / "results" / "augmentation.json").read_text())["runs"]
    short = json.loads((DOCS / "results" / "degradation.json").read_text())["runs"]
    for name, run in without.items():
        differs = {key for key, value in run["recipe"].items() if value != short[name]["recipe"][key]}
        assert differs <= {"augmentation", "train_size", "test_size", "test_resize"}
        assert run["network"] == short[name]["network"]
    assert all(without[f"cifar_resnet20-seed={seed}"]["train_error"] < 0.01 for seed in range(3))


def test_the_error_of_plain56_falls_steadily_in_training_mode() -> None:
    said("In training mode the error of plain56 falls steadily", page="lecture/degradation.md")
    log = json.loads((DOCS / "results" / "long_trainings.json").read_text())["runs"]["cifar_plain56-seed=0"]["log"]
    assert all(before["error"] > after["error"] for before, after in pairwise(log))
    worst = max(log[2:], key=lambda record: record["train_error"])
    assert worst["epoch"] == 20


def test_networks_trained_to_the_end() -> None:
    names = ("resnet20", "trained20", "resnet56", "trained56")
    stds, ratios = ([finding(name, key).median for name in names] for key in ("response_std", "branch_ratio"))
    assert stds[3] < 0.75 * stds[1]
    assert max(ratios[2:]) < ratios[1] < ratios[0]  # of 56 layers, the networks of 40 and of 200 epochs are alike
    assert abs(ratios[3] - ratios[2]) < 0.01


@pytest.mark.parametrize(
    ("name", "sentences", "bound"),
    [
        ("landscape_speed", "{} as fast in fp32 and {} in bf16;|{} in fp32 and {} in bf16, after|loss-landscapes {}", 1e-2),
        (
            "landscape_speed_amx",
            "{} in fp32 and {} in bf16, compiled {} in fp32 and {} in bf16 (`results/landscape_speed_amx.json`)",
            2e-2,
        ),
    ],
)
def test_the_speed_of_a_landscape(name: str, sentences: str, bound: float) -> None:
    rows = results(name)
    over = [f"{rows[label]['published_cpu_seconds_over_these']:.1f} times" for label in (*OURS, "loss-landscapes")]
    said(*sentences.format(*over).split("|"), page="analysis/landscape.md")
    for label, row in rows.items():
        assert row["largest_deviation"] < (bound if "bf16" in label else 1e-5)


def test_training_moves_low_level_features_of_both_families_apart() -> None:
    said(
        "Training lowers $R^2$ in both residual networks, and raises it in both plain ones.",
        "Untrained networks have the same order",
        "in all five networks",
        page="lecture/feature-reuse.md",
    )
    found = results("probes")
    last = {name: [start["r2"][-1] for start in each["untrained"]] for name, each in found.items()}
    for depth in (20, 56):
        plain, residual = f"plain{depth}", f"resnet{depth}"
        assert max(last[plain]) < min(last[residual])
        assert found[plain]["trained"]["r2_interval"][-1][0] > max(last[plain])
        assert found[residual]["trained"]["r2_interval"][-1][1] < min(last[residual])
    assert all(each["trained"]["accuracy"][-1] > each["trained"]["accuracy"][0] for each in found.values())


def test_a_dense_network_keeps_low_level_features() -> None:
    said("its $R^2$ does not fall", page="lecture/feature-reuse.md")
    found = results("probes")["densenet40"]["trained"]
    assert found["r2"][-1] > max(found["r2"]) - 0.01
    assert found["accuracy_interval"][-1][0] > found["accuracy_interval"][0][1]


def test_what_dense_layers_read() -> None:
    said(
        "layers of the second and third block read their block's input less than other sources",
        "the classifier reads the newest features most",
        page="lecture/feature-reuse.md",
    )
    blocks = json.loads((DOCS / "results" / "dense_reuse.json").read_text())["trained"]
    for block in blocks[1:]:
        assert all(row[0] < statistics.mean(row[1:]) for row in block[1:])
    classifier = blocks[2][-1]
    assert max(classifier[:6]) < min(classifier[-3:])


def test_how_deep_networks_begin_to_learn() -> None:
    said("With batch norm alone the mean loss rises with every step of depth", page="lecture/before-2015.md")
    found = results("before_2015")
    losses = {
        depth: min(statistics.mean(found[f"relu, He, batch norm, {depth} layers, rate {r}"]) for r in (0.01, 0.1))
        for depth in (8, 20, 32, 56)
    }
    assert losses[8] < losses[20] < losses[32] < losses[56]
    assert numbers()["deeper_relu_over_tanh"] == "does not hold"
