"""The table of evidence says what the findings say, and the claims that it calls true are true of them."""

import json
import statistics
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from resnetlib.analysis import ToyAutocorrelation, load_result

DOCS = Path(__file__).parents[1] / "docs"
WHY = DOCS / "results" / "why"
OURS = [f"resnetlib, {precision}{suffix}" for suffix in ("", ", compiled") for precision in ("fp32", "bf16")]
WAYS = ("deepened", "shallow", "deep, from scratch")


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
    relus = max(finding("resnet56", "residual_decomposition").deviation)
    plain = min(max(finding(name, "residual_decomposition").deviation_with_out) for name in ("plain20", "plain56"))
    assert max(exact.values()) < 1e-5
    assert max(with_relus.values()) < 1e-5
    assert exact["densenet40"] == 0
    assert plain > 0.5
    said(
        f"deviates by {exact['preact110']:.0e} of the largest feature in preact110, and by nothing in densenet40",
        f"by {relus:.2f} in resnet56, and with the relus as terms by {with_relus['resnet56']:.0e}",
    )


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
    dense = finding("densenet40", "gradient_decomposition")
    later = min(float(dense.survival[start]) for start, _ in dense.chains[1:])
    said(f"1.00 of it arrives in preact110, {later:.2f} and more in densenet40's later stages")
    said(f"{first('resnet56'):.2f} through the relus of resnet56's first stage, 0.00 in plain56")


def test_gradients_at_the_beginning() -> None:
    def middle(name: str) -> float:
        return statistics.median(each["gradient_first_to_last"] for each in results("beginnings")[name])

    assert middle("plain56, norm none") < middle("plain20, norm none") < 1
    assert middle("plain56, norm batch") > 100
    said(
        f"without norms {middle('plain20, norm none'):.2f} in plain20 and {middle('plain56, norm none'):.2f} in plain56",
        f"with batch norm {middle('plain56, norm batch'):,.0f} in plain56 and {middle('resnet56, norm batch'):.0f} in resnet56",
        f"after training {finding('plain56', 'gradient_flow').first_to_last:.1f} and "
        f"{finding('resnet56', 'gradient_flow').first_to_last:.1f}",
    )


def test_deeper_copies() -> None:
    residual, plain = (results("deepening")[f"cifar_{kind}20.resnetlib_c10"] for kind in ("resnet", "plain"))
    assert residual["copy"]["largest_difference_of_logits"] == 0
    assert plain["copy"]["other_predictions"] == 0
    said(f"by 0 (residual) and by {plain['copy']['largest_difference_of_logits']:.1e} (plain) at most")
    for kind, found in (("residual", residual), ("plain", plain)):
        train, test = ([found["errors"][way][key] for way in WAYS] for key in ("train_error", "test_error"))
        assert train[0] < train[2] / 2
        said(f"{kind}: {train[0]:.2f} % deepened, {train[1]:.2f} % not deepened, {train[2]:.2f} % from scratch")
        row = " | ".join(f"{one:.2f} %, {other:.2f} %" for one, other in zip(train, test, strict=True))
        said(f"| {kind} | {row} |", page="analysis/deepening.md")
    after_an_epoch = {way: residual["logs"][way][0]["train_error"] - plain["logs"][way][0]["train_error"] for way in WAYS}
    assert after_an_epoch["deepened"] < -30 < after_an_epoch["shallow"]


def test_small_residuals() -> None:
    medians = {name: finding(name, "response_std").median for name in ("plain20", "resnet20", "plain56", "resnet56")}
    ratios = {name: finding(name, "branch_ratio").median for name in ("plain20", "resnet20", "plain56", "resnet56", "resnet110")}
    assert medians["resnet20"] < medians["plain20"]
    assert medians["resnet56"] < medians["plain56"]
    assert ratios["resnet110"] < ratios["resnet56"] < ratios["resnet20"] < ratios["plain20"]
    said(
        ", ".join(f"{name} {value:.3f}" for name, value in medians.items()),
        ", ".join(f"{name} {value:.2f}" for name, value in ratios.items()),
    )


def test_lesions() -> None:
    cells = []
    for name in ("plain20", "plain56", "resnet20", "resnet56", "resnet110", "preact110", "densenet40"):
        found = finding(name, "lesion")
        cells.append(f"{name} {found.clean_error:.1f} % → {median_of(found):.1f} %")
    said("; ".join(cells))
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
        errors = ", ".join(f"{medians(name)[count]:.1f}" for count in counts)
        said(f"{name} {errors} %", page="analysis/lesion.md")
        assert medians(name)[counts[0]] < medians(name)[counts[1]] < medians(name)[counts[2]] < medians(name)[counts[3]]
    assert min(medians("plain20").values()) > 85


