"""The files that the guide's commands name, made small from the packaged model and images."""

import pickle
import shutil
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import load_file

from bandlimiter.data import load_data
from bandlimiter.defence import PostAverage
from bandlimiter.evaluation import evaluate, write_adversarial
from bandlimiter.models import load_model
from tests.guide.pages import ROOT, python_blocks

FEW = 4
_WEIGHTS = ROOT / "src/bandlimiter/assets/resnet20.safetensors"


def write(folder: Path) -> None:
    """Put into ``folder`` all that commands of the guide ask for."""
    photos = load_data("sample", limit=FEW)
    pixels = (photos.images(0, FEW) * 255).round().to(torch.uint8).numpy()
    labels = photos.labels.tolist()
    torch.save(load_file(_WEIGHTS), folder / "weights.pt")
    for name in ("images.npz", "FILE"):
        with (folder / name).open("wb") as file:
            np.savez(file, x=pixels, y=np.array(labels))
    _write_cifar10(folder / "FOLDER", pixels, labels)
    Image.fromarray(pixels[0].transpose(1, 2, 0)).save(folder / "photo.png")
    for label in range(10):
        (folder / "photos" / str(label)).mkdir(parents=True)
        shutil.copy(folder / "photo.png", folder / "photos" / str(label))
    write_adversarial(
        folder / "adversarial.safetensors", photos.images(0, FEW), photos.ids, attack="none"
    )
    write_modules(folder)


def write_logs(folder: Path) -> None:
    """Write certification logs: one of ours, in its folder, and another."""
    log = "idx\tlabel\tpredict\tradius\tcorrect\ttime\n0\t3\t3\t0.25\t1\t0:00:01\n"
    (folder / "certified").mkdir()
    for place in ("certified/certified.tsv", "others.tsv"):
        (folder / place).write_text(log)


def write_modules(folder: Path) -> None:
    """Write the blocks of the guide that are files of their own."""
    for title, code in python_blocks("docs/own_model.md"):
        if title:
            (folder / title).write_text(code)


def write_imagenet(folder: Path) -> None:
    """Write random weights for the smallest of torchvision's networks, and 1,000 class folders.

    The network leans to the first class, so that it is right on the first image and attacked.
    """
    from torchvision import models

    torch.manual_seed(0)
    weights = models.squeezenet1_1(weights=None).state_dict()
    weights["classifier.1.bias"][0] += 1
    torch.save(weights, folder / "tiny.pth")
    for number in range(1000):
        home = folder / "val" / f"class{number:03d}"
        home.mkdir(parents=True)
        shutil.copy(folder / "photo.png", home)


def write_run(folder: Path) -> None:
    """Write a run of one attack on two images, as ``--out`` does."""
    classifier = load_model("sample")
    defended = PostAverage(classifier.module, radius=6, directions=1)
    photos = load_data("sample", limit=2)
    evaluate(
        classifier.module, defended, photos, ["fgsm"], quick=True, threat="transfer", out=folder
    )


def write_hardened(folder: Path) -> None:
    """Write what `harden` leaves: here the packaged hardened network's own files."""
    shutil.copytree(ROOT / "src/bandlimiter/assets/sample-hardened", folder)


def _write_cifar10(folder: Path, pixels: np.ndarray, labels: list[int]) -> None:
    """Python batches, as the data set's authors give them, all with the same images."""
    folder.mkdir()
    batch = {b"data": pixels.reshape(len(pixels), -1), b"labels": labels}
    for name in ("test_batch", *(f"data_batch_{number}" for number in range(1, 6))):
        (folder / name).write_bytes(pickle.dumps(batch))
