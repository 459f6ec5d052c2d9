"""The numbers on the lecture's pages, read from docs/results: {{ name }} on a page is an entry of `numbers()`.

One rule decides every verdict. The interval is the range over seeds of the difference that the claim is about (each network of one
side minus each of the other), or, where there is one training only, its 95 % bootstrap interval over images, and for loss surfaces
the range over planes. The claim holds if the whole interval lies on its side of zero, does not hold if it lies on the other side,
and is open if zero is inside.
"""

import json
import re
from collections.abc import Sequence
from functools import cache
from itertools import product, takewhile
from math import hypot, inf, isinf, log, log2, log10, sqrt
from pathlib import Path
from statistics import mean, median
from typing import Any

RESULTS = Path(__file__).parent / "results"
FOUR = ("plain20", "resnet20", "plain56", "resnet56")
VERDICTS = ("holds", "does not hold", "is open")
RATES = {20: (0.05, 0.1, 0.2), 56: (0.05, 0.1)}  # with which networks of these depths were trained
DISTANCES = (0.25, 0.5, 0.75, 1, 1.25)
DIGITS = {"weight_rms": 3, "weight_mean_abs": 3, "gamma": 2, "ratio": 2}
Interval = tuple[float, float]


@cache
def read(name: str) -> Any:
    return json.loads((RESULTS / f"{name}.json").read_text())


def verdict(*intervals: Sequence[float]) -> str:
    """Return whether a claim holds, given the intervals of all differences that it says are positive."""
    holds, fails, is_open = VERDICTS
    if all(low > 0 for low, _ in intervals):
        return holds
    return fails if any(high < 0 for _, high in intervals) else is_open


def between(larger: Sequence[float], smaller: Sequence[float]) -> Interval:
    """Return the range of the difference over all pairs of seeds."""
    return min(larger) - max(smaller), max(larger) - min(smaller)


def of_seeds(values: Sequence[float], digits: int = 1) -> str:
    """Return the mean and the range of several seeds; the value of one."""
    about = f" ({min(values):z.{digits}f} to {max(values):z.{digits}f})" if len(values) > 1 else ""
    return minus(f"{mean(values):z.{digits}f}{about}")


def span(interval: Sequence[float], digits: int = 1) -> str:
    return minus(f"{interval[0]:z.{digits}f} to {interval[1]:z.{digits}f}")


def minus(text: str) -> str:
    """Return a text of numbers with the minus sign of typography."""
    return text.replace("-", "\N{MINUS SIGN}")


def runs(name: str, rate: float = 0.1) -> list[dict[str, Any]]:
    """Return the short trainings of a network with a rate, one for each seed."""
    start = f"cifar_{name}-seed=" if rate == 0.1 else f"cifar_{name}-lr={rate}-seed="
    return [run for key, run in sorted(read("degradation")["runs"].items()) if key.startswith(start)]


def training() -> dict[str, str]:
    errors = {key: {name: [run[key] for run in runs(name)] for name in FOUR} for key in ("train_error", "test_error")}
    found = {f"{key}_{name}": of_seeds(values) for key, nets in errors.items() for name, values in nets.items()}
    train, test = errors["train_error"], errors["test_error"]
    plain, residual = between(train["plain56"], train["plain20"]), between(train["resnet20"], train["resnet56"])
    found |= {"plain_rise": span(plain), "residual_fall": span(residual), "degradation": verdict(plain)}
    low = {name: [run["train_error"] for run in runs(name, 0.05)] for name in FOUR}
    rise, fall = between(low["plain56"], low["plain20"]), between(low["resnet20"], low["resnet56"])
    found |= {"degradation_at_0_05": verdict(rise), "plain_rise_at_0_05": span(rise)}
    found |= {"no_degradation_at_0_05": verdict(fall), "residual_fall_at_0_05": span(fall)}
    found["deeper_trains_better"] = verdict(between(train["plain20"], train["plain56"]))
    command = runs("plain20")[0]["sessions"][0]["command"]
    found["curve_images"] = f"{int(command[command.index('--sample') + 1]):,}"
    found |= {"no_degradation": verdict(residual), "test_rise": span(between(test["plain56"], test["plain20"]))}
    found["not_overfitting"] = verdict(plain, between(test["plain56"], test["plain20"]))
    found["residual_test_fall"] = span(between(test["resnet20"], test["resnet56"]))
    found |= {f"spread_{name}": f"{max(test[name]) - min(test[name]):.1f}" for name in FOUR}
    for name in ("plain32", "resnet32", "plain44", "resnet44", "densenet40_k12"):
        found |= {f"{key}_{name}": of_seeds([run[key] for run in runs(name)]) for key in ("train_error", "test_error")}
    first = runs("plain20")[0]
    found |= {"epochs": str(len(first["log"])), "images": f"{first['images']:,}", "seeds": str(len(runs("plain20")))}

    in_training = {name: [run["log"][-1]["error"] for run in runs(name)] for name in FOUR}
    found["plain_rise_in_training"] = span(between(in_training["plain56"], in_training["plain20"]))
    no_norm = read("degradation")["runs"]
    for depth in (20, 56):
        found[f"no_norm_{depth}"] = f"{no_norm[f'cifar_plain{depth}-norm=none-lr=0.01-seed=0']['train_error']:.1f}"
    for name in FOUR:
        for epoch, where in ((0, "first"), (-1, "last")):
            found[f"norm_{where}_{name}"] = of_seeds([run["log"][epoch]["gradient_norm"] for run in runs(name)])
    few = read("regularization")["results"]
    for name, each in few.items():
        key = name.replace(", ", "_").replace(" ", "_")
        found |= {f"{measure}_{key}": of_seeds(values) for measure, values in each.items()}
    gaps = between(few["resnet20, neither"]["gap"], few["resnet20, dropout"]["gap"])
    gain = between(few["resnet20, neither"]["test_error"], few["resnet20, dropout"]["test_error"])
    fewer = between(few["plain20, neither"]["gap"], few["resnet20, neither"]["gap"])
    plain_gap = between(few["plain20, neither"]["gap"], few["plain20, dropout"]["gap"])
    plain_gain = between(few["plain20, neither"]["test_error"], few["plain20, dropout"]["test_error"])
    overfits = between(few["resnet20, neither"]["test_error"], few["resnet20, neither"]["train_error"])
    found |= {
        "overfits": verdict(overfits),
        "overfits_by": span(overfits),
        "dropout_narrows_plain": verdict(plain_gap),
        "dropout_gap_plain": span(plain_gap),
        "dropout_helps_plain": verdict(plain_gain),
        "dropout_test_rise_plain": span((-plain_gain[1], -plain_gain[0])),
        "dropout_narrows": verdict(gaps),
        "dropout_gap": span(gaps),
        "dropout_helps": verdict(gain),
        "dropout_gain": span(gain),
        "dropout_test_rise": span((-gain[1], -gain[0])),
    }
    found |= all_images_with_dropout()
    few_recipe = read("regularization")["recipe"]
    found |= {"few_epochs": str(few_recipe["epochs"]), "few_decay": short(few_recipe["weight_decay"])}
    found |= {"few_dropout": str(read("regularization")["dropout"]), "few_depth": str(read("regularization")["stochastic_depth"])}
    return found | {"skips_narrow": verdict(fewer), "skips_gap": span(fewer), "few_images": f"{read('regularization')['images']:,}"}


