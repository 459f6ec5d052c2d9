"""Which learning rate fine-tunes on few images, and what are pretrained weights worth there? Several seeds.

    python examples/finetune_rates.py --photos digits/photos --test digits/test --out docs/results/finetune_rates.json

The folders are those that examples/finetune_digits.py writes. Writes the accuracy on the test images, by rate and seed.
"""

import argparse
import tempfile
from pathlib import Path
from statistics import mean

from outputs import output_path, write_json

import resnetlib
from resnetlib.train import recipe_of


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--photos", type=Path, required=True, help="folder of images to fine-tune on")
    cli.add_argument("--test", type=Path, required=True, help="folder of other images of the same classes")
    cli.add_argument("--rates", type=float, nargs="+", default=[0.02, 0.05, 0.1])
    cli.add_argument("--scratch", type=float, default=0.1, help="learning rate for random weights")
    cli.add_argument("--seeds", type=int, default=3)
    cli.add_argument("--epochs", type=int, default=20)
    cli.add_argument("--out", type=output_path, required=True, help="the JSON")
    args = cli.parse_args()
    ways = [*((False, rate) for rate in args.rates), (True, args.scratch)]
    results: dict[str, list[float]] = {}
    for scratch, rate in ways:
        changes = {"head_only_fraction": 0.0, "stem_lr_scale": 1.0} if scratch else {}
        recipe = recipe_of("finetune", lr=rate, epochs=args.epochs, augmentation="none", **changes)
        name = f"{'from scratch' if scratch else 'fine-tuned'}, rate {rate:g}"
        for seed in range(args.seeds):
            with tempfile.TemporaryDirectory() as out:
                resnetlib.finetune("cifar_resnet20", args.photos, out, recipe=recipe, from_scratch=scratch, seed=seed, workers=0)
                found = resnetlib.evaluate(resnetlib.create_model(out).eval(), args.test)
            results.setdefault(name, []).append(found.top1)
        print(f"{name}: {mean(results[name]):.1f} %")
        write_json(args.out, {"epochs": args.epochs, "results": results})


if __name__ == "__main__":
    main()