def test_shrunk_branches() -> None:
    def changed(name: str, factor: float) -> float:
        found = finding(name, "survival")
        return statistics.median(found.changed[:, found.values.index(factor)].tolist())

    for name in ("plain20", "resnet20", "resnet56", "resnet110", "preact110"):
        said(f"{name} {changed(name, 0.5):.1f} % and {changed(name, 0.0):.1f} %", page="analysis/lesion.md")


def test_swaps() -> None:
    found = finding("resnet110", "reorder")
    few = statistics.median(found.error[found.values.index(1)].tolist())
    many = statistics.median(found.error[found.values.index(16)].tolist())
    said(f"from {found.clean_error:.1f} % to {few:.1f} % with one pair, and to {many:.1f} % with 16", page="analysis/lesion.md")
    assert finding("plain20", "reorder").error[:, 0].min() > 60


def test_paths() -> None:
    for name in ("resnet56", "resnet110", "preact110", "densenet40"):
        found = finding(name, "paths")
        first, last = found.effective(0.95)
        assert found.mean_length < found.mean_length_of_all
        said(
            f"{name}: {first} to {last} of {found.forks}, {found.share_of_paths(first, last):.2%} of the paths, "
            f"mean length {found.mean_length:.1f} of {found.mean_length_of_all:.1f}"
        )


def test_shattered_gradients() -> None:
    def middle(name: str) -> float:
        return statistics.median(each["autocorrelation_at_lag_1"] for each in results("beginnings")[name])

    plain, residual = middle("plain56, norm batch"), middle("resnet56, norm batch")
    assert abs(plain) < 0.1 < 0.5 < residual
    said(f"at the beginning {plain:.2f} in plain56 and {residual:.2f} in resnet56")


def test_gradients_after_training() -> None:
    names = ("plain20", "resnet20", "plain56", "resnet56", "resnet110", "preact110")
    ranks = ", ".join(f"{name} {finding(name, 'effective_rank').relative_stable_rank:.2f}" for name in names)
    least = min(float(finding(name, "autocorrelation").by_line[:, 1].mean()) for name in names)
    said(f"{least:.2f} or more in all", ranks, page="analysis/shattered.md")


def test_the_toy_of_shattered_gradients() -> None:
    found = load_result(DOCS / "results" / "shattered_toy.json")
    assert isinstance(found, ToyAutocorrelation)
    plain, residual, small = found.acf[:, :, 1].tolist()
    assert max(abs(plain[-1]), abs(plain[-2])) < 0.1 < 0.6 < min(residual) < min(small)
    said(*(", ".join(f"{value:.2f}" for value in row) for row in (plain, residual, small)), page="analysis/shattered.md")


def test_noise() -> None:
    rows = []
    for name in ("plain20", "resnet20", "resnet56"):
        found = finding(name, "input_noise")
        drops = ", ".join(f"{value:.1f}" for value in (found.drop).tolist())
        rows.append(f"{name} {found.clean_accuracy:.1f} %: {drops}")
    said(*rows)
    worst = {name: float(finding(name, "branch_noise").mean_accuracy.min()) for name in ("plain20", "resnet20")}
    assert worst["plain20"] < worst["resnet20"]
    said(f"noise as large as one branch leaves {worst['plain20']:.1f} % in plain20 and {worst['resnet20']:.1f} % in resnet20")


SEEDS = (0, 1, 2)
FOUR = ("plain20", "resnet20", "plain56", "resnet56")


def losses(name: str, kind: str, seed: int) -> list[float]:
    """Return the points of accuracy that noise takes, for each size of it; of noise on branches, in the mean of the blocks."""
    found: Any = load_result(DOCS / "results" / "seeds" / f"{name}-{seed}" / f"{kind}.json")
    return list((found.drop.mean(0) if kind == "branch_noise" else found.drop).tolist())


@pytest.mark.parametrize("kind", ["input_noise", "weight_noise", "branch_noise"])
def test_noise_of_three_seeds(kind: str) -> None:
    for name in FOUR:
        sizes = zip(*(losses(name, kind, seed) for seed in SEEDS), strict=True)
        cells = [f"{statistics.mean(each):.1f} ({min(each):.1f} to {max(each):.1f})" for each in sizes]
        if name.endswith("20") and kind == "input_noise":
            said(f"{name} loses {cells[1].split()[0]} at 0.2" if name == "plain20" else f"{name} {cells[1].split()[0]}")
        said(f"| {name}, {kind.removesuffix('_noise')} | {' | '.join(cells)} |", page="analysis/noise.md")