def all_images_with_dropout() -> dict[str, str]:
    """Return errors of one training of resnet20 with dropout on all images, beside the one in the package."""
    measured = read("regularization_all_images")
    without = read("long_trainings")["runs"]["cifar_resnet20-seed=0"]
    dropped = {key: values[0] for key, values in measured["results"]["resnet20, dropout"].items()}
    (test, gap), (test_dropped, gap_dropped) = (
        (test := over_images(each["test_error"], 10_000), _less(test, over_images(each["train_error"], measured["images"])))
        for each in (without, dropped)
    )
    found = {f"all_images_{key}": f"{value:.1f}" for key, value in dropped.items()}
    found |= {f"all_images_{key}_neither": f"{without[key]:.1f}" for key in ("train_error", "test_error")}
    found["all_images_gap_neither"] = f"{without['test_error'] - without['train_error']:.1f}"
    gain, narrowed = _less(test, test_dropped), _less(gap, gap_dropped)
    found |= {"all_images_helps": verdict(gain), "all_images_gain": span(gain)}
    return found | {"all_images_narrows": verdict(narrowed), "all_images_narrowed": span(narrowed)}


def over_images(error: float, images: int) -> Interval:
    """Return the 95 % interval of an error in percent over images; for a share, the bootstrap's is the normal one."""
    half = 1.96 * sqrt(error * (100 - error) / images)
    return error - half, error + half


def _less(one: Interval, other: Interval) -> Interval:
    """Return the interval of a difference of two networks, from the ends of both intervals."""
    return one[0] - other[1], one[1] - other[0]


def convergence() -> dict[str, str]:
    """Thousands of images until a training error, with each rate, and with each network's best one."""
    found, at_each_rate, at_best = dict[str, str](), list[Interval](), list[Interval]()
    for depth in (20, 56):
        plain, residual = f"plain{depth}", f"resnet{depth}"
        reached = {(name, rate): images_until_levels(name, rate) for name in (plain, residual) for rate in RATES[depth]}
        level = min(set.intersection(*map(set, reached.values())))
        found[f"reach_level_{depth}"] = str(level)
        for rate in RATES[depth]:
            fewer = between(reached[plain, rate][level], reached[residual, rate][level])
            at_each_rate.append(fewer)
            key = f"{depth}_at_{rate}".replace(".", "_")
            found |= {f"faster_{key}": verdict(fewer), f"faster_by_{key}": span(fewer, 0)}
            for kind, name in (("plain", plain), ("resnet", residual)):
                found[f"reach_{kind}{key}"] = of_seeds(reached[name, rate][level], 0)
        best = {name: best_rate(name, RATES[depth]) for name in (plain, residual)}
        at_best.append(between(*(reached[item][level] for item in best.items())))
        found |= {f"best_rate_{name}": str(rate) for name, rate in best.items()} | {f"faster_{depth}_at_best": span(at_best[-1], 0)}
        for key, suffix in (("train_error", ""), ("error", "_in_training")):
            without, with_skips = (images_until_levels(name, 0.1, key) for name in (plain, residual))
            ahead = [between(without[level], with_skips[level])[0] > 0 for level in without if level in with_skips]
            found[f"faster_levels{suffix}_{depth}"] = f"{sum(ahead)} of {len(ahead)}"
    found |= {"faster": verdict(*at_each_rate), "faster_at_best": verdict(*at_best)}
    shallow_at, deep_at = (images_until_levels(name, 0.1) for name in ("plain20", "plain56"))
    level = min(deep_at)
    slower = between(deep_at[level], shallow_at[level])
    return found | {"slower_deep": verdict(slower), "slower_deep_by": span(slower, 0), "slower_level": str(level)}


def best_rate(name: str, rates: Sequence[float]) -> float:
    """Return the one of these rates with the lowest training loss, mean of the seeds."""
    return min(rates, key=lambda rate: mean(run["train_loss"] for run in runs(name, rate)))


def images_until_levels(name: str, rate: float, key: str = "train_error") -> dict[int, list[float]]:
    """Return the thousands of images until each training error from 80 % down that all seeds reach."""
    reached = {}
    for level in range(80, 0, -5):
        each = [[r["epoch"] * run["images"] / 1000 for r in run["log"] if r[key] <= level] for run in runs(name, rate)]
        if all(each):
            reached[level] = [min(images) for images in each]
    return reached


