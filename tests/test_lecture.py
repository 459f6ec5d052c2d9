"""The lecture's pages: their numbers come from the results, their figures from one command, and every line has a page."""

import importlib.util
import math
import os
import re
import statistics
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any
from unittest import mock

import pytest
import torch

import resnetlib
from resnetlib.analysis import bootstrap_interval
from resnetlib.analysis.style import FAMILIES, label_of, style_of
from resnetlib.data import cifar10, samples

if TYPE_CHECKING:
    from matplotlib.axes import Axes

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
LECTURE = DOCS / "lecture"
PAGES = sorted(LECTURE.glob("*.md"))
KEY = re.compile(r"\{\{ (\w+) \}\}")
CIFAR10 = os.environ.get("RESNETLIB_TEST_CIFAR10")


def load(path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


NUMBERS = load(DOCS / "numbers_of_results.py")


def test_every_number_on_a_page_is_in_the_results() -> None:
    known = NUMBERS.numbers()
    for page in (*PAGES, DOCS / "analysis.md"):
        assert set(KEY.findall(page.read_text())) <= known.keys(), page.name


def test_no_percentage_is_written_by_hand() -> None:
    published = {"0.45 %", "13.31 %", "3.2", "95 %"}
    for page in (*PAGES, DOCS / "analysis.md"):
        text = re.sub(r"```.*?```", "", page.read_text(), flags=re.DOTALL)
        assert set(re.findall(r"\d+\.\d+ %", text)) <= published, page.name


def test_every_verdict_is_one_of_three() -> None:
    found = NUMBERS.numbers()
    assert sum(value in ("holds", "does not hold", "is open") for value in found.values()) > 20


@pytest.mark.parametrize(
    ("intervals", "expected"),
    [
        ([(1, 2)], "holds"),
        ([(-1, 2)], "is open"),
        ([(-2, -1)], "does not hold"),
        ([(1, 2), (-1, 1)], "is open"),
        ([(1, 2), (-2, -1)], "does not hold"),
    ],
)
def test_one_rule_decides(intervals: list[tuple[float, float]], expected: str) -> None:
    assert NUMBERS.verdict(*intervals) == expected


def test_the_range_of_a_difference_is_over_all_pairs_of_seeds() -> None:
    assert NUMBERS.between([5, 7], [1, 2]) == (3, 6)


def test_every_page_has_a_verdict_a_command_and_its_figures() -> None:
    for page in PAGES:
        text = page.read_text()
        for alternative, figure in re.findall(r"!\[(.*?)\]\((\S+?)\)", text):
            assert len(alternative) > 20, page.name
            assert (LECTURE / figure).is_file(), figure
        if page.stem not in ("index", "lines", "article"):
            assert "**Verdict" in text, page.name
            assert "**What would change it:**" in text, page.name
            assert "```sh" in text or "[degradation](degradation.md)" in text, page.name


def test_every_page_is_in_the_table_of_contents() -> None:
    listed = (LECTURE / "index.md").read_text().split("```{toctree}")[1].split()
    assert {page.stem for page in PAGES} - {"index"} <= set(listed)


def test_no_page_invents_images_or_labels() -> None:
    for page in (*PAGES, *sorted((DOCS / "analysis").glob("*.md")), DOCS / "analysis.md"):
        assert "randn" not in page.read_text(), page.name


def test_every_line_of_the_seed_documents_has_a_page_or_a_reason() -> None:
    rows = [row for row in (LECTURE / "lines.md").read_text().splitlines() if row.startswith("| ")][1:]
    for row in rows:
        where = row.split(" | ")[-1]
        assert ".md)" in where or "out of scope" in where or where.startswith("where"), row
    assert len(rows) > 45


@pytest.mark.slow
def test_one_command_draws_every_figure(tmp_path: Path) -> None:
    out = tmp_path / "figures"
    subprocess.run(  # noqa: S603
        [sys.executable, ROOT / "examples" / "lecture.py", "--results", DOCS / "results", "--out", out],
        check=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    drawn = {path.name for path in out.glob("*.png")}
    assert drawn == {path.name for path in LECTURE.glob("*.png")}


@pytest.fixture(scope="module")
def drawn() -> dict[str, list["Axes"]]:
    """The panels of every figure, by its name."""
    with mock.patch.object(sys, "path", [str(ROOT / "examples"), *sys.path]):
        lecture = load(ROOT / "examples" / "lecture.py")
    return {name: draw(DOCS / "results").axes for name, draw in lecture.FIGURES.items()}


def curve(axes: "Axes", label: str) -> list[float]:
    """The values of the line with this label, or of the bars' points."""
    handles = dict(zip(*reversed(axes.get_legend_handles_labels()), strict=True))
    found: Any = handles[label]
    return [*map(float, (found if hasattr(found, "get_ydata") else found[0]).get_ydata())]


def test_legends_are_short_and_legible(drawn: dict[str, list["Axes"]]) -> None:
    for name, panels in drawn.items():
        for axes in panels:
            for legend in filter(None, (axes.get_legend(), *axes.get_figure().legends)):  # type: ignore[union-attr]
                assert len(legend.get_texts()) <= 6, name
                assert all(text.get_fontsize() >= 8 for text in legend.get_texts()), name
        assert axes.get_figure().get_figwidth() <= 9.6, name  # type: ignore[union-attr]  # at 700 pixels, 10 points are 10 pixels


def test_no_curve_leaves_its_frame(drawn: dict[str, list["Axes"]]) -> None:
    for name, panels in drawn.items():
        for axes in panels:
            (left, right), (low, high) = map(sorted, (axes.get_xlim(), axes.get_ylim()))
            for line in axes.lines:
                if line.get_transform() == axes.transData:
                    for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
                        assert left <= float(x) <= right, name
                        assert low <= float(y) <= high or math.isnan(float(y)), name


def test_lines_break_at_blocks_without_a_value(drawn: dict[str, list["Axes"]]) -> None:
    residual, (_, small, *_) = drawn["residual_mapping"][0], drawn["sparsity"]
    for values in (curve(residual, "plain, 20 layers"), curve(small, "plain, trained")):
        assert [i for i, value in enumerate(values) if math.isnan(value)] == [3, 6]  # the blocks that change the shape
    deep = curve(drawn["sparsity"][4], "plain, trained")
    assert [i for i, value in enumerate(deep) if math.isnan(value)] == [9, 18]


def test_figures_show_the_means_that_tables_give(drawn: dict[str, list["Axes"]]) -> None:
    errors = [run["train_error"] for run in NUMBERS.runs("plain20")]
    assert curve(drawn["degradation"][0], "plain")[0] == pytest.approx(statistics.mean(errors))
    dropout = NUMBERS.read("regularization")["results"]["resnet20, neither"]["train_error"]
    assert any(list(line.get_ydata()) == [pytest.approx(statistics.mean(dropout))] for line in drawn["dropout"][0].lines)


def test_surfaces_reach_the_corners_of_the_plane(drawn: dict[str, list["Axes"]]) -> None:
    *panels, _ = drawn["surface"]  # the last one is the color bar
    found = [NUMBERS.read("surfaces")["results"][name] for name in ("plain56", "resnet56")]
    every = [each["running"] for each in found] + [each["planes"][0] for each in found]
    scales = [axes.collections[0].levels.tolist() for axes in panels]  # type: ignore[attr-defined]
    assert scales == [scales[0]] * 4
    for axes, losses in zip(panels, every, strict=True):
        assert (axes.get_xlim(), axes.get_ylim()) == ((-1, 1), (-1, 1))
        assert scales[0][0] <= min(map(min, losses))
        assert scales[0][-1] >= max(map(max, losses))


@pytest.mark.parametrize("depth", [20, 56])
def test_the_rises_drawn_are_those_of_the_table(drawn: dict[str, list["Axes"]], depth: int) -> None:
    axes = drawn["planes"][(20, 56).index(depth)]
    for name in (f"plain{depth}", f"resnet{depth}"):
        rises = curve(axes, label_of(name))
        assert rises[0] == pytest.approx(0, abs=1e-6)
        assert f"{rises[-1]:.2f}" == NUMBERS.numbers()[f"surface_rise_{name}"].split(" ")[0]


def test_every_start_of_the_table_is_in_the_figure(drawn: dict[str, list["Axes"]]) -> None:
    table = (LECTURE / "before-2015.md").read_text().split("|-|-:|\n")[1].split("\n\n")[0]
    rows = {row.split("|")[1].strip() for row in table.splitlines()}
    assert rows <= {text.get_text() for axes in drawn["before_2015"] for text in axes.texts}


def test_what_is_compared_has_few_curves(drawn: dict[str, list["Axes"]]) -> None:
    copies = drawn["copies"]
    assert [len(axes.lines) for axes in copies] == [2] * 6  # a rate and a family each
    assert len({axes.get_ylim() for axes in copies}) == 1
    assert all(len(axes.lines) == 2 for axes in drawn["planes"])  # a depth each
    assert [len(axes.lines) for axes in drawn["curvature"]] == [4, 4]
    (bypass,) = drawn["bypass"]
    assert {line.get_linestyle() for line in bypass.lines} == {"None"}  # three factors, and nothing between them
    assert sum(label.endswith("untrained") for label in drawn["unneeded"][0].get_legend_handles_labels()[1]) == 1


def test_equal_reading_has_the_middle_color(drawn: dict[str, list["Axes"]]) -> None:
    for axes in drawn["dense_reuse"][:3]:
        low, high = axes.images[0].get_clim()
        assert low is not None
        assert high is not None
        assert (low + high) / 2 == pytest.approx(1)
        assert min(axes.images[0].get_cmap()(0.5)) > 0.9  # nearly white: more and less differ in hue


def test_networks_have_colors_of_their_own_and_names_in_words() -> None:
    hues = [color for colors in FAMILIES.values() for color in colors[:3]]
    assert len(set(hues)) == 3 * (len(FAMILIES) - 1)  # long trainings share the residual network's
    assert style_of("plain20")["color"] != style_of("plain56")["color"] != style_of("resnet56")["color"]
    assert style_of("cifar_resnet20") == style_of("resnet20")
    assert label_of("cifar_preact_resnet56") == "pre-activation, 56 layers"
    assert style_of("something") == {}


def test_the_interval_of_an_error_is_that_of_the_bootstrap() -> None:
    wrong = 100 * (torch.arange(10_000) < 898).double()[:, None]
    bootstrapped = bootstrap_interval(wrong, lambda rows: rows.mean(), draws=1000).tolist()
    assert NUMBERS.over_images(8.98, 10_000) == pytest.approx(bootstrapped, abs=0.1)


def test_a_bootstrap_interval_covers_the_mean_and_pairs_stay_paired() -> None:
    rows = torch.randn(200, 1, generator=torch.Generator().manual_seed(0)).double()
    low, high = bootstrap_interval(rows, draws=200)
    assert low < rows.mean() < high
    pairs = torch.cat([rows, rows + 1], 1)
    difference = bootstrap_interval(pairs, lambda rows: (rows[:, 1] - rows[:, 0]).mean(), draws=20)
    assert torch.allclose(difference, torch.ones(2, dtype=torch.float64))


def test_a_bootstrap_needs_two_rows() -> None:
    with pytest.raises(ValueError, match="at least two"):
        bootstrap_interval(torch.ones(1))
    with pytest.raises(ValueError, match="level"):
        bootstrap_interval(torch.ones(3), level=1.0)


def test_samples_are_the_first_test_images() -> None:
    found = samples()
    assert [found.classes[label] for label in found.labels[:4]] == ["cat", "ship", "ship", "airplane"]
    if CIFAR10:
        real = cifar10(CIFAR10, "test").first(10)
        assert torch.equal(found.images, real.images)
        assert torch.equal(found.labels, real.labels)


@pytest.mark.slow
@pytest.mark.real_data
@pytest.mark.skipif(CIFAR10 is None, reason="needs CIFAR-10: set RESNETLIB_TEST_CIFAR10 to its folder")
def test_the_notebook_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    monkeypatch.setenv("RESNETLIB_LECTURE_IMAGES", "60")
    monkeypatch.setenv("RESNETLIB_LECTURE_STEPS", "12")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("IPYTHONDIR", str(tmp_path))
    notebook = nbformat.read(LECTURE / "companion.ipynb", 4)
    nbclient.NotebookClient(notebook, timeout=600, kernel_name="python3").execute(cwd=str(tmp_path))
    assert all(cell.outputs for cell in notebook.cells[5:] if cell.cell_type == "code")


@pytest.mark.real_data
@pytest.mark.skipif(CIFAR10 is None, reason="needs CIFAR-10: set RESNETLIB_TEST_CIFAR10 to its folder")
def test_the_committed_notebook_is_of_the_networks_in_the_package() -> None:
    text = (LECTURE / "companion.ipynb").read_text()
    parameters = {"plain20": "269,722", "resnet20": "269,722", "plain56": "853,018", "resnet56": "853,018"}
    for name, count in parameters.items():
        net = resnetlib.create_model(f"cifar_{name}.resnetlib_c10").eval()
        data = cifar10(str(CIFAR10), "test").first(1000)
        found = resnetlib.evaluate(net, data.batches(resnetlib.transform_for(net)))
        assert f"{label_of(name)}: {count} parameters, error {100 - found.top1:.1f} % of 1000 images" in text


def test_the_notebook_is_committed_with_its_figures_and_small() -> None:
    text = (LECTURE / "companion.ipynb").read_text()
    assert text.count('"image/png"') >= 10
    assert len(text) < 550_000  # 400 kB of PNGs, in base64
