"""`resnetlib analyze`: measure why skip connections work."""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from functools import wraps
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal

import click
import torch
from torch import Tensor

from resnetlib import analysis
from resnetlib.analysis.batches import noise_images
from resnetlib.cli.common import load
from resnetlib.cli.options import FOLDER, IMAGES, NETWORK
from resnetlib.config import Normalization
from resnetlib.config.pretrained import preprocessing_for
from resnetlib.data import CIFAR10_CLASSES, evaluation_folder, find_images, is_cifar10
from resnetlib.disk import write_figure
from resnetlib.distributed import choose_device
from resnetlib.errors import InputError, printable
from resnetlib.inference import read_batches
from resnetlib.modules import Backbone
from resnetlib.train.run import check_out
from resnetlib.weights.find import resolve
from resnetlib.zoo import create_model, save_model

Batches = list[tuple[Tensor, Tensor]]
Results = Iterator[tuple[str, analysis.AnalysisResult]]
"""Names of the files to write, and results."""


@click.group()
def analyze() -> None:
    """Measure why skip connections work, on a network and images. Results are written as JSON and PNG."""


def measurement(measure: Callable[..., Results]) -> click.Command:
    """Turn a function `measure(net, batches, **options)` into a command that writes each result that it yields as JSON and PNG.

    `measure` gets seed, out and precision if it has such parameters; without precision, it runs under autocast.
    """

    @NETWORK
    @IMAGES
    @click.option("--out", required=True, type=FOLDER, help="Folder to write to.")
    @click.option(
        "--split",
        type=click.Choice(["train", "test"]),
        default="test",
        help="Images to measure on: the training images, or the test (or validation) images.",
    )
    @click.option("--images", default=1000, type=click.IntRange(0), help="Number of images; 0 for all.")
    @click.option("--untrained", is_flag=True, help="Random weights, with norms calibrated on the images.")
    @click.option("--seed", default=0, type=click.IntRange(0, 2**63 - 1), help="Random seed.")
    @click.option(
        "--precision", type=click.Choice(["fp32", "bf16"]), default="fp32", help="Precision of convolutions and linear layers."
    )
    @wraps(measure)
    def command(name: str, data: Path, batch: int, untrained: bool, **options: Any) -> None:
        out, wanted = options["out"], measure.__annotations__
        check_out(out, data)
        network = {key: options[key] for key in ("weights", "normalize", "device", "prefix")}
        if not untrained:
            net, _ = load(name, **network)
        elif given := [f"--{option} {network[option]}" for option in ("weights", "prefix") if network[option]]:
            raise InputError(f"--untrained cannot be combined with {given[0]}")
        else:
            net = _untrained_network(name, data, options["split"], network["normalize"], network["device"], options["seed"])
        reading = {key: options[key] for key in ("split", "images", "workers", "exif")}
        batches = list(read_batches(net, data, batch, **reading)[1])
        out.mkdir(parents=True, exist_ok=True)
        bf16 = options["precision"] == "bf16" and "precision" not in wanted
        fast = torch.autocast(next(net.parameters()).device.type, torch.bfloat16, enabled=bf16)
        with fast, analysis.recalibrated(net, batches) if untrained else nullcontext():
            for stem, result in measure(net, batches, **{key: value for key, value in options.items() if key in wanted}):
                result.save(out / f"{stem}.json")
                analysis.draw(result, out / f"{stem}.png")
                click.echo(f"wrote {printable(out / stem)}.json and .png")

    return analyze.command()(command)


def _untrained_network(
    name: str, data: Path, split: str, normalize: Normalization | None, device: str | None, seed: int
) -> Backbone:
    """Create a network with random weights for the classes of the images."""
    if resolve(name)[0] != "network":
        raise InputError(f"--untrained draws random weights, but {name} names weights: give the name of a network")
    classes = CIFAR10_CLASSES if is_cifar10(data) else find_images(evaluation_folder(data, split)[0]).classes
    torch.manual_seed(seed)
    net = create_model(name, num_classes=len(classes)).to(choose_device(device))
    net.preprocess, net.classes = preprocessing_for(net.spec.stem, normalize), classes
    return net


