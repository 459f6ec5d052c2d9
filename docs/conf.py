"""How the manual is built: sphinx-build -W docs docs/_build."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1]))

from numbers_of_results import numbers

from resnetlib import __version__, build, list_models, spec_of
from resnetlib.analysis import measure_cost
from resnetlib.weights import describe, list_pretrained

project = "resnetlib"
author = "the resnetlib maintainers"
copyright = "the resnetlib maintainers"
release = version = __version__
extensions = ["sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx.ext.viewcode", "myst_nb"]
exclude_patterns = ["_build", "_generated"]
html_theme = "furo"
html_title = f"resnetlib {__version__}"
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


def write_network_table() -> None:
    """Measure every named network, for the page on networks."""
    rows = ["| name | class | parameters | MACs | kept for backward |", "|-|-|-:|-:|-:|"]
    for name in list_models():
        spec = spec_of(name)
        net = build(spec, device="meta")
        cost = measure_cost(net, 224 if spec.stem == "imagenet" else 32)
        numbers = f"{cost.params:,} | {cost.macs / 1e6:,.1f} M | {cost.saved_bytes / 2**20:,.1f} MiB"
        rows.append(f"| `{name}` | {type(net).__name__} | {numbers} |")
    folder = Path(__file__).parent / "_generated"
    folder.mkdir(exist_ok=True)
    (folder / "networks.md").write_text("\n".join(rows) + "\n")


def write_catalogue() -> None:
    """Tabulate the pretrained configs of all weights, for the page of the catalogue."""
    rows = ["| name | parameters | top-1 | input | recipe | licence |", "|-|-:|-:|-:|-|-|"]
    for name in list_pretrained():
        cfg = describe(name)
        params = f"{cfg.params:,}" if cfg.params else ""
        top1 = f"{cfg.top1:.2f} %" if cfg.top1 is not None else ""
        size = cfg.preprocess.size if cfg.preprocess else ""
        rows.append(f"| `{name}` | {params} | {top1} | {size} | {cfg.recipe} | {cfg.license} |")
    (Path(__file__).parent / "_generated" / "catalogue.md").write_text("\n".join(rows) + "\n")


def write_tables() -> None:
    """Write what is measured and what is looked up."""
    write_network_table()
    write_catalogue()


def setup(app: object) -> None:
    """Run before the pages are read."""
    app.connect("builder-inited", lambda app: write_tables())