def signals() -> dict[str, str]:
    begin = read("beginnings")["results"]

    def ratios(name: str) -> list[float]:
        return [each["gradient_first_to_last"] for each in begin[name]]

    found = {f"begin_{name.replace(', norm ', '_')}": _range(ratios(name)) for name in begin}
    without = [(1 - max(ratios(name)), 1 - min(ratios(name))) for name in ("plain20, norm none", "plain56, norm none")]
    with_norm = [(1 - max(ratios(name)), 1 - min(ratios(name))) for name in ("plain20, norm batch", "plain56, norm batch")]
    found |= {"vanish_without": verdict(*without), "vanish_with": verdict(*with_norm)}
    for norm in ("batch", "none"):
        away = {kind: [abs(log10(each)) for each in ratios(f"{kind}56, norm {norm}")] for kind in ("plain", "resnet")}
        nearer = between(away["plain"], away["resnet"])
        found |= {f"nearer_{norm}": verdict(nearer), f"nearer_{norm}_by": span(nearer)}
        found[f"farther_{norm}_by"] = span((-nearer[1], -nearer[0]))
    for name in FOUR:
        later = [record["gradient_norm"] for run in runs(name) for record in run["log"][1:]]
        found[f"norm_later_{name}"] = f"{min(later):.1f} to {max(later):.1f}"
    steps = read("first_steps")["results"]
    last = steps["scratch, plain56"][0][-1][0]
    for name in FOUR:
        for i, where in ((0, "start"), (-1, "end")):
            found[f"settle_{where}_{name}"] = _range([log[i][1] for log in steps[f"scratch, {name}"]])
    after = {kind: [log[-1][1] for log in steps[f"scratch, {kind}56"]] for kind in ("plain", "resnet")}
    found |= {f"vanish_after_{kind}": verdict((1 - max(each), 1 - min(each))) for kind, each in after.items()}
    nearer = between(*([abs(log10(ratio)) for ratio in after[kind]] for kind in ("plain", "resnet")))
    found |= {"nearer_after": verdict(nearer), "nearer_after_by": span(nearer)}
    found |= {
        "settle_steps": str(last),
        "settle_batch": str(read("first_steps")["batch"]),
        "settle_test": str(read("first_steps")["test"]),
    }
    deep: dict[str, list[float]] = {}
    found["start_images"] = str(read("activations")["images"])
    for row in read("activations")["results"]:
        key = f"start_{row['family']}{row['depth']}_{row['activation']}_{row['start'].split()[0]}_{row['norm']}"
        found[key] = _range(row["gradient_first_to_last"])
        if row["family"] == "plain" and row["depth"] == 56 and row["norm"] == "none":
            deep[f"{row['activation']}, {row['start']}"] = [log10(each) for each in row["gradient_first_to_last"]]
    he, others = deep["relu, He"], {"sigmoid": "sigmoid, Xavier", "tanh": "tanh, Xavier", "gaussian": "relu, Gaussian of 0.01"}
    others |= {"xavier": "relu, Xavier"}
    found |= {f"he_keeps_more_than_{name}": verdict(between(he, deep[other])) for name, other in others.items()}
    sigmoids = [between(he, deep[f"sigmoid, {start}"]) for start in ("Gaussian of 0.01", "Xavier", "He")]
    found["he_keeps_more_than_any_sigmoid"] = verdict(*sigmoids)
    for name in ("resnet56", "preact110", "densenet40", "resnet20", "plain20", "plain56"):
        each = read(f"why/{name}/residual_decomposition")
        found[f"sum_{name}"] = short(max(each["deviation"]))
        found[f"sum_out_{name}"] = short(max(each["deviation_with_out"]))
        if name not in ("resnet20", "plain20"):
            found[f"survival_{name}"] = f"{read(f'why/{name}/gradient_decomposition')['survival']['data'][0]:.2f}"
    shattered = {name: [each["autocorrelation_at_lag_1"] for each in begin[f"{name}, norm batch"]] for name in FOUR}
    found |= {f"shattered_{name}": of_seeds(values, 2) for name, values in shattered.items()}
    less = between(shattered["resnet56"], shattered["plain56"])
    found |= {"not_shattered": verdict(less), "shattered_by": span(less, 2)}
    return found | {"line_points": str(read("beginnings")["points"])}


def short(x: float) -> str:
    """Return a number in few characters; tiny and huge ones as powers of ten."""
    if x == 0 or 1e-3 <= abs(x) < 1e5:
        return f"{x:,.0f}" if abs(x) >= 100 or x == 0 else f"{x:.2g}"
    digits, _, power = f"{x:.0e}".partition("e")
    return f"{digits} × 10" + str(int(power)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))  # noqa: RUF001


def _range(values: Sequence[float]) -> str:
    low, high = short(min(values)), short(max(values))
    return low if low == high else f"{low} to {high}"