def test_lesions_and_residuals_of_three_seeds() -> None:
    def of(name: str, kind: str) -> list[Any]:
        return [load_result(DOCS / "results" / "seeds" / f"{name}-{seed}" / f"{kind}.json") for seed in SEEDS]

    lesions, ratios = [], []
    for name in FOUR:
        jumps = [median_of(found) - found.clean_error for found in of(name, "lesion")]
        lesions.append(f"{name} {min(jumps):.1f} to {max(jumps):.1f}")
        medians = [found.median for found in of(name, "branch_ratio")]
        ratios.append(f"{name} {min(medians):.2f} to {max(medians):.2f}")
    said("; ".join(lesions), page="analysis/lesion.md")
    said("; ".join(ratios), page="analysis/response.md")


def test_regularisation() -> None:
    def mean(name: str, key: str) -> float:
        return statistics.mean(results("regularisation")[name][key])

    for name, found in results("regularisation").items():
        cells = (f"{statistics.mean(v):.1f} % ({min(v):.1f} to {max(v):.1f})" for v in found.values())
        said(f"| {name} | {' | '.join(cells)} |", page="analysis/regularisation.md")
    ways = [f"resnet20, {way}" for way in ("neither", "dropout", "stochastic depth")]
    gaps, tests = ([mean(name, key) for name in (*ways, "plain20, neither")] for key in ("gap", "test_error"))
    said(f"resnet20 {gaps[0]:.1f} %, with dropout {gaps[1]:.1f} %, with stochastic depth {gaps[2]:.1f} %; plain20 {gaps[3]:.1f} %")
    said(f"test errors {tests[0]:.1f} %, {tests[1]:.1f} %, {tests[2]:.1f} %; {tests[3]:.1f} %")
    assert gaps[0] > max(gaps[1:])
    assert tests[0] == min(tests)


@pytest.mark.parametrize("name", ["plain56", "resnet56"])
def test_the_landscape_is_whole(name: str) -> None:
    found = finding(name, "landscape")
    assert found.computed == 1
    assert min(found.loss.shape) >= 25
    assert found.images >= 2000
    said(f"{name}: {found.loss_at_centre:.2f} at the weights", f"{found.loss.max():,.0f}", page="analysis/landscape.md")


def test_recalibrated_landscapes() -> None:
    residual, plain = (finding(name, "landscape_recalibrated") for name in ("resnet56", "plain56"))
    assert all((found.computed, found.batch_norm) == (1, "recalibrated") for found in (residual, plain))
    assert finding("plain56", "landscape").loss.max() > 1000
    said(f"largest losses are {residual.loss.max():.1f} and {plain.loss.max():.1f}", page="analysis/landscape.md")
    for found in (residual, plain):  # losses never fall on the way out along an axis, but for what bf16 rounds
        middle = len(found.x) // 2
        for line in (found.loss[middle], found.loss[:, middle]):
            assert (line[middle:].diff() > -0.01).all()
            assert (line[: middle + 1].flip(0).diff() > -0.01).all()


def test_networks_trained_to_the_end() -> None:
    names = ("resnet20", "trained20", "resnet56", "trained56")

    def row(label: str, cells: list[str]) -> str:
        return f"| {label} | {' | '.join(cells)} |"

    def paths(name: str) -> str:
        found = finding(name, "paths")
        first, last = found.effective(0.95)
        return f"{first} to {last}, {100 * found.share_of_paths(first, last):.0f} %"

    def noise(name: str) -> float:
        found = finding(name, "input_noise")
        return float(found.drop[found.values.index(0.2)])

    lesions = [finding(name, "lesion") for name in names]
    stds, ratios = ([finding(name, key).median for name in names] for key in ("response_std", "branch_ratio"))
    said(
        row("error", [f"{found.clean_error:.1f} %" for found in lesions]),
        row("median error without one block", [f"{median_of(found):.1f} %" for found in lesions]),
        row("median std of responses", [f"{std:.2f}" for std in stds]),
        row(r"median $\lVert F\rVert / \lVert x\rVert$", [f"{ratio:.2f}" for ratio in ratios]),
        row("95 % of the gradient: branches of its paths, share of all paths", [paths(name) for name in names]),
        row("accuracy that noise of 0.2 on the input takes away", [f"{noise(name):.1f}" for name in names]),
    )
    assert stds[3] < 0.75 * stds[1]
    assert ratios[3] < ratios[2] < ratios[1] < ratios[0]
    running, recalibrated = (finding("trained56", name) for name in ("landscape", "landscape_recalibrated"))
    assert (running.computed, running.images, running.batch_norm) == (1, 2000, "running")
    assert (recalibrated.computed, recalibrated.images, recalibrated.batch_norm) == (1, 1000, "recalibrated")
    said(
        f"({running.loss_at_centre:.4f} at the weights; loss at most {running.loss.max():.0f} with running statistics, "
        f"{recalibrated.loss.max():.1f} with recalibrated ones)",
        page="analysis/landscape.md",
    )


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