def _require_fp32(precision: str) -> None:
    """Raise ValueError unless the precision is fp32. Sums are compared with their terms."""
    if precision != "fp32":
        raise InputError(f"--precision {precision} would measure rounding errors: use fp32")


def _percents(values: Any, percents: Any) -> str:
    """Format pairs of a value and a percentage."""
    return ", ".join(f"{value:g}: {percent:.2f} %" for value, percent in zip(values, percents.tolist(), strict=True))


@measurement
def residual_decomposition(net: Backbone, batches: Batches, precision: str) -> Results:
    """Is a deep feature the shallow one plus the residuals? Measures x_L = x_l + sum F(x_i) in each stage of NAME."""
    _require_fp32(precision)
    found = analysis.residual_decomposition(net, batches)
    for i, (first, last) in enumerate(found.chains):
        click.echo(
            f"{found.blocks[first]} to {found.blocks[last - 1]}: the sum differs from x_L by {found.deviation[i]:.1e} of its "
            f"largest value, or by {found.deviation_with_out[i]:.1e} if the ReLUs' changes count as terms; shares of x_L: "
            f"x_l {found.share_of_skip[i]:.2f}, blocks {found.share[first:last].sum():.2f}, relus {found.share_of_out[i]:.2f}"
        )
    yield "residual_decomposition", found


@measurement
def gradients(net: Backbone, batches: Batches, precision: str) -> Results:
    """Do gradients reach the first blocks of NAME? Their norms by block, and dE/dx_l = dE/dx_L + the term through branches."""
    _require_fp32(precision)
    flow = analysis.gradient_flow(net, batches)
    click.echo(
        f"norm of the gradient at the first block's input {flow.feature_norm[0]:.3g}, at the last block's output "
        f"{flow.feature_norm[-1]:.3g}; ratio of the first to the last: {flow.first_to_last:.3g}"
    )
    yield "gradient_flow", flow
    terms = analysis.gradient_decomposition(net, batches)
    for i, (first, last) in enumerate(terms.chains):
        click.echo(
            f"{terms.blocks[first]} to {terms.blocks[last - 1]}: {terms.survival[first]:.2f} of ||dE/dx_L|| arrives through skips "
            f"alone; the sum of both terms differs from autograd's gradient by {terms.deviation[i]:.1e}"
        )
    yield "gradient_decomposition", terms


@analyze.command()
@NETWORK
@click.option("--depths", required=True, metavar="N,N,...", help="Blocks in each stage.")
@click.option("--out", required=True, type=FOLDER, help="Folder for the network.")
def deepen(name: str, depths: str, out: Path, **network: Any) -> None:
    """Save a deeper network that computes the same function as NAME, as a start for training."""
    try:
        numbers = tuple(map(int, depths.split(",")))
    except ValueError:
        raise InputError(f"--depths must be numbers with commas between them, got {depths!r}") from None
    net = load(name, **network)[0].eval()
    deeper = analysis.deepen(net, numbers)
    save_model(deeper, out)
    x = noise_images(net, 2, max(32, net.smallest_input))
    with torch.inference_mode():
        difference = float((net(x) - deeper(x)).abs().max())
    before, after = (sum(1 for _ in each.blocks()) for each in (net, deeper))
    click.echo(
        f"{before} blocks became {after}; on two images of noise the logits differ by {difference:.1e} at most; "
        f"saved in {printable(out)}"
    )


@measurement
def survival(net: Backbone, batches: Batches) -> Results:
    """Can NAME act like a shallower network? Scales one branch at a time, and all, and counts changed predictions."""
    result = analysis.block_survival(net, batches)
    for factor, one, every in zip(result.values, result.changed.mean(0).tolist(), result.changed_all.tolist(), strict=True):
        click.echo(
            f"branches times {factor:g}: one block at a time {one:.2f} % of the predictions change, all blocks {every:.2f} %"
        )
    yield "survival", result


