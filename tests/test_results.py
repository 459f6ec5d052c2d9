"""The measured numbers in docs/results say what the pages say of them."""

import json
import re
import statistics
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[1] / "docs"
RUNS = json.loads((DOCS / "results" / "degradation.json").read_text())["runs"]


def errors(name: str, key: str = "train_error") -> list[float]:
    return [run[key] for run_name, run in RUNS.items() if re.fullmatch(rf"{name}-seed=\d", run_name)]


def test_deeper_plain_networks_train_worse_and_deeper_residual_ones_do_not() -> None:
    for name in ("cifar_plain20", "cifar_plain56", "cifar_resnet20", "cifar_resnet56"):
        assert len(errors(name)) == 3
    assert min(errors("cifar_plain56")) > max(errors("cifar_plain20")) + 10
    plain = [statistics.mean(errors(f"cifar_plain{depth}")) for depth in (20, 32, 44, 56)]
    assert plain == sorted(plain)
    assert max(errors("cifar_resnet56")) <= min(errors("cifar_resnet20"))
    assert min(errors("cifar_plain20")) > max(errors("cifar_resnet20"))


def test_all_runs_of_a_comparison_had_one_recipe() -> None:
    compared = {name: run for name, run in RUNS.items() if "norm=none" not in name}
    of_folders = dict.fromkeys(("train_size", "test_size", "test_resize"))  # which changed their defaults; CIFAR-10 is in memory
    usual = RUNS["cifar_plain20-seed=0"]["recipe"] | of_folders
    for name, run in compared.items():
        rate = re.search("-lr=([^-]*)-", name)  # the only difference, and in the name
        assert run["recipe"] | of_folders == usual | {"lr": float(rate[1]) if rate else 0.1}
    assert {run["images"] for run in compared.values()} == {10_000}
    for run in RUNS.values():
        assert [session["from"] for session in run["sessions"]] == [0]
        assert run["log"][-1]["iteration"] == run["iterations"] == 2340


@pytest.mark.parametrize("kind", ["plain", "residual"])
@pytest.mark.parametrize("depth", [20, 32, 44, 56])
def test_the_table_of_degradation_is_the_runs(kind: str, depth: int) -> None:
    name = f"cifar_{'plain' if kind == 'plain' else 'resnet'}{depth}"
    cells = []
    for key in ("train_error", "test_error"):
        values = errors(name, key)
        about = f" ({min(values):.2f} to {max(values):.2f})" if len(values) > 1 else ""
        cells.append(f"{statistics.mean(values):.2f} %{about}")
    assert f"| {kind}, {depth} layers | {' | '.join(cells)} |" in (DOCS / "results.md").read_text()


@pytest.mark.parametrize("network", ["cifar_resnet20.resnetlib_c10", "cifar_plain20.resnetlib_c10", "resnet56-4bfd9763.th"])
def test_int8_costs_less_than_a_third_of_a_point_and_the_table_says_so(network: str) -> None:
    rows = json.loads((DOCS / "results" / "int8.json").read_text())["results"][network]
    int8 = [rows[f"{runtime} int8"] for runtime in ("onnxruntime", "openvino")]
    assert all(rows["torch"]["top1"] - row["top1"] < 0.3 for row in int8)
    accuracies = [f"{row['top1']:.2f}" for row in (rows["torch"], *int8)]
    sizes = [f"{rows[f'onnxruntime {kind}']['mib']:.2f}" for kind in ("fp32", "int8")]
    assert f" | {' | '.join([*accuracies, *sizes])} |" in (DOCS / "export.md").read_text()


def test_the_speeds_of_inference_are_what_the_table_says() -> None:
    results = json.loads((DOCS / "results" / "inference.json").read_text())["results"]
    header, _, *rows = re.findall(r"^\| .*$|^\|-.*$", (DOCS / "speed.md").read_text(), re.MULTILINE)
    keys = ["torchvision, float32", "timm, float32", "resnetlib, float32", "resnetlib optimized, float32"]
    keys = [f"{key}, channels-last" for key in keys]
    keys += [f"{runtime} {kind}" for kind in ("float32", "int8") for runtime in ("ONNX Runtime", "OpenVINO")]
    for row, key in zip(rows, keys, strict=True):
        for name, cell in zip(re.findall(r"`(\w+)`", header), row.strip("| ").split(" | ")[1:], strict=True):
            both = [
                found[key]["speed_over_first"]
                for network, found in results.items()
                if network.startswith(f"{name},") and key in found
            ]
            assert cell == (" / ".join(f"{speed:.2f}" for speed in both) or "-"), (name, key)


def test_the_memory_of_training_is_what_the_table_says() -> None:
    results = json.loads((DOCS / "results" / "training_memory.json").read_text())["results"]
    assert results["memory_efficient=True"]["live_over_plain"] < 0.55
    assert results['memory_efficient="max"']["live_over_plain"] < 0.35
    page = (DOCS / "training.md").read_text()
    for row in results.values():
        live = f"{row['live_mib']:,.0f} MiB ({row['live_over_plain']:.2f})"
        assert f" | {live} | {row['resident_mib']:,.0f} MiB | {row['speed_over_plain']:.2f} |" in page


def test_the_table_of_norms_is_the_runs() -> None:
    page = (DOCS / "results.md").read_text()
    endings = {
        "batch norm, rate 0.1": "",
        "no norm, rate 0.01": "-norm=none-lr=0.01",
        "no norm, rate 0.1": "-norm=none-lr=0.1",
    }
    for label, ending in endings.items():
        runs = [RUNS[f"cifar_plain{depth}{ending}-seed=0"] for depth in (20, 56)]
        cells = [f"{run['train_error']:.2f} % | {run['log'][-1]['gradient_norm']:.2f}" for run in runs]
        assert f"| {label} | {' | '.join(cells)} |" in page


def test_fine_tuning_beats_training_from_scratch_and_the_table_says_by_how_much() -> None:
    results = json.loads((DOCS / "results" / "transfer.json").read_text())["results"]
    page = (DOCS / "results.md").read_text()
    for way in ("fine-tuned", "linear probe", "from scratch"):
        runs = [results[f"{way}, {each} a class"]["errors"] for each in (10, 50)]
        assert [len(found) for found in runs] == [3, 3]
        cells = [f"{statistics.mean(found):.2f} % ({min(found)} to {max(found)})" for found in runs]
        assert f"| {way} | {' | '.join(cells)} |" in page
    for each in (10, 50):
        assert max(results[f"fine-tuned, {each} a class"]["errors"]) < min(results[f"from scratch, {each} a class"]["errors"])


def test_no_result_names_a_folder_of_the_computer_that_made_it() -> None:
    for path in (DOCS / "results").glob("*.json"):
        assert not re.search(r'"/[a-z]+/', path.read_text()), path
