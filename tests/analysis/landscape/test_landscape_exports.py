"""Surfaces as pictures, pages and files of other tools."""

import dataclasses
import math
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from families import FAMILIES
from torch import Tensor, nn

from resnetlib import build
from resnetlib.analysis import (
    Landscape,
    Trajectory,
    draw,
    filter_normalized_direction,
    landscape,
    plot_3d,
    trajectory,
    write_directions,
    write_h5,
    write_html,
)
from resnetlib.analysis.landscape.export import log10_clipped
from resnetlib.analysis.landscape.surface import contour_levels


def bowl(*, log: bool = False, points: int = 9) -> Landscape:
    """A surface of known shape: r^2 + 0.05, or its exponential."""
    x = torch.linspace(-2, 2, points, dtype=torch.float64)
    loss = x[None, :] ** 2 + 0.5 * x[:, None] ** 2 + 0.05
    loss = (3 * loss).exp() if log else loss
    made = {"network": "0"}
    return Landscape(x, x.clone(), loss, 100 / (1 + loss), float(loss.min()), 90.0, 0.1, 10, "running", "fp32", 0, made)


def line() -> Landscape:
    plane = bowl()
    return dataclasses.replace(plane, y=None, loss=plane.loss[4], accuracy=plane.accuracy[4], cosine=None)


def test_levels_are_the_published_ones() -> None:
    assert contour_levels(torch.tensor([0.0, 2.0])) == pytest.approx([0.1, 0.6, 1.1, 1.6])
    levels = contour_levels(torch.tensor([0.3, math.nan, 2e4, math.inf]))
    assert levels == pytest.approx([*np.arange(0.6, 10, 0.5), 10, 100, 1000, 10_000])
    assert contour_levels(torch.tensor([1.0, 1.45])) == pytest.approx(np.linspace(1, 1.45, 10)[1:-1].tolist(), rel=1e-5)
    assert contour_levels(torch.ones(3)) == contour_levels(torch.tensor([math.nan])) == []


def test_contours_are_where_the_loss_is() -> None:
    found = bowl(points=41)
    axes = found.plot()
    contours = axes.collections[0]
    for level, path in zip(contours.levels, contours.get_paths(), strict=True):  # type: ignore[union-attr]
        x, y = path.vertices.T
        np.testing.assert_allclose(x**2 + 0.5 * y**2 + 0.05, level, atol=0.02)
    assert len(contours.levels) > 5  # type: ignore[union-attr]
    assert found.plot(axes) is axes


def test_holes_and_what_is_not_computed_are_drawn_as_nothing(tmp_path: Path) -> None:
    found = bowl(log=True)
    found.loss[2, 3:6] = torch.tensor([math.nan, math.inf, -1.0])
    found.accuracy[2, 5] = -1.0
    assert found.computed == 80 / 81
    assert found.known("loss").isnan().sum() == 2
    draw(found, tmp_path / "contours.png")
    plot_3d(found).figure.savefig(tmp_path / "surface.png")  # type: ignore[union-attr]
    for name in ("contours.png", "surface.png"):
        assert (tmp_path / name).read_bytes().startswith(b"\x89PNG")
    write_html(tmp_path / "page.html", found)
    assert "NaN" not in data_of((tmp_path / "page.html").read_text())


def test_flat_surfaces_and_lines_are_drawn(tmp_path: Path) -> None:
    flat = bowl()
    flat.loss.fill_(1.0)
    draw(flat, tmp_path / "flat.png")
    axes = line().plot()
    assert axes.lines[0].get_ydata().tolist() == line().loss.tolist()  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="this is a line, and has no surface"):
        plot_3d(line())


def test_heights_are_logarithms_that_are_cut_off() -> None:
    found = log10_clipped(torch.tensor([0.0, 0.1, 1.0, 10.0, 1e6, math.inf, math.nan]), highest=10)
    assert found[1:6].tolist() == pytest.approx([-1, 0, 1, 1, 1])
    assert np.isfinite(found[0])
    assert np.isnan(found[6])
    axes = plot_3d(bowl(log=True), highest=100)
    assert axes.get_zlim()[1] == pytest.approx(2, abs=0.1)
    assert axes.get_zticklabels()[-1].get_text() == "100"


def test_the_published_tools_surface_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    x = torch.tensor([0.0, 1.0, 2.0]).double()
    loss = torch.tensor([[1.0, 2.0, 3.0], [4.0, math.inf, -1.0], [7.0, 8.0, 9.0]]).double()
    found = dataclasses.replace(bowl(), x=x, y=10 * x, loss=loss, accuracy=loss.clamp(max=50))
    write_h5(tmp_path / "surface.h5", found)
    with h5py.File(tmp_path / "surface.h5") as file:
        assert set(file) == {"xcoordinates", "ycoordinates", "train_loss", "train_acc"}
        # as its plots read it: Z over np.meshgrid(x, y)
        columns, rows = np.meshgrid(file["xcoordinates"][:], file["ycoordinates"][:])
        at = {(a, b): z for a, b, z in zip(columns.ravel(), rows.ravel(), file["train_loss"][:].ravel(), strict=True)}
        assert at[2, 0] == 3
        assert at[0, 20] == 7
        # and as its scheduler does: what is left to compute is below zero
        assert np.flatnonzero(file["train_loss"][:].ravel() <= 0).tolist() == [5]
        assert file.attrs["images"] == 10
    write_h5(tmp_path / "line.h5", line())
    with h5py.File(tmp_path / "line.h5") as file:
        assert set(file) == {"xcoordinates", "train_loss", "train_acc"}


