"""Images per second of the trainer, with its defaults, beside the loop that tutorials show, taking turns.

    python examples/bench/training_loop.py --data cifar-10-batches-bin --out docs/results/training_loop.json

The loop: PIL images through torchvision's transforms in a DataLoader with worker processes, the network in fp32 and eager, images
as N C H W, SGD. Both train the same network on the same images for one epoch in each round.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import v2

import resnetlib
from resnetlib.data import LabeledImages, cifar10
from resnetlib.train import fit, recipe_of


class Pictures(Dataset[tuple[torch.Tensor, int]]):
    def __init__(self, data: LabeledImages) -> None:
        self.images = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in data.images]
        self.labels = data.labels.tolist()
        mean, std = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)
        to_input = [v2.ToImage(), v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean, std)]
        self.transform = v2.Compose([v2.RandomCrop(32, padding=4), v2.RandomHorizontalFlip(), *to_input])

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        return self.transform(self.images[i]), self.labels[i]


def tutorial(name: str, pictures: Pictures, batch: int, device: str) -> float:
    net = resnetlib.create_model(name, device=device)
    sgd = torch.optim.SGD(net.parameters(), 0.1, momentum=0.9, weight_decay=1e-4)
    loss = torch.nn.CrossEntropyLoss()
    workers = min(8, os.cpu_count() or 1)
    loader = DataLoader(pictures, batch, shuffle=True, drop_last=True, num_workers=workers, pin_memory=device == "cuda")
    batches = iter(loader)
    x, labels = next(batches)  # the workers have begun
    seen, start = 0, time.perf_counter()
    for x, labels in batches:
        sgd.zero_grad()
        loss(net(x.to(device)), labels.to(device)).backward()
        sgd.step()
        seen += len(labels)
    if device == "cuda":
        torch.cuda.synchronize()
    return seen / (time.perf_counter() - start)


def ours(name: str, data: LabeledImages, batch: int, device: str, compiled: bool) -> float:
    few = data.first(batch)
    recipe = recipe_of("one_cycle_cifar", batch_size=batch, epochs=2 if compiled else 1)
    with tempfile.TemporaryDirectory() as folder:
        fit(resnetlib.create_model(name), data, few, recipe, folder, device=device, compiled=compiled, sample=batch)
        last = Path(folder, "log.jsonl").read_text().splitlines()[-1]  # compiled: the second epoch, when all is compiled
    return float(json.loads(last)["images_per_second"])


def main() -> None:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True)
    cli.add_argument("--model", default="cifar_resnet20")
    cli.add_argument("--images", type=int, default=5120)
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--rounds", type=int, default=5)
    cli.add_argument("--compile", action="store_true", help="our network compiled")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--out", type=Path)
    args = cli.parse_args()
    train = cifar10(args.data, "train").first(args.images)
    pictures, speeds = Pictures(train), []
    for _ in range(args.rounds):
        mine = ours(args.model, train, args.batch, args.device, args.compile)
        speeds.append((mine, tutorial(args.model, pictures, args.batch, args.device)))
        print("images per second: ours {:.1f}, tutorial {:.1f}".format(*speeds[-1]))
    ours_median, theirs_median = (statistics.median(column) for column in zip(*speeds, strict=True))
    result = {"ours": ours_median, "tutorial": theirs_median, "ours_over_tutorial": statistics.median(a / b for a, b in speeds)}
    print(json.dumps(result))
    if args.out:
        about = {key: getattr(args, key) for key in ("model", "images", "batch", "rounds", "compile", "device")}
        args.out.write_text(json.dumps({**about, "torch": torch.__version__, "images_per_second": result}, indent=2) + "\n")


if __name__ == "__main__":
    main()
