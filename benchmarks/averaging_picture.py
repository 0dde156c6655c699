"""The pictures of benchmarks/averaging*.py: speeds, how many samples images take, growth.

python benchmarks/averaging_picture.py SPEED.json LABELS.json PICTURE

draws the first again from what one run of averaging.py found of speeds and one of labels.
"""

import json
import sys
from pathlib import Path
from typing import Any

INK, FIRST, SECOND = "#333333", "#2a6fbb", "#c8553d"
COLOURS = (FIRST, SECOND, "#7a9e48")


def draw(path: Path, speed: dict[str, Any], labels: dict[str, Any], evaluations: int) -> None:
    """Draw images a second as bars, and the shares of images decided by each sample."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 4.2), layout="constrained")
    FigureCanvasAgg(figure)
    left, right = figure.subplots(1, 2, width_ratios=(1.2, 1))
    names = [name for name in speed if name != "plain forward"]
    rates = [speed[name]["images_a_second"] for name in names]
    bars = left.barh(names, rates, color=FIRST, height=0.7)
    gains = [f"{speed[name]['times_the_loop'][0]:.1f}x" for name in names]
    left.bar_label(bars, gains, padding=3, color=INK, fontsize=9)
    left.set_xlabel("images a second (x: times the straightforward loop)")
    left.set_xlim(0, 1.15 * max(rates))
    left.invert_yaxis()

    for (name, rows), colour in zip(labels.items(), COLOURS, strict=False):
        for alpha, line in (("0.001", "-"), ("0.01", "--")):
            row = rows[f"anytime {alpha}, bf16"]
            samples = [0, *sorted(row["samples"])]
            share = [place / (len(samples) - 1) for place in range(len(samples))]
            label = f"{name}, alpha = {alpha}: mean {row['mean_samples']:.1f}"
            right.step(samples, share, line, where="post", color=colour, label=label)
    right.set(xlim=(0, evaluations), ylim=(0, 1), ylabel="share of images")
    right.set_xlabel(f"evaluations spent, of {evaluations} (anytime, bf16)")
    right.legend(facecolor="white", framealpha=1, edgecolor="none", fontsize=8, loc="lower right")
    for axes in (left, right):
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(axis="x", color="#dddddd", linewidth=0.6)
        axes.set_axisbelow(True)
    figure.savefig(path, dpi=140)


def draw_growth(path: Path, by_length: dict[str, Any], by_directions: list[Any]) -> None:
    """Draw seconds and peak memory against a stream's length, and seconds against K."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 3.4), layout="constrained")
    FigureCanvasAgg(figure)
    time, memory, directions = figure.subplots(1, 3)
    for (stop, rows), colour in zip(by_length.items(), COLOURS, strict=False):
        images = [row["images"] for row in rows]
        time.plot(images, [row["seconds"] for row in rows], "o-", color=colour, label=stop)
        memory.plot(images, [row["peak_mib"] for row in rows], "o-", color=colour, label=stop)
    time.set(xlabel="images in the stream", ylabel="seconds")
    memory.set(xlabel="images in the stream", ylabel="peak resident memory, MiB", ylim=(0, None))
    time.legend(frameon=False)
    evaluations = [row["evaluations"] for row in by_directions]
    directions.plot(evaluations, [row["seconds"] for row in by_directions], "o-", color=FIRST)
    directions.set(xlabel="6K + 1 evaluations (stop='never')", ylabel="seconds an image")
    for axes in (time, memory, directions):
        axes.set_xlim(0, None)
        axes.set_ylim(0, None)
        axes.spines[["top", "right"]].set_visible(False)
        axes.grid(color="#dddddd", linewidth=0.6)
    figure.savefig(path, dpi=140)


if __name__ == "__main__":
    speeds, found = (json.loads(Path(name).read_text()) for name in sys.argv[1:3])
    draw(Path(sys.argv[3]), speeds["speed"], found["labels"], evaluations=91)
