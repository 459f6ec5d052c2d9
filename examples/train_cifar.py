"""Train a CIFAR network on the real CIFAR-10 in one cycle, and save it with its measured accuracy.

    python examples/train_cifar.py --data cifar-10-batches-bin --out resnet20.safetensors

About two minutes an epoch on two CPU cores for cifar_resnet20. The last epoch's weights are the result; nothing is chosen by test
accuracy. On a GPU, or a CPU with AMX, --bf16 is several times faster.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

import resnetlib
from resnetlib.data import cifar10, pad_crop_flip
from resnetlib.weights import CIFAR10


def arguments() -> argparse.Namespace:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--model", default="cifar_resnet20", help="a cifar_ name of `resnetlib list`")
    cli.add_argument("--data", type=Path, required=True, help="cifar-10-batches-bin or cifar-10-batches-py")
    cli.add_argument("--out", type=Path, required=True, help="the safetensors file to write")
    cli.add_argument("--epochs", type=int, default=16)
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--lr", type=float, default=0.2, help="the learning rate at the top of the cycle")
    cli.add_argument("--weight-decay", type=float, default=5e-4)
    cli.add_argument("--images", type=int, default=50_000, help="train on the first so many")
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    cli.add_argument("--compile", action="store_true")
    return cli.parse_args()


def train(args: argparse.Namespace) -> torch.nn.Module:
    torch.manual_seed(args.seed)
    data = cifar10(args.data, "train")
    images, labels = (t[: args.images].to(args.device) for t in (data.images, data.labels))
    net = resnetlib.create_model(args.model, device=args.device).to(memory_format=torch.channels_last)
    step = torch.compile(net) if args.compile else net
    steps = args.epochs * (len(images) // args.batch)
    optimizer = torch.optim.SGD(net.parameters(), args.lr, momentum=0.9, weight_decay=args.weight_decay, nesterov=True)
    schedule = OneCycleLR(optimizer, args.lr, total_steps=steps, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False)
    with tqdm(total=steps, unit="step") as bar:
        for epoch in range(1, args.epochs + 1):
            right = seen = 0
            for batch in torch.randperm(len(images))[: steps // args.epochs * args.batch].split(args.batch):
                batch = batch.to(args.device)
                x = CIFAR10.normalise(pad_crop_flip(images[batch]))
                with torch.autocast(args.device, torch.bfloat16, enabled=args.bf16):
                    logits = step(x)
                loss = functional.cross_entropy(logits.float(), labels[batch])
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
                schedule.step()
                right, seen = right + (logits.argmax(1) == labels[batch]).sum(), seen + len(batch)
                bar.update()
                if bar.n % 20 == 0:
                    bar.set_postfix(epoch=epoch, loss=f"{loss.item():.3f}", train_accuracy=f"{right / seen:.2%}")
    return net
