"""Draw the figures of the lecture's pages from the saved results; nothing is measured.

python examples/lecture.py --results docs/results --out docs/lecture
"""

import argparse
from pathlib import Path

from lecture_figures import blocks, convergence, depths, landscapes, noise, signals, steps, training
from matplotlib import rc_context

from resnetlib.analysis.style import RC

MODULES = (training, convergence, steps, signals, blocks, noise, landscapes, depths)
FIGURES = {name: draw for module in MODULES for name, draw in module.FIGURES.items()}


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--results", type=Path, default=Path("docs/results"), help="the folder of the JSON files")
    cli.add_argument("--out", type=Path, required=True, help="the folder to write the PNGs to")
    cli.add_argument("--only", nargs="+", choices=FIGURES, default=list(FIGURES))
    args = cli.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    for name in args.only:
        path = args.out / f"{name.replace('_', '-')}.png"
        with rc_context(RC):
            FIGURES[name](args.results).savefig(path, dpi=110)
        print(path)


if __name__ == "__main__":
    main()
