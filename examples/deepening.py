"""Can a deeper network be worse? Begin it as an exact copy of a shallower one, and train on; beside others of the same budget.

    python examples/deepening.py --data cifar-10-batches-bin --out docs/results/deepening

The copy is the solution by construction of arXiv 1512.03385, sec. 1: each stage gets blocks that are the identity. Then all train
alike on the first --images: the copy, the shallow network itself, and the deep one from weights drawn at random. Errors are in
evaluation. Writes OUT.json, from which examples/lecture.py draws, and trains in --runs, where it goes on after an
interruption.
"""

import argparse
import json
from pathlib import Path
from typing import Any

import torch
from outputs import output_path, with_ending, write_json

import resnetlib
from resnetlib.analysis import deepen
from resnetlib.data import LabeledImages, cifar10
from resnetlib.train import fit, recipe_of
from resnetlib.weights import Preprocessing


@torch.inference_mode()
def compare(net: resnetlib.Backbone, deeper: resnetlib.Backbone, data: LabeledImages) -> dict[str, Any]:
    batches = data.batches(resnetlib.transform_for(net))
    logits = [(net.eval()(x), deeper.eval()(x)) for x, _ in batches]
    return {
        "images": len(data),
        "largest_difference_of_logits": max(float((one - other).abs().max()) for one, other in logits),
        "other_predictions": sum(int((one.argmax(1) != other.argmax(1)).sum()) for one, other in logits),
        "test_error": round(100 - resnetlib.evaluate(net, batches).top1, 4),
    }


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="the folder of CIFAR-10")
    cli.add_argument("--weights", nargs="+", default=["cifar_resnet20.resnetlib_c10", "cifar_plain20.resnetlib_c10"])
    cli.add_argument("--depths", type=int, nargs="+", default=[9, 9, 9], help="blocks in each stage")
    cli.add_argument("--images", type=int, default=10_000, help="the first so many to train on")
    cli.add_argument("--test", type=int, default=10_000, help="test images")
    cli.add_argument("--epochs", type=int, default=5)
    cli.add_argument("--lr", type=float, default=0.05)
    cli.add_argument("--precision", choices=["auto", "fp32", "bf16"], default="auto")
    cli.add_argument("--runs", type=Path, default=Path("runs/deepening"))
    cli.add_argument("--out", type=output_path, required=True, help="the JSON, without its ending")
    args = cli.parse_args()
    train, test = cifar10(args.data, "train").first(args.images), cifar10(args.data, "test").first(args.test)
    recipe = recipe_of("one_cycle_cifar", epochs=args.epochs, batch_size=64, lr=args.lr, weight_decay=1e-4)
    results: dict[str, Any] = {}
    for name in args.weights:
        torch.manual_seed(0)
        net = resnetlib.create_model(name)
        own = net.preprocess if isinstance(net.preprocess, Preprocessing) else None
        deeper = deepen(net, args.depths, batches=train.first(1000).batches(resnetlib.transform_for(net)))
        copy = compare(net, deeper, test)
        ways = {"deepened": deeper, "shallow": net, "deep, from scratch": resnetlib.build(deeper.spec)}
        logs, errors = {}, {}
        for way, start in ways.items():
            out = args.runs / f"{name}-{way.replace(', ', '-').replace(' ', '-')}"
            result = fit(
                start, train, test, recipe, out, preprocess=own, start=f"{name}, {way}", precision=args.precision, sample=1000
            )
            logs[way] = [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]
            errors[way] = {"train_error": result.train_error, "test_error": result.test_error}
            print(f"{name}, {way}: training error {result.train_error:.2f} %, test error {result.test_error:.2f} %")
        print(f"{name}: the copy's logits differ by {copy['largest_difference_of_logits']:.1e} at most")
        results[name] = {"copy": copy, "errors": errors, "logs": logs}
    about = {"images": args.images, "depths": args.depths, "recipe": json.loads(recipe.to_json()), "results": results}
    write_json(with_ending(args.out, ".json"), about)


if __name__ == "__main__":
    main()