def test_the_published_tools_direction_file(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    net = build(FAMILIES["resnet"], num_classes=5)
    directions = [filter_normalized_direction(net, seed) for seed in (0, 1)]
    write_directions(tmp_path / "directions.h5", net, directions, explained=torch.tensor([0.6, 0.3]))
    with h5py.File(tmp_path / "directions.h5") as file:
        for group, direction in zip(("xdirection", "ydirection"), directions, strict=True):
            read = [file[group][str(i)] for i in range(len(file[group]))]
            for parameter, d, name in zip(net.parameters(), read, direction, strict=True):
                assert d.shape == tuple(parameter.shape)
                assert np.array_equal(d[:], direction[name].numpy())
        assert file["explained_variance_ratio_"][:].tolist() == pytest.approx([0.6, 0.3])
    with pytest.raises(ValueError, match="a direction must have a tensor for each"):
        write_directions(tmp_path / "wrong.h5", net, [{}])


def test_a_direction_file_of_half_precision(tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    net = build(FAMILIES["resnet"], num_classes=5).bfloat16()
    direction = filter_normalized_direction(net, 0)
    write_directions(tmp_path / "directions.h5", net, [direction])
    with h5py.File(tmp_path / "directions.h5") as file:
        assert np.array_equal(file["xdirection"]["0"][:], direction["conv1.weight"].float().numpy())


@pytest.mark.parametrize("highest", [0, -1, float("nan"), float("inf")])
def test_a_height_to_cut_off_at(highest: float) -> None:
    with pytest.raises(ValueError, match=rf"^highest must be (above 0|finite), got {highest}$"):
        plot_3d(bowl(), highest=highest)


def test_a_trajectory_needs_a_plane(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    path = Trajectory(torch.zeros(2, 2), torch.zeros(2), None, torch.zeros(2, 1), {"weight": (1,)})
    with pytest.raises(ValueError, match=r"^a trajectory is drawn over a plane: compute one \(dimensions=2\), or leave out"):
        write_html(tmp_path / "page.html", line(), path)
    assert not (tmp_path / "page.html").exists()


def test_without_h5py_the_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(ImportError, match=r"pip install 'resnetlib\[landscape\]'"):
        write_h5(tmp_path / "surface.h5", bowl())
    monkeypatch.setitem(sys.modules, "plotly", None)
    with pytest.raises(ImportError, match=r"pip install 'resnetlib\[landscape\]'"):
        write_html(tmp_path / "page.html", bowl())


def data_of(page: str) -> str:
    """The part of a page that is its own: what follows the library."""
    return page[page.rindex("Plotly.newPlot") :]


@pytest.fixture
def chromium() -> str:
    pytest.importorskip("plotly")
    found = os.environ.get("RESNETLIB_TEST_CHROMIUM") or shutil.which("chromium")
    if not found:
        pytest.skip("there is no Chromium: RESNETLIB_TEST_CHROMIUM says where it is")
    return found


def opened(chromium: str, page: Path) -> str:
    """What a page has become after its scripts ran, in a browser that reaches no network."""
    profile = page.parent / "profile"
    flags = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking", "--enable-unsafe-swiftshader"]
    offline = "--host-resolver-rules=MAP * ~NOTFOUND"
    command = [chromium, *flags, offline, f"--user-data-dir={profile}", "--virtual-time-budget=20000", "--dump-dom", str(page)]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)  # noqa: S603
    return re.sub(r"<script.*?</script>", "", done.stdout, flags=re.DOTALL)


ASK = """<script>window.addEventListener("load", () => setTimeout(() => {
  const plot = document.querySelector(".js-plotly-plot"), scene = plot._fullLayout.scene;
  const gl = scene && scene._scene.glplot.gl, answer = document.createElement("pre");
  answer.id = "answer";
  answer.textContent = JSON.stringify([plot._fullData.map(trace => trace.type), !!(gl && gl.drawingBufferWidth)]);
  document.body.append(answer);
}, 3000));</script>"""


def test_the_page_works_in_a_browser_without_network(chromium: str, tmp_path: Path) -> None:
    net = nn.Linear(2, 2, bias=False)
    steps = [{"weight": net.weight.detach() + torch.randn(2, 2)} for _ in range(4)]
    path = trajectory(net, steps)
    found = landscape(net, (torch.eye(2), torch.tensor([0, 1])), path.span, 7, directions=path.directions)
    page = tmp_path / "page.html"
    write_html(page, found, path)
    text = page.read_text()
    assert not re.search(r'<(script|link|img)[^>]*(src|href)="?https?:', text)
    page.write_text(text.replace("</body>", ASK + "</body>"))
    shown = opened(chromium, page)
    assert '["surface","contour","scatter","scatter"],true' in shown.replace("&quot;", '"')  # true: WebGL draws
    assert "WebGL is not supported" not in shown
    assert shown.count('class="contourlevel"') > 3
    assert f"accuracy {found.accuracy_at_center:.2f} %" in shown
    points = re.findall(r'<path class="point"', shown)
    assert len(points) == 1 + 5  # the center; four checkpoints, and the network


def test_the_page_of_a_line(chromium: str, tmp_path: Path) -> None:
    page = tmp_path / "line.html"
    write_html(page, line())
    shown = opened(chromium, page)
    assert len(re.findall(r'class="trace scatter', shown)) == 2
    assert [label for label in ("linear", "log") if f">{label}</text>" in shown] == ["linear", "log"]


def test_the_numbers_are_in_the_page(tmp_path: Path) -> None:
    pytest.importorskip("plotly")
    found = bowl(points=3)
    write_html(tmp_path / "page.html", found)
    data = data_of((tmp_path / "page.html").read_text())
    for number in found.loss.flatten().tolist():
        assert str(number) in data


def test_every_field_is_tensors_and_plain_data() -> None:
    found = bowl()
    assert all(isinstance(getattr(found, field.name), Tensor | float | int | str | dict) for field in dataclasses.fields(found))
