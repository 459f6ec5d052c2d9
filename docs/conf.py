"""How the manual is built: sphinx-build -W docs docs/_build."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from docutils import nodes
from latex2mathml.converter import convert

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from numbers_of_results import numbers

from resnetlib import __version__, build, list_models, spec_of
from resnetlib.analysis import measure_cost
from resnetlib.weights import describe, list_pretrained, tags_of

project = "resnetlib"
author = "the resnetlib maintainers"
copyright = "the resnetlib maintainers"
release = version = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb", "sphinx_gallery.gen_gallery"]
exclude_patterns = ["_build", "_generated", "gallery/*.ipynb", "gallery/*.py", "gallery/*.md5"]
html_theme = "furo"
html_title = f"resnetlib {__version__}"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_js_files = ["tables.js"]
html_math_renderer = "mathml"
myst_enable_extensions = ["colon_fence", "dollarmath", "substitution"]
myst_heading_anchors = 3
myst_substitutions = numbers()
nb_execution_mode = "off"
nb_merge_streams = True
nitpicky = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
autodoc_preserve_defaults = True
napoleon_google_docstring = True
napoleon_custom_sections = ["Shapes", "Source"]
default_role = "literal"
sphinx_gallery_conf = {
    "examples_dirs": "../examples/gallery",
    "gallery_dirs": "gallery",
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "copyfile_regex": r".^",
    "download_all_examples": False,
    "remove_config_comments": True,
    "show_signature": False,
    "write_computation_times": False,
}

HERE = Path(__file__).parent


def write_table(name: str, headings: str, rows: Iterable[Iterable[object]]) -> None:
    """Write a table; a colon at the end of a heading aligns the column to the right."""
    columns = headings.split(" | ")
    lines = [[column.rstrip(":") for column in columns], ["-:" if column.endswith(":") else "-" for column in columns], *rows]
    text = "\n".join(f"| {' | '.join(map(str, line))} |" for line in lines) + "\n"
    path = HERE / "_generated" / f"{name}.md"
    path.parent.mkdir(exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


def write_tables(*_: object) -> None:
    """Write the tables of networks and weights: what is measured here, and what the pretrained configs say."""
    names = list_models()
    nets = {name: build(spec_of(name), device="meta") for name in names}
    costs = {name: measure_cost(net, 224 if net.spec.stem == "imagenet" else 32) for name, net in nets.items()}
    write_table(
        "networks",
        "name | class | parameters: | MACs: | kept for backward:",
        (
            (f"`{n}`", type(nets[n]).__name__, f"{c.params:,}", f"{c.macs / 1e6:,.1f} M", f"{c.saved_bytes / 2**20:,.1f} MiB")
            for n, c in costs.items()
        ),
    )
    weights = [describe(name) for name in list_pretrained()]
    write_table(
        "catalog",
        "name | input: | trained by | recipe | measured on",
        ((f"`{c.full_name}`", c.preprocess.size if c.preprocess else "", c.origin, c.recipe, c.evaluated_on) for c in weights),
    )
    speeds = json.loads((HERE / "results" / "speeds.json").read_text())["results"]
    for task, classes in (("imagenet", 1000), ("cifar10", 10), ("cifar100", 100)):
        write_table(
            task,
            "name | top-1 (%): | parameters (M): | MACs (G): | input: | images/s: | license | source",
            (
                (
                    f"`{c.full_name}`",
                    *columns(c, costs[c.name].macs),
                    speed_of(c, speeds),
                    c.license,
                    source(c),
                )
                for c in sorted(weights, key=lambda c: -(c.top1 or 0))
                if len(c.classes or ()) == classes
            ),
        )
    rows = []
    for name, net in nets.items():
        if tags := tags_of(name):
            net.reset_classifier(0)
            maps, millions = net.feature_info, sum(parameter.numel() for parameter in net.parameters()) / 1e6
            channels, strides = (", ".join(map(str, values)) for values in (maps.channels(), maps.reduction()))
            rows.append(
                (f"`{name}.{tags[0]}`", net.num_features, channels, strides, f"{millions:.2f}", f"{costs[name].macs / 1e9:.2f}")
            )
    headings = "name | features: | channels of the maps | strides | parameters (M): | MACs (G):"
    write_table("backbones", headings, rows)


def columns(cfg: Any, macs: int) -> tuple[str, ...]:
    """Format the accuracy, the size and the input of a set of weights."""
    top1 = f"{cfg.top1:.2f}" if cfg.top1 is not None else ""
    return top1, f"{cfg.params / 1e6:.2f}", f"{macs / 1e9:.2f}", str(cfg.preprocess.size if cfg.preprocess else "")


def source(cfg: Any) -> str:
    """Say who trained the weights, in a word or two, with a link to their page or to the recipe."""
    if cfg.tag == "resnetlib_c10":
        return "[in the package](results.md#accuracy)"
    name, _, page = cfg.origin.partition(", ")
    url = next((text for text in (page, cfg.recipe) if text.startswith("https://")), "")
    return f"[{name}]({url})" if url else name


def speed_of(cfg: Any, speeds: dict[str, float]) -> str:
    """Format the images per second of a network at the weights' size."""
    speed = speeds.get(f"{cfg.name}, {cfg.preprocess.size}") if cfg.preprocess else None
    return f"{speed:,.{0 if speed >= 10 else 1}f}" if speed else ""


def visit_math(self: Any, node: nodes.Element) -> None:
    """Write a formula as MathML, which browsers render without a script."""
    display = "block" if isinstance(node, nodes.math_block) else "inline"
    self.body.append(f'<{"div" if display == "block" else "span"} class="math">{convert(node.astext(), display=display)}')
    self.body.append("</div>" if display == "block" else "</span>")
    raise nodes.SkipNode


def name_thumbnails(app: Any, doctree: nodes.document) -> None:
    """Give the gallery's thumbnails an alternative text."""
    for image in doctree.findall(nodes.image):
        if image["uri"].endswith("_thumb.png") and not image.get("alt"):
            name = image["uri"].partition("sphx_glr_plot_")[2].removesuffix("_thumb.png").lstrip("0123456789_")
            image["alt"] = f"The picture of the example: {name.replace('_', ' ')}"


def setup(app: Any) -> None:
    """Write the tables before the pages are read, and formulas as MathML."""
    app.add_html_math_renderer("mathml", inline_renderers=(visit_math, None), block_renderers=(visit_math, None))
    app.connect("builder-inited", write_tables)
    app.connect("doctree-read", name_thumbnails)
