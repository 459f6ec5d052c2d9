"""Train a CIFAR network on the real CIFAR-10 in one cycle, and save it with its measured accuracy.

    python examples/train_cifar.py --data cifar-10-batches-bin --out resnet20.safetensors

cifar_resnet20 takes about two minutes an epoch on two CPU cores. The last epoch's weights are the result: nothing is chosen by
test accuracy. --bf16 is faster on GPUs and on CPUs with AMX; --compile helps everywhere.
"""

import argparse
from pathlib import Path

import torch
from torch.nn import functional
from torch.optim.lr_scheduler import OneCycleLR
from tqdm import tqdm

import resnetlib
from resnetlib.data import cifar10, pad_crop_flip
from resnetlib.weights import Contract, Preprocessing, write_weights

PREPROCESS = Preprocessing.named("cifar10", resize=32, size=32)


def arguments() -> argparse.Namespace:
    cli = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    cli.add_argument("--data", type=Path, required=True, help="cifar-10-batches-bin or cifar-10-batches-py")
    cli.add_argument("--out", type=Path, required=True, help="the safetensors file to write, in fp16")
    cli.add_argument("--model", default="cifar_resnet20", help="a cifar_ name of `resnetlib list`")
    cli.add_argument("--epochs", type=int, default=16)
    cli.add_argument("--batch", type=int, default=128)
    cli.add_argument("--lr", type=float, default=0.2, help="the learning rate at the top of the cycle")
    cli.add_argument("--weight-decay", type=float, default=5e-4)
    cli.add_argument("--images", type=int, default=50_000, help="train on the first so many")
    cli.add_argument("--seed", type=int, default=0)
    cli.add_argument("--tag", default="mine", help="what to call the weights")
    cli.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    cli.add_argument("--bf16", action=argparse.BooleanOptionalAction, default=torch.cuda.is_available())
    cli.add_argument("--compile", action="store_true")
    return cli.parse_args()


def train(net: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor, args: argparse.Namespace) -> None:
    model = torch.compile(net) if args.compile else net
    steps = len(images) // args.batch
    sgd = torch.optim.SGD(net.parameters(), args.lr, momentum=0.9, weight_decay=args.weight_decay, nesterov=True)
    schedule = OneCycleLR(
        sgd, args.lr, total_steps=args.epochs * steps, pct_start=0.2, anneal_strategy="linear", cycle_momentum=False
    )
    for epoch in range(1, args.epochs + 1):
        order = torch.randperm(len(images))[: steps * args.batch].to(images.device)
        right = torch.zeros((), device=images.device)
        with tqdm(order.split(args.batch), desc=f"epoch {epoch}/{args.epochs}", unit="step") as bar:
            for step, batch in enumerate(bar, 1):
                with torch.autocast(images.device.type, torch.bfloat16, enabled=args.bf16):
                    logits = model(PREPROCESS(pad_crop_flip(images[batch])))
                loss = functional.cross_entropy(logits.float(), labels[batch])
                sgd.zero_grad()
                loss.backward()
                sgd.step()
                schedule.step()
                right += (logits.argmax(1) == labels[batch]).sum()
                if step % 10 == 0 or step == steps:
                    bar.set_postfix(loss=f"{loss.item():.3f}", train=f"{right.item() / (step * args.batch):.2%}")


def main() -> None:
    args = arguments()
    torch.manual_seed(args.seed)
    data, test = cifar10(args.data, "train"), cifar10(args.data, "test")
    net = resnetlib.create_model(args.model, device=args.device).to(memory_format=torch.channels_last)
    train(net, data.images[: args.images].to(args.device), data.labels[: args.images].to(args.device), args)

    net = net.half().float()  # what is measured is what is saved
    batches = zip(map(PREPROCESS, test.images.split(500)), test.labels.split(500), strict=True)
    result = resnetlib.evaluate(net, batches)
    contract = Contract(
        name=args.model,
        tag=args.tag,
        spec=resnetlib.spec_of(args.model),
        classes=data.classes,
        preprocess=PREPROCESS,
        top1=result.top1,
        evaluated_on=f"the {result.images:,} test images of CIFAR-10",
        recipe=f"one cycle of {args.epochs} epochs of {min(args.images, len(data)):,} images: SGD, Nesterov 0.9, "
        f"batch {args.batch}, top lr {args.lr}, weight decay {args.weight_decay}, pad 4, crop, flip, seed {args.seed}; "
        "last epoch's weights",
        license="Apache-2.0",
        origin="resnetlib, examples/train_cifar.py",
    )
    write_weights(net, args.out, contract, dtype=torch.float16)
    print(f"{result.top1:.2f} % of {result.images:,} test images right; wrote {args.out}")


if __name__ == "__main__":
    main()