def blocks() -> dict[str, str]:
    ratios: dict[str, list[float]] = {}
    pictures = {"seed_images": read("seeds/plain20-0/branch_ratio")["images"], "begin_images": read("beginnings")["images"]}
    for name in FOUR:
        each = [read(f"seeds/{name}-{seed}/branch_ratio")["ratio"]["data"] for seed in range(3)]
        ratios[name] = [median(x for x in map(float, one) if x == x) for one in each]
    found = {f"ratio_{name}": of_seeds(values, 2) for name, values in ratios.items()} | {k: str(v) for k, v in pictures.items()}
    smaller = between(ratios["plain20"], ratios["resnet20"]), between(ratios["plain56"], ratios["resnet56"])
    found |= {"small_residuals": verdict(*smaller), "smaller_20": span(smaller[0], 2), "smaller_56": span(smaller[1], 2)}
    deeper = between(ratios["resnet20"], ratios["resnet56"])
    found |= {"smaller_deeper": verdict(deeper), "deeper_by": span(deeper, 2)}
    before = {name: [each["branch_ratio"] for each in read("beginnings")["results"][f"{name}, norm batch"]] for name in FOUR}
    found |= {f"ratio_before_{name}": of_seeds(values, 2) for name, values in before.items()}
    shrunk = [between(before[name], ratios[name]) for name in ("resnet20", "resnet56")]
    found |= {f"made_small_alone_{depth}": verdict(each) for depth, each in zip((20, 56), shrunk, strict=True)}
    found |= {"made_small": verdict(*shrunk), "made_small_20": span(shrunk[0], 2), "made_small_56": span(shrunk[1], 3)}
    found |= {
        f"changed_by_training_{depth}": span(between(ratios[name], before[name]), 3)
        for depth, name in ((20, "resnet20"), (56, "resnet56"))
    }
    for name in FOUR:
        each = read(f"why/{name}/survival")
        at = each["values"].index(0.0)
        found[f"bypassed_{name}"] = f"{median(row[at] for row in each['changed']['data']):.0f}"
    costs = {}
    for name in FOUR:
        each = [read(f"seeds/{name}-{seed}/lesion") for seed in range(3)]
        costs[name] = [median(one["error"]["data"]) - one["clean_error"] for one in each]
    found |= {f"deleted_{name}": of_seeds(values) for name, values in costs.items()}
    cheap = between(costs["plain20"], costs["resnet20"]), between(costs["plain56"], costs["resnet56"])
    found |= {"deletable": verdict(*cheap), "deletable_20": span(cheap[0]), "deletable_56": span(cheap[1])}
    free = (-max(costs["resnet56"]), -min(costs["resnet56"]))
    least, most = read("lesions")["results"]["resnet56"]["trained"]["running"]["median_interval"]
    found |= {
        "free": verdict(free),
        "free_package": verdict((-most, -least)),
        "lesion_images": f"{read('lesions')['results']['plain20']['images']:,}",
        "calibrate": f"{read('lesions')['results']['plain20']['calibrate']:,}",
    }
    for name, each in read("lesions")["results"].items():
        running, recalibrated = (each["trained"][key] for key in ("running", "recalibrated"))
        found[f"recalibration_costs_{name}"] = f"{recalibrated['error'] - running['error']:.1f}"
        costs_of_blocks, without = running["cost"], [running["error"] + cost for cost in running["cost"]]
        cheaper = [after < before for before, after in zip(costs_of_blocks, recalibrated["cost"], strict=True)]
        found |= {
            f"dispensable_{name}": f"{sum(cost < 1 for cost in costs_of_blocks)} of {len(costs_of_blocks)}",
            f"surely_dispensable_{name}": str(sum(high < 1 for _, high in running["interval"])),
            f"lesion_errors_{name}": f"{min(without):.0f} to {max(without):.0f}",
            f"cheaper_recalibrated_{name}": f"{sum(cheaper)} of {len(cheaper)}",
        }
        for key in ("running", "recalibrated"):
            one = each["trained"][key]
            found[f"lesion_{key}_{name}"] = f"{one['median']:.1f} ({span(one['median_interval'])})"
            found[f"changed_{key}_{name}"] = f"{median(one['changed']):.0f}"
            found[f"changed_{key}_{name}_untrained"] = of_seeds([median(start[key]["changed"]) for start in each["untrained"]], 0)
    first_eight = read("lesions")["results"]["plain56"]["trained"]["recalibrated"]["cost"][:8]
    found["first_eight_recalibrated"] = span((min(first_eight), max(first_eight)), 0)
    sparse = read("sparsity")["results"]
    for name, each in sparse.items():
        for key in ("zeros", "small", "ratio"):
            digits, one = 2 if key == "ratio" else 1, each["trained"]
            found[f"{key}_{name}_package"] = f"{one[f'{key}_median']:.{digits}f} ({span(one[f'{key}_median_interval'], digits)})"
            found[f"{key}_{name}_untrained"] = of_seeds([start[f"{key}_median"] for start in each["untrained"]], digits)
        found[f"small_weights_{name}"] = f"{mean(each['trained']['small_weights']):.1f}"
        found[f"small_weights_{name}_untrained"] = of_seeds([mean(start["small_weights"]) for start in each["untrained"]])
        found[f"gamma_{name}"] = f"{mean(each['trained']['gamma']):.2f}"
        found[f"ratio_least_{name}_package"] = f"{min(x for x in each['trained']['ratio'] if x == x):.2f}"
    for depth in (20, 56):
        one, other = (sparse[f"{kind}{depth}"]["trained"]["zeros_median_interval"] for kind in ("resnet", "plain"))
        found[f"sparser_{depth}"] = verdict((one[0] - other[1], one[1] - other[0]))
        for kind in ("plain", "resnet"):
            starts = [start["ratio_median"] for start in sparse[f"{kind}{depth}"]["untrained"]]
            low, high = sparse[f"{kind}{depth}"]["trained"]["ratio_median_interval"]
            found[f"shrinks_{kind}{depth}"] = verdict((min(starts) - high, max(starts) - low))
    for name in ("plain20", "resnet20"):
        zeros = mean(start["zeros_median"] for start in sparse[name]["untrained"])
        added = sparse[name]["trained"]["zeros_median"] - zeros
        found |= {f"zeros_added_{name}": minus(f"{added:.1f}"), f"zeros_lost_{name}": minus(f"{-added:.1f}")}
    for name, each in read("path_lengths")["results"].items():
        one = each["trained"]
        found[f"path_length_{name}"] = f"{one['mean_length']:.2f} ({span(one['mean_length_interval'], 2)})"
        found[f"path_factor_{name}"] = f"{one['factor']:.2f} ({span(one['factor_interval'], 2)})"
        found[f"path_all_{name}"] = f"{one['mean_length_of_all']:.1f}"
        start, end = one["effective_interval"]
        sides = "; ".join(f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}" for low, high in (start, end))
        found[f"path_effective_{name}"] = f"{' to '.join(f'{each:.0f}' for each in one['effective'])} ({sides})"
        shares = [_share_of_paths(one, *lengths) for lengths in (one["effective"], (start[1], end[0]), (start[0], end[1]))]
        found[f"path_effective_share_{name}"] = f"{shares[0]:.1f} ({span(shares[1:])})"
        found[f"path_draws_{name}"] = f"{one['draws']:,}"
        found[f"path_forks_{name}"] = str(one["forks"])
        found[f"path_untrained_{name}"] = of_seeds([start["mean_length"] for start in each["untrained"]], 2)
        ends = one["mean_length_interval"]
        found[f"short_paths_{name}"] = verdict((one["mean_length_of_all"] - ends[1], one["mean_length_of_all"] - ends[0]))
        found["path_images"] = f"{each['images']:,}"
    probes = read("probes")["results"]
    for name, each in probes.items():
        for key, digits in (("accuracy", 0), ("r2", 2)):
            for i, where in ((0, "stem"), (-1, "last")):
                one = each["trained"]
                found[f"{key}_{where}_{name}"] = f"{one[key][i]:.{digits}f} ({span(one[f'{key}_interval'][i], digits)})"
                found[f"{key}_{where}_{name}_untrained"] = of_seeds([start[key][i] for start in each["untrained"]], digits)
    ends = {name: probes[name]["trained"]["r2_interval"][-1] for name in FOUR}
    found["carried"] = verdict(*(_less(ends[f"resnet{depth}"], ends[f"plain{depth}"]) for depth in (20, 56)))
    rise = [probes[name]["trained"]["accuracy_interval"] for name in FOUR]
    found["abstract"] = verdict(*(_less(each[-1], each[0]) for each in rise))
    return found | {"probe_images": f"{read('probes')['images']:,}", "probe_test": f"{read('probes')['test']:,}"}