@measurement
def response(net: Backbone, batches: Batches) -> Results:
    """How small are the residuals of NAME? Standard deviations of all 3x3 layers' responses, and ||F(x)|| / ||x||."""
    std = analysis.response_std(net, batches)
    click.echo(f"median over {len(std.layers)} layers of the responses' standard deviation: {std.median:.3f}")
    yield "response_std", std
    ratio = analysis.branch_ratio(net, batches)
    click.echo(f"median over {len(ratio.blocks)} blocks of ||F(x)|| / ||skip||: {ratio.median:.3f}")
    yield "branch_ratio", ratio


@measurement
@click.option(
    "--draws", default=10, type=click.IntRange(0), help="Draws of several blocks and of orders; 0 deletes single blocks only."
)
def lesion(net: Backbone, batches: Batches, draws: int, seed: int) -> Results:
    """Can NAME do without a block? Deletes each one, several at once, and swaps blocks."""
    result = analysis.lesion(net, batches)
    click.echo(f"error: unchanged network {result.clean_error:.2f} %, guessing {result.chance_error:.2f} %; without one block:")
    for name, output, error in zip(result.blocks, result.deleted_output, result.error.tolist(), strict=True):
        click.echo(f"  {name}  {error:6.2f} %  ({output} stays)")
    yield "lesion", result
    if not draws:
        return
    many = analysis.lesion_many(net, batches, draws=draws, seed=seed)
    click.echo(f"without k blocks, median of {draws} draws: {_percents(many.values, many.quantile(0.5))}")
    yield "lesion_many", many
    try:
        swapped = analysis.reorder(net, batches, draws=draws, seed=seed)
    except ValueError as error:  # a dense network, for example
        click.echo(f"not reordered: {printable(error)}")
        return
    click.echo(f"after k swaps of two blocks, median of {draws} draws: {_percents(swapped.values, swapped.quantile(0.5))}")
    yield "reorder", swapped


@measurement
@click.option("--draws", default=1, type=click.IntRange(1), help="Paths of each length for each image.")
def paths(net: Backbone, batches: Batches, draws: int, seed: int) -> Results:
    """How long are the paths through which NAME learns? Measures the gradient through paths of each length."""
    found = analysis.path_gradients(net, batches, draws=draws, seed=seed)
    for share in (0.9, 0.95):
        low, high = found.effective(share)
        click.echo(
            f"{share:.0%} of the gradient goes through paths of {low} to {high} of {len(found.blocks)} branches, "
            f"which are {found.share_of_paths(low, high):.2%} of all paths"
        )
    yield "paths", found


