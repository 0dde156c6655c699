"""From a plain trained network to certified accuracy, by the commands: no BatchNorm, other data.

scikit-learn's digits (1,797 gray images of 8 x 8 pixels), the last 500 for testing, and a small
convolutional network without normalisation layers. All is written to --out: the images as npz
files, the network as a Python file with its weights, what `harden` and `certify` write::

    python tools/hardening/digits.py --out digits
"""

import argparse
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import torch
from torch import nn

TEST, SIGMA, AT = 500, 0.25, "0.25,0.5,0.75"

NETWORK = '''"""A small convolutional network for 8 x 8 digits, without normalisation layers."""

from torch import nn


def build():
    return nn.Sequential(
        nn.Conv2d(1, 32, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(32, 64, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(64, 64, 3, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(64 * 16, 10),
    )
'''


def write_images(out: Path) -> tuple[torch.Tensor, torch.Tensor]:
    """Write train.npz and test.npz in 8 bits; return the training images and their labels."""
    from sklearn.datasets import load_digits

    digits = load_digits()
    x = np.round(digits.images / 16 * 255).astype(np.uint8)[..., None]
    y = digits.target.astype(np.int64)
    np.savez(out / "train.npz", x=x[:-TEST], y=y[:-TEST])
    np.savez(out / "test.npz", x=x[-TEST:], y=y[-TEST:])
    return torch.from_numpy(x[:-TEST, ..., 0])[:, None] / 255, torch.from_numpy(y[:-TEST])


def train_plainly(out: Path, x: torch.Tensor, y: torch.Tensor) -> None:
    """Train without noise, 60 epochs of Adam, and write the weights."""
    scope: dict = {}
    exec(NETWORK, scope)  # noqa: S102  (the text above)
    torch.manual_seed(0)
    network: nn.Module = scope["build"]()
    optimiser = torch.optim.Adam(network.parameters(), 1e-3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(60):
        for rows in torch.randperm(len(x), generator=rng).split(64):
            loss = nn.functional.cross_entropy(network(x[rows]), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
    torch.save(network.state_dict(), out / "plain.pt")


def run(out: Path, *words: str) -> None:
    """Run a command as a user would, in the folder."""
    print("$ bandlimiter", " ".join(words), flush=True)
    command = "from bandlimiter.cli.main import app; app()"
    subprocess.run([sys.executable, "-c", command, *words], check=True, cwd=out)  # noqa: S603


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", default="1")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "network.py").write_text(NETWORK)
    if not (args.out / "plain.pt").exists():
        train_plainly(args.out, *write_images(args.out))
    plain = ("--model", "network.py:build", "--weights", "plain.pt")
    proof = ("--data", "npz:test.npz", "--at", AT, "--samples", "10000")
    sigma = ("--sigma", str(SIGMA))
    noise = (*sigma, "--data", "npz:train.npz", "--minutes", args.minutes, "--augment", "crop")
    run(args.out, "certify", *plain, *proof, *sigma, "--out", "certified-plain")
    run(args.out, "harden", *plain, *noise, "--out", "hardened")
    run(args.out, "certify", "--model", "hardened", *proof, "--out", "certified-hardened")
    for name in ("plain", "hardened"):
        found = json.loads((args.out / f"certified-{name}" / "certified.json").read_text())
        points = ", ".join(
            f"{each['radius']:g}: {each['certified_accuracy']:.3f}" for each in found["curve"]
        )
        print(f"{name}: plain accuracy {found['plain_accuracy']:.3f}; certified at {points}")


if __name__ == "__main__":
    main()