def _share_of_paths(found: dict[str, Any], shortest: float, longest: float) -> float:
    """Return the percentage of all paths that have these lengths."""
    return 100 * sum(share for length, share in zip(found["lengths"], found["paths"], strict=True) if shortest <= length <= longest)


def several() -> dict[str, str]:
    """Errors with several blocks deleted or swapped."""
    found, one = dict[str, str](), read("why/resnet56/lesion_many")
    for name in FOUR:
        for kind, counts in (("lesion_many", (1, 3, 5)), ("reorder", (1, 4))):
            each = read(f"why/{name}/{kind}")
            found[f"{kind}_0_{name}"] = f"{each['clean_error']:.1f}"
            for count in counts:
                found[f"{kind}_{count}_{name}"] = of_seeds(each["error"]["data"][each["values"].index(count)], 0)
    return found | {"several_images": str(one["images"]), "several_draws": str(len(one["error"]["data"][0]))}


def controls() -> dict[str, str]:
    """Trainings with wrong labels."""
    noisy, found = read("label_noise"), dict[str, str]()
    more, beyond_chance = dict[str, list[float]](), dict[str, list[float]]()
    for name, errors in noisy["results"].items():
        found |= {f"noisy_{key}_{name}": of_seeds(values) for key, values in errors.items()}
        more[name] = [noise - run["test_error"] for noise, run in zip(errors["test_error"], runs(name), strict=True)]
        found[f"noisy_costs_{name}"] = of_seeds(more[name])
        pairs = zip(errors["learned_wrong_labels"], errors["train_error"], strict=True)
        beyond_chance[name] = [learned - wrong / 9 for learned, wrong in pairs]  # one in nine wrong answers is the given label
        found[f"noisy_beyond_chance_{name}"] = of_seeds(beyond_chance[name])
        found[f"noisy_beyond_test_chance_{name}"] = f"{mean(errors['learned_wrong_labels']) - mean(errors['test_error']) / 9:.1f}"
    learned = between(beyond_chance["plain20"], beyond_chance["resnet20"])
    costs = between(more["plain20"], more["resnet20"])
    found |= {"fewer_wrong_labels": verdict(learned), "fewer_wrong_labels_by": span(learned)}
    found |= {"noise_costs_less": verdict(costs), "noise_costs_less_by": span(costs)}
    return found | {"noisy_share": f"{100 * noisy['share']:.0f}", "noisy_images": f"{noisy['images']:,}"}


def rates() -> dict[str, str]:
    """The largest learning rate up to which networks train, 0.2 nats below guessing."""
    measured, found, steps = read("largest_rate"), dict[str, str](), dict[str, list[float]]()
    for name in FOUR:
        losses = {float(key.split("rate ")[1]): each for key, each in measured["results"].items() if key.startswith(f"{name},")}
        seeds = range(measured["seeds"])
        trains = [[*takewhile(lambda rate: _below_guessing(losses[rate][seed]), sorted(losses))] for seed in seeds]  # noqa: B023
        steps[name] = [log2(rates[-1]) if rates else -inf for rates in trains]
        found[f"largest_rate_{name}"] = ", ".join(f"{rates[-1]:g}" if rates else "none" for rates in trains)
    for depth in (20, 56):
        more = between(steps[f"resnet{depth}"], steps[f"plain{depth}"])
        found |= {f"larger_rates_{depth}": verdict(more), f"larger_rates_{depth}_by": _factor(more)}
    of_plain56 = (loss for key, losses in measured["results"].items() if key.startswith("plain56,") for loss in losses if loss)
    found["rate_lowest_loss_plain56"] = f"{min(of_plain56):.2f}"
    every = [float(key.split("rate ")[1]) for key in measured["results"]]
    found |= {"rate_least": f"{min(every):g}", "rate_most": f"{max(every):g}"}
    return found | {f"rate_{name}": str(measured[name]) for name in ("after", "batch", "test")}


def _below_guessing(loss: float | None) -> bool:
    return loss is not None and loss < log(10) - 0.2


def _factor(of_logs: Interval) -> str:
    if any(map(isinf, of_logs)):
        return "not measured"
    low, high = (f"{2**each:.3g}" for each in of_logs)
    return f"{low} to {high}" if low != high else low


def wide() -> dict[str, str]:
    """A plain network of 20 layers with more parameters than one of 56."""
    every = read("degradation")["runs"].items()
    wider = [run for key, run in sorted(every) if key.startswith("cifar_plain20-widths=[29,58,116]-seed=")]
    train = [run["train_error"] for run in wider]
    deeper, narrower = ([run["train_error"] for run in runs(name)] for name in ("plain56", "plain20"))
    better, gain = between(deeper, train), between(narrower, train)
    found = {f"wide_{key}": of_seeds([run[key] for run in wider]) for key in ("train_error", "test_error")}
    found |= {"wide_beats_deep": verdict(better), "wide_beats_deep_by": span(better)}
    return found | {"wide_beats_narrow": verdict(gain), "wide_beats_narrow_by": span(gain)}