@measurement
def shattered(net: Backbone, batches: Batches, seed: int) -> Results:
    """Do the gradients of NAME look like white noise? Their autocorrelation from image to image, and the rank of their matrix."""
    images = torch.cat([x for x, _ in batches])[:8]
    if len(images) < 2:
        raise InputError("gradients are measured on lines between two images: set --images to 2 or more")
    lines = analysis.gradient_autocorrelation(net, images[: len(images) // 2 * 2], seed=seed)  # a line for each pair
    mean = lines.by_line.mean(0)
    click.echo(f"autocorrelation at lag 1: {mean[1]:.3f}; white noise {lines.white[1]:.3f}, brown {lines.brown[1]:.3f}")
    yield "autocorrelation", lines
    rank = analysis.effective_rank(net, batches, unit_rows=True, seed=seed)
    click.echo(
        f"stable rank {rank.stable_rank:.1f}, effective rank {rank.effective_rank:.1f} of {rank.shape[0]} images; "
        f"of a Gaussian matrix {rank.gaussian_stable_rank:.1f} and {rank.gaussian_effective_rank:.1f}"
    )
    yield "effective_rank", rank


@measurement
def propagation(net: Backbone, batches: Batches) -> Results:
    """How does the signal grow through the blocks of NAME? Squared mean and variance of channels, block by block."""
    found = analysis.signal_propagation(net, batches)
    for name, variance, branch in zip(found.blocks, found.variance.tolist(), found.branch_variance.tolist(), strict=True):
        click.echo(f"{name}  variance {variance:8.3f}, of the branch {branch:8.3f}")
    yield "propagation", found


@measurement
@click.option("--draws", default=3, type=click.IntRange(1), help="Draws of noise on images and weights; branches get one.")
def noise(net: Backbone, batches: Batches, draws: int, seed: int) -> Results:
    """How robust is NAME to noise? Adds noise to images, to weights, and to one branch at a time."""
    for where, measure in (("input", analysis.input_noise), ("weight", analysis.weight_noise)):
        sweep = measure(net, batches, draws=draws, seed=seed)
        means = _percents(sweep.values, sweep.mean_accuracy)
        click.echo(f"accuracy {sweep.clean_accuracy:.2f} %; under {where} noise: {means}")
        yield f"{where}_noise", sweep
    branches = analysis.branch_noise(net, batches, draws=1, seed=seed)
    means = _percents(branches.values, branches.mean_accuracy.mean(0))
    click.echo(f"under noise on one branch, relative to its output, mean over the blocks: {means}")
    yield "branch_noise", branches


@measurement
@click.option("--points", default=25, type=click.IntRange(2), help="Points along each direction.")
@click.option("--span", default=1.0, type=click.FloatRange(0, 1e30, min_open=True), help="From -span to span.")
@click.option("--dimensions", default=2, type=click.IntRange(1, 2), help="1 for a line, 2 for a plane.")
@click.option(
    "--batch-norm", type=click.Choice(["running", "recalibrated", "batch"]), default="running", help="Statistics of norms."
)
@click.option("--compile", "compiled", is_flag=True, help="Compile the network first.")
@click.option("--h5", is_flag=True, help="Write landscape.h5 too, in the layout of loss-landscape.")
def landscape(
    net: Backbone,
    batches: Batches,
    out: Path,
    seed: int,
    precision: Literal["fp32", "bf16"],
    points: int,
    span: float,
    dimensions: int,
    batch_norm: Literal["running", "recalibrated", "batch"],
    compiled: bool,
    h5: bool,
) -> Results:
    """Compute the loss of NAME on a plane through its weights, along filter-normalized random directions.

    The same command again resumes where it was stopped; torchrun shares the points among processes. For a plane it draws
    contours and a 3-D surface, and with plotly (resnetlib[landscape]) it writes an interactive page.
    """
    if h5 and not find_spec("h5py"):
        raise InputError("--h5 needs h5py: pip install 'resnetlib[landscape]'")
    surface = analysis.landscape(
        net, batches, span, points, dimensions=dimensions, seed=seed, batch_norm=batch_norm, precision=precision,
        compiled=compiled, out=out / "landscape.json",
    )  # fmt: skip
    finite = surface.loss[surface.loss.isfinite()]
    losses = f"from {finite.min():.4f} to {finite.max():.4g}" if len(finite) else "no loss is finite"
    total = surface.loss.numel()
    losses += f", not finite at {total - len(finite)} of {total} points" if 0 < len(finite) < total else ""
    click.echo(
        f"loss {surface.loss_at_center:.4f} and accuracy {surface.accuracy_at_center:.2f} % at the weights; "
        f"on the {'line' if dimensions == 1 else 'plane'} {losses}"
    )
    if h5:
        analysis.write_h5(out / "landscape.h5", surface)
    if dimensions == 2:
        write_figure(out / "landscape-3d.png", analysis.plot_3d(surface).figure)
        if find_spec("plotly"):
            analysis.write_html(out / "landscape.html", surface)
            click.echo(f"wrote {printable(out / 'landscape.html')} and landscape-3d.png")
    yield "landscape", surface
