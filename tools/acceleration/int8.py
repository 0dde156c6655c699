"""Would eight bits pay? A statically quantised copy by ONNX Runtime, against bfloat16.

    python tools/acceleration/int8.py --limit 500 [--model NAME --weights FILE --data SOURCE]

The folded float32 network is exported, quantised (signed 8 bits per channel of the weights, on 64
images and neighbours of them), and runs beside the copies of `accelerate` in turns, at 128 images
per pass. Labels are compared with float32's on the images and on one neighbour of each at radius 6.
Needs the extra ``onnx`` and the package onnx.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn

from bandlimiter import PostAverage, accelerate, load_data, load_model

PASS = 128


class Calibration:
    """Hands out batches as ONNX Runtime's quantiser reads them."""

    def __init__(self, x: torch.Tensor) -> None:
        self._parts = iter(x.split(PASS))

    def get_next(self) -> dict[str, object] | None:
        """Return the next batch."""
        part = next(self._parts, None)
        return None if part is None else {"x": part.numpy()}


def quantised(network: nn.Module, x: torch.Tensor, threads: int) -> Callable[..., torch.Tensor]:
    """Return the network in eight bits, as a function of images."""
    import onnxruntime
    from onnxruntime.quantization import QuantFormat, QuantType, quantize_static

    folder = Path(tempfile.mkdtemp())
    batch = {0: torch.export.Dim("batch")}
    torch.onnx.export(
        network,
        (x[:2],),
        folder / "f.onnx",
        input_names=["x"],
        dynamic_shapes=(batch,),
        dynamo=True,
    )
    quantize_static(
        *(folder / "f.onnx", folder / "q.onnx", Calibration(x)),
        quant_format=QuantFormat.QDQ,
        per_channel=True,
        activation_type=QuantType.QUInt8,
        weight_type=QuantType.QInt8,
    )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(folder / "q.onnx", options)
    return lambda part: torch.from_numpy(session.run(None, {"x": part.numpy()})[0])


@torch.no_grad()
def main(args: argparse.Namespace) -> None:
    torch.set_num_threads(args.threads)
    model, data = load_model(args.model, args.weights).module, load_data(args.data, args.limit)
    x = data.images(0, len(data))
    points = torch.cat([PostAverage(model, 6.0).neighbours(image)[17:18] for image in x])
    x = torch.cat([x, points])
    expected = torch.cat([model(part).argmax(dim=1) for part in x.split(32)])
    eager = accelerate(model, backend="eager", probe=x[:PASS])
    compiled = accelerate(model, "bfloat16", "compile", probe=x[:PASS])
    float32 = accelerate(model, "float32", "eager", probe=x[:PASS])
    some = torch.cat([x[:64], points[:64]])
    ways = {
        f"{str(eager.dtype)[6:]}, eager": eager.model,
        "bfloat16, compiled": compiled.model,
        "int8": quantised(float32.model.network, some, args.threads),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    labels: dict[str, torch.Tensor] = {}
    for _ in range(args.rounds):
        for name, call in ways.items():
            parts = list(x.split(PASS))
            began = time.perf_counter()
            labels[name] = torch.cat([call(part).argmax(dim=1) for part in parts])
            times[name].append(len(x) / (time.perf_counter() - began))
    print(f"{args.model}, {len(x)} images, {args.threads} threads, {PASS} per pass")
    for name, rates in times.items():
        equal = float((labels[name] == expected).double().mean())
        middle = sorted(rates)[len(rates) // 2]
        print(
            f"{name:18} {middle:7.0f} ({min(rates):.0f} to {max(rates):.0f}) evaluations a second, "
            f"{equal:.4f} of the labels are float32's"
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="sample")
    parser.add_argument("--weights", type=Path)
    parser.add_argument("--data", default="sample")
    parser.add_argument("--limit", type=int, default=500)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=5)
    main(parser.parse_args())