def unneeded() -> dict[str, str]:
    """Sizes of the branches of a network that learns two classes or ten."""
    measured, found = read("unneeded_layers"), dict[str, str]()
    sizes, free = dict[str, list[float]](), dict[str, list[float]]()
    for task, each in measured["results"].items():
        key = task.split(", ")[1].split()[0]
        for state in ("trained", "untrained"):
            sizes[f"{key}_{state}"] = [median(one["ratio"]) for one in each[state]]
            found |= {
                f"unneeded_ratio_{key}_{state}": of_seeds(sizes[f"{key}_{state}"], 2),
                f"unneeded_least_{key}_{state}": of_seeds([min(one["ratio"]) for one in each[state]], 2),
                f"unneeded_changed_{key}_{state}": of_seeds([median(one["changed"]) for one in each[state]]),
            }
        free[key] = [sum(lost < 1 for lost in _lost_without(one)) for one in each["trained"]]
        found[f"unneeded_lost_{key}"] = of_seeds([median(_lost_without(one)) for one in each["trained"]])
        found[f"unneeded_free_{key}"] = of_seeds(free[key], 0)
        found |= {f"unneeded_error_{key}": of_seeds(each["test_error"]), "unneeded_blocks": str(len(each["trained"][0]["ratio"]))}
    smaller = between(sizes["ten_trained"], sizes["two_trained"])
    shrunk = between(sizes["two_untrained"], sizes["two_trained"])
    found |= {"unneeded_smaller": verdict(smaller), "unneeded_smaller_by": span(smaller, 2)}
    found |= {"unneeded_shrunk": verdict(shrunk), "unneeded_shrunk_by": span(shrunk, 2)}
    more_free = between(free["two"], free["ten"])
    found |= {"unneeded_deletable": verdict(more_free), "unneeded_deletable_by": span(more_free, 0)}
    return found | {f"unneeded_{key}": f"{measured[key]:,}" for key in ("images", "measured")}


def _lost_without(found: dict[str, Any]) -> list[float]:
    """Return the percentage of the accuracy above guessing that is lost without each block."""
    above = found["chance_error"] - found["clean_error"]
    return [100 * float(error - found["clean_error"]) / above for error in found["error"]]


