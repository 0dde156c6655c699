"""Every command that writes files, as small as it can be, each with the folder it writes to."""

from pathlib import Path

import numpy as np
from PIL import Image

EVALUATE = (
    *("evaluate", "--limit", "2", "--attack", "fgsm", "--quick", "--threat", "transfer"),
    *("--directions", "1", "--out", "run"),
)
COMMANDS: dict[str, tuple[str, ...]] = {
    "evaluate": EVALUATE,
    "report": ("report", "runs/first", "--tables", "tables", "--out", "page.html"),
    "predict": ("predict", "image.png", "--directions", "1"),
    "certify": (
        *("certify", "--limit", "2", "--samples", "20", "--selection", "5"),
        *("--out", "certified"),
    ),
    "tune": (
        *("tune", "--limit", "4", "--directions", "1", "--radii", "1,2", "--refinements", "1"),
        *("--out", "tuned"),
    ),
    "trace": ("trace", "--random", "--length", "0.001", "--out", "traced"),
    "regions": ("regions", "--epochs", "20", "--widths", "4,4", "--out", "regions"),
    "spectrum": (
        *("spectrum", "--epochs", "20", "--widths", "4", "--grid", "5", "--highest", "20"),
        *("--out", "spectrum"),
    ),
    "reproduce": (
        *("reproduce", "figure2", "--limit", "2", "--attack", "fgsm", "--values", "3,6"),
        *("--quick", "--out", "reproduced"),
    ),
}


def save_image(path: Path) -> None:
    """Write some image."""
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    Image.fromarray(noise).save(path)
