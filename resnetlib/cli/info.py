"""`resnetlib info`: show a network's spec and cost."""

import dataclasses
from typing import Any

import click

from resnetlib.analysis import Cost, measure_cost
from resnetlib.cli.options import echo_table
from resnetlib.config.pretrained import DEFAULT_PREPROCESSING
from resnetlib.deploy.onnx_file import OnnxFile, is_onnx, read_onnx
from resnetlib.errors import InputError, printable
from resnetlib.models import build, spec_of
from resnetlib.modules import Backbone
from resnetlib.weights import describe, tags_of
from resnetlib.weights.find import resolve
from resnetlib.zoo import create_model


@click.command()
@click.argument("name")
@click.option("--weights", metavar="TAG|FILE|URL", help="Weights of the network NAME.")
@click.option(
    "--size", type=click.IntRange(1), help="Pixels on each side of the image.", show_default="224, or 32 for cifar_ names"
)
def info(name: str, weights: str | None, size: int | None) -> None:
    """Show the spec of NAME, and its parameters, operations and memory for one image.

    NAME is a network, weights (`resnet50.tv2_in1k`), `hf-hub:org/name`, a folder, or a file. For an exported network,
    an .onnx file, it shows what the file says.
    """
    if is_onnx(name):
        if size is not None or weights is not None:
            raise InputError(f"--size and --weights are for networks, but {name} is exported: leave them out")
        show_exported(read_onnx(name))
        return
    kind, name = resolve(name)
    if weights is not None:
        net = create_model(name, weights=weights)
    elif kind == "network":
        net, weights = build(spec_of(name), device="meta"), ", ".join(tags_of(name))
    elif kind == "weights":
        cfg = describe(name)
        net, weights = build(cfg.spec, num_classes=len(cfg.classes) if cfg.classes else None, device="meta"), cfg.tag
    else:
        net = create_model(name)
        weights = net.pretrained_cfg.tag
    spec = net.spec
    size = size or DEFAULT_PREPROCESSING[spec.stem].size
    cost = measure_cost(net, size)
    click.echo(f"{printable(name)}: a {type(net).__name__} for images of at least {net.smallest_input} x {net.smallest_input}")
    for field in dataclasses.fields(spec):
        click.echo(f"  {field.name:12} {getattr(spec, field.name)}")
    click.echo(f"  {'weights':12} {printable(weights) or 'none'}")
    click.echo(f"  {'classes':12} {net.num_classes}")
    click.echo(f"\nFor one image of {size} x {size}:")
    click.echo(cost_table(net, cost))


def show_exported(file: OnnxFile) -> None:
    """Print an .onnx file's metadata, one field per line."""
    about, steps, path = file.metadata, file.preprocessing, printable(file.path, 1000)
    if about is None:
        click.echo(f"{path}: a network that another library exported")
    else:
        click.echo(f"{path}: {printable(about['name'])}, exported by resnetlib {printable(about['version'])}")
        echo_table(*about["spec"].items())
        echo_table(("pretrained weights", about["weights"] or "unknown"), ("SHA-256 of weights", about["weights_sha256"]))
        echo_table(("int8", "yes" if about["int8"] else "no"))
    names = (about or {}).get("classes") or []
    shown = f" ({', '.join(printable(name, 40) for name in names[:3])}{' ...' if len(names) > 3 else ''})" if names else ""
    shape = ", ".join(str(side or "any") for side in file.input_shape)
    crop = steps and f"resize to {steps.resize} ({steps.interpolation}), crop {steps.size} x {steps.size}"
    echo_table(
        ("classes", f"{file.num_classes:,}{shown}"),
        ("input", f"(N, {shape})"),
        ("preprocessing", crop or "unknown"),
        ("mean", steps and steps.mean),
        ("deviation", steps and steps.std),
        ("size", mebibytes(len(file.content))),
    )


def cost_table(net: Backbone, cost: Cost) -> str:
    """Format costs as a table."""
    rows = [["", "blocks", "output", "params", "MACs", "activations", "kept for backward"]]
    parts: list[tuple[str, int, str, Any]] = [
        (part.name, part.blocks, " x ".join(map(str, part.output)), part) for part in cost.parts
    ]
    for name, blocks, output, part in [*parts, ("total", sum(part.blocks for part in cost.parts), "", cost)]:
        amounts = [f"{part.params:,}", f"{part.macs / 1e6:,.2f} M", f"{part.activations / 1e6:,.2f} M", mebibytes(part.saved_bytes)]
        rows.append([name, str(blocks or ""), output, *amounts])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) for row in rows]
    dtype = str(next(net.parameters()).dtype).removeprefix("torch.")
    return "\n".join([*lines, f"Parameters and buffers take {mebibytes(cost.weight_bytes)} in {dtype}."])


def mebibytes(count: int) -> str:
    """Format a number of bytes."""
    return f"{count / 2**20:,.1f} MiB"