def dense() -> dict[str, str]:
    """What the layers of a dense network read, and from where: the block's input first, then each earlier layer."""
    measured, found = read("dense_reuse"), dict[str, str]()
    for state, tables in (("trained", [measured["trained"]]), ("untrained", measured["untrained"])):
        for i in range(3):
            least, older, block_input = [], [], []
            for table in tables:
                rows = [row for row in table[i] if len(row) > 3]
                halves = [(row[1 : (len(row) + 1) // 2], row[(len(row) + 1) // 2 :]) for row in rows]
                least.append(min(min(row) / mean(row) for row in rows))
                older.append(mean(mean(old) / mean(new) for old, new in halves))
                block_input.append(mean(row[0] / mean(row[1:]) for row in rows))
            named = {"least": least, "older": older, "input": block_input}
            found |= {f"reuse_{what}_{i + 1}_{state}": of_seeds(values, 2) for what, values in named.items()}
    return found


def before_2015() -> dict[str, str]:
    """The losses after short trainings, with the best of several rates, and how deep a network may be."""
    measured, found = read("before_2015"), dict[str, str]()
    deepest, reached = dict[str, list[float]](), dict[tuple[str, int], list[float]]()
    losses: dict[tuple[str, int], dict[str, list[float | None]]] = {}
    for key, each in measured["results"].items():
        *start, depth, rate = key.split(", ")
        losses.setdefault((", ".join(start), int(depth.split()[0])), {})[rate] = each
    for (start, depth), by_rate in losses.items():
        finite = {rate: [log(10) if loss is None else loss for loss in each] for rate, each in by_rate.items()}
        best = min(finite.values(), key=mean)
        reached[start, depth] = best
        found[f"begins_{start}_{depth}".replace(", ", "_").replace(" ", "_").replace(".", "_")] = of_seeds(best, 2)
        trains = [float(depth) if _below_guessing(loss) else 0.0 for loss in best]
        deepest[start] = [*map(max, trains, deepest.get(start, trains))]
    for what, one, other in (
        ("relu_over_sigmoid", "relu, He", "sigmoid, Xavier"),
        ("relu_over_tanh", "relu, He", "tanh, Xavier"),
        ("he_over_gaussian", "relu, He", "relu, Gaussian of 0.01"),
        ("batch_over_none", "relu, He, batch norm", "relu, He"),
    ):
        found[f"deeper_{what}"] = verdict(between(deepest[one], deepest[other]))
    lower = between(reached["relu, He, batch norm", 56], reached["relu, He, batch norm, skips", 56])
    found |= {"begins_lower_with_skips": verdict(lower), "begins_lower_with_skips_by": span(lower, 2)}
    return found | {f"begins_{name}": str(measured[name]) for name in ("after", "batch", "test")}


def penalties() -> dict[str, str]:
    """Trainings with an L1 penalty, with L2 and with neither."""
    measured, found = read("penalties"), dict[str, str]()
    for name, each in measured["results"].items():
        key = name.replace(", ", "_")
        found |= {f"penalty_{what}_{key}": of_seeds(values, DIGITS.get(what, 1)) for what, values in each.items()}

    def of(what: str, name: str, penalty: str = "neither") -> list[float]:
        values: list[float] = measured["results"][f"{name}, {penalty}"][what]
        return values

    smaller = [between(of("weight_rms", name), of("weight_rms", name, "L2")) for name in ("plain20", "resnet20")]
    sparser = [between(of("small_weights", name, "L1"), of("small_weights", name)) for name in ("plain20", "resnet20")]
    size = between(of("weight_rms", "plain20"), of("weight_rms", "resnet20"))
    zeros = between(of("small_weights", "resnet20"), of("small_weights", "plain20"))
    branch = between(of("ratio", "resnet20"), of("ratio", "resnet20", "L2"))
    found |= {"l2_shrinks": verdict(*smaller), "l1_sparsens": verdict(*sparser), "l2_shrinks_branch": verdict(branch)}
    found |= {"skips_shrink": verdict(size), "skips_shrink_by": span(size, 3), "skips_sparsen": verdict(zeros)}
    found |= {"skips_sparsen_by": span(zeros, 2), "l2_shrinks_branch_by": span(branch, 2), "like_penalties": verdict(size, zeros)}
    found |= {"penalty_l1": short(measured["l1"]), "penalty_l2": short(measured["l2"])}
    return found | {
        "penalty_measured": f"{measured['measured']:,}",
        "sparsity_images": f"{read('sparsity')['results']['plain20']['images']:,}",
    }


def variance() -> dict[str, str]:
    """Disagreement of trainings that differ in their seed, and what their vote gains."""
    measured, found = read("variance"), dict[str, str]()
    for name, each in measured["results"].items():
        gain, interval = each["relative_gain"], each["relative_gain_interval"]
        found |= {
            f"disagree_{name}": of_seeds(each["disagreements"]),
            f"relative_disagree_{name}": of_seeds(each["relative_disagreements"], 2),
            f"vote_error_{name}": f"{each['vote_error']:.1f} ({span(each['vote_error_interval'])})",
            f"single_error_{name}": of_seeds(each["errors"]),
            f"vote_gain_{name}": f"{100 * gain:.0f} ({span([100 * end for end in interval], 0)})",
        }
    plain, residual = (measured["results"][name] for name in ("plain20", "resnet20"))
    less = between(plain["relative_disagreements"], residual["relative_disagreements"])
    (low, high), (least, most) = plain["relative_gain_interval"], residual["relative_gain_interval"]
    found |= {"disagree_less": verdict(less), "disagree_less_by": span(less, 2)}
    return found | {"vote_gains_less": verdict((low - most, high - least)), "variance_images": f"{measured['images']:,}"}


def invariance() -> dict[str, str]:
    """What changes of the image cost, and what augmentation gains."""
    measured, found = read("invariance"), dict[str, str]()
    plain, residual = (measured["results"][name] for name in ("plain20", "resnet20"))
    for change in (each for each in plain if each != "accuracy"):
        key, less = change.removeprefix("30 % ").replace(" ", "_"), between(plain[change], residual[change])
        found |= {f"{key}_{name}": of_seeds(each[change]) for name, each in measured["results"].items()}
        found |= {f"{key}_less": span(less), f"{key}_verdict": verdict(less)}
    gains = dict[str, list[float]]()
    for name in ("plain20", "resnet20"):
        without = [read("augmentation")["runs"][f"cifar_{name}-seed={seed}"]["test_error"] for seed in range(3)]
        gains[name] = [bare - run["test_error"] for bare, run in zip(without, runs(name), strict=True)]
        found |= {f"unaugmented_{name}": of_seeds(without), f"augmented_gain_{name}": of_seeds(gains[name])}
    less = between(gains["plain20"], gains["resnet20"])
    return found | {"augmentation_gains_less": verdict(less), "augmentation_gains_less_by": span(less)}


def copies() -> dict[str, str]:
    """Points of error that deepened copies lose in their first steps beyond what their shallow networks lose."""
    found, measured = dict[str, str](), read("copies")
    for rate in ("0.001", "0.01", "0.05"):
        key, beyond = rate.replace(".", "_"), dict[str, list[float]]()
        for kind in ("plain", "resnet"):
            for mode in ("batch", "evaluation"):
                lost = {
                    layers: [
                        log[-1][1][mode] - log[0][1][mode] for log in measured["results"][f"{kind}, {layers} layers, rate {rate}"]
                    ]
                    for layers in (20, 56)
                }
                beyond[f"{mode}_{kind}"] = [deep - shallow for deep, shallow in zip(lost[56], lost[20], strict=True)]
                found |= {f"lost_{mode}_{kind}_{key}": of_seeds(beyond[f"{mode}_{kind}"])}
            ends = [log[-1][1]["batch"] for log in measured["results"][f"{kind}, 20 layers, rate {rate}"]]
            found[f"shallow_end_{kind}_{key}"] = f"{min(ends):.0f} to {max(ends):.0f}"
        more = between(beyond["batch_plain"], beyond["batch_resnet"])
        found |= {f"loses_more_{key}": verdict(more), f"loses_{key}": span(more)}
    return found | {f"copy_{name}": str(measured[name]) for name in ("batch", "test")} | {"copy_steps": str(measured["after"][-1])}


def surfaces() -> dict[str, str]:
    """Planes around networks of equal training, and the curvature along it."""
    measured = read("surfaces")
    found = {f"surface_{name}": f"{measured[name]:,}" for name in ("images", "points", "hessian")}
    rises = dict[tuple[str, float], list[float]]()
    for name, each in measured["results"].items():
        x, end = each["x"], each["curvature"][-1]
        for distance in DISTANCES:
            rises[name, distance] = [_loss_at(distance, x, plane) - each["loss"] for plane in each["planes"]]
        largest = [at["largest"] for at in each["curvature"]]
        found |= {
            f"surface_loss_{name}": f"{each['loss']:.3f}",
            f"surface_rise_{name}": of_seeds(rises[name, 1], 2),
            f"surface_peak_{name}": short(max(largest)),
            f"surface_loss_running_{name}": f"{each['running'][len(x) // 2][len(x) // 2]:.3f}",
            f"surface_most_{name}": short(max(map(max, each["planes"][0]))),
            f"surface_most_running_{name}": short(max(map(max, each["running"]))),
            f"surface_largest_{name}": short(end["largest"]),
            f"surface_first_{name}": short(largest[0]),
            f"surface_down_{name}": f"{100 * abs(end['smallest'] / end['largest']):.1f}",
            f"surface_explained_{name}": f"{100 * sum(each['path']['explained']):.0f}",
        }
    for depth, distance in product((20, 56), DISTANCES):
        flatter = between(rises[f"plain{depth}", distance], rises[f"resnet{depth}", distance])
        key = f"{depth}_at_{distance:g}".replace(".", "_")
        found |= {f"flatter_{key}": verdict(flatter), f"flatter_by_{key}": span(flatter, 2)}
    return found | {"surface_first_iteration": f"{measured['results']['plain20']['curvature'][0]['iteration']:,}"}


def _loss_at(distance: float, x: list[float], plane: list[list[float]]) -> float:
    """Return the mean loss on a ring around the middle of a plane."""
    points = [(hypot(across, down), loss) for down, row in zip(x, plane, strict=True) for across, loss in zip(x, row, strict=True)]
    return mean(loss for radius, loss in points if abs(radius - distance) < 0.05)


def pilot() -> dict[str, str]:
    """Losses of plain56 after three epochs, by learning rate and weight decay."""
    runs = [run for name, run in read("pilot")["runs"].items() if name.startswith("cifar_plain56-")]
    best = min(runs, key=lambda run: run["train_loss"])["recipe"]
    found = {"pilot_best_rate": str(best["lr"]), "pilot_best_decay": short(best["weight_decay"])}
    for run in runs:
        key = f"pilot_{run['recipe']['lr']}_{run['recipe']['weight_decay']}".replace(".", "_")
        found[key] = f"{run['train_loss']:.2f} ({run['log'][-1]['loss']:.2f})"
    return found


def digits() -> dict[str, str]:
    """Accuracies on handwritten digits after fine-tuning with several rates, and from random weights."""
    results = read("finetune_rates")["results"]
    names = {"fine-tuned, rate 0.02": "fine_0_02", "fine-tuned, rate 0.05": "fine_0_05", "from scratch, rate 0.1": "scratch"}
    return {f"digits_{key}": of_seeds(results[name]) for name, key in names.items()}


def others() -> dict[str, str]:
    found = {}
    for kind, name in (("residual", "cifar_resnet20"), ("plain", "cifar_plain20")):
        each = read("deepening")["results"][f"{name}.resnetlib_c10"]
        found[f"copy_{kind}"] = short(each["copy"]["largest_difference_of_logits"])
        found[f"copy_test_{kind}"] = f"{each['copy']['test_error']:.1f}"
        for way, errors in each["errors"].items():
            key = way.split(",")[0]
            found |= {f"{key}_{split}_{kind}": f"{errors[f'{split}_error']:.1f}" for split in ("train", "test")}
        found[f"first_epoch_{kind}"] = f"{each['logs']['deepened'][0]['test_error']:.1f}"
    copied = read("deepening")
    found |= {"deepening_rate": str(copied["recipe"]["lr"]), "deepening_epochs": str(copied["recipe"]["epochs"])}
    found["deepening_images"] = f"{copied['images']:,}"
    losses: dict[str, dict[str, list[float]]] = {}
    for kind, value in (("input_noise", 0.2), ("weight_noise", 0.1), ("branch_noise", 1.0)):
        for name in FOUR:
            losses.setdefault(kind, {})[name] = [_lost(f"seeds/{name}-{seed}/{kind}", value) for seed in range(3)]
            found[f"{kind}_{name}"] = of_seeds(losses[kind][name])
            found[f"{kind}_{name}_package"] = minus(f"{_lost(f'why/{name}/{kind}', value):z.1f}")
        for depth in (20, 56):
            less = between(losses[kind][f"plain{depth}"], losses[kind][f"resnet{depth}"])
            found |= {f"{kind}_{depth}": verdict(less), f"{kind}_less_{depth}": span(less)}
    long = {name: read("long_trainings")["runs"][f"cifar_{name}-seed=0"] for name in FOUR}
    for name, run in long.items():
        found |= {f"long_{key}_{name}": f"{run[key]:.2f}" for key in ("train_error", "test_error")}
        found[f"long_gradient_{name}"] = f"{run['log'][-1]['gradient_norm']:.1f}"
    found["long_epochs"] = str(long["plain56"]["recipe"]["epochs"])
    for key, test in (("train_error", ""), ("test_error", "test_")):
        found[f"long_plain_{test}rise"] = f"{long['plain56'][key] - long['plain20'][key]:.1f}"
        found[f"long_residual_{test}fall"] = f"{long['resnet20'][key] - long['resnet56'][key]:.1f}"
    found["long_plain56_worst"] = f"{max(record['train_error'] for record in long['plain56']['log'][2:]):.0f}"
    found |= {f"long_plain56_batch_{r['epoch']:.0f}": f"{r['error']:.0f}" for r in long["plain56"]["log"]}
    for row in read("accuracy")["results"]:
        if row["weights"] == "resnetlib_c10":
            found[f"embedded_{row['name'].removeprefix('cifar_')}"] = f"{100 - row['top1']:.1f}"
    return found


def _lost(name: str, value: float) -> float:
    """Return the percentage of the accuracy above guessing that noise of a size takes away; mean over blocks."""
    each = read(name)
    at, above = each["values"].index(value), each["chance_error"] - each["clean_error"]
    rows = [row[at] for row in each["error"]["data"]] if each["kind"] == "branch_noise" else [each["error"]["data"][at]]
    return 100 * float(mean(map(mean, rows)) - each["clean_error"]) / above


PARTS = (
    training,
    convergence,
    signals,
    blocks,
    several,
    controls,
    rates,
    wide,
    unneeded,
    dense,
    before_2015,
    penalties,
    variance,
    invariance,
    copies,
    surfaces,
    pilot,
    digits,
    others,
)


def numbers() -> dict[str, str]:
    """Return every number and verdict by its name on the pages."""
    found = {key: value for part in PARTS for key, value in part().items()}
    pages = "".join(page.read_text() for page in (RESULTS.parent / "lecture").glob("*.md"))
    used = set(re.findall(r"\{\{ (\w+) \}\}", pages))
    return found | {"verdicts": str(sum(found.get(key) in VERDICTS for key in used))}
