"""What every room needs of torch: normaliser, seeded streams, chunked passes, checks."""

from bandlimiter.tensors.arrays import as_float64
from bandlimiter.tensors.checks import (
    as_labels,
    clip_rounding,
    is_number,
    require_images,
    require_inputs,
    require_labels,
    require_no_nan,
)
from bandlimiter.tensors.chunks import ChunkLimit, map_chunks
from bandlimiter.tensors.device import place_of, resolve_device
from bandlimiter.tensors.gradients import require_autograd, slope, usable, with_graph
from bandlimiter.tensors.independence import answers_differ, require_independent, rounding_share
from bandlimiter.tensors.modules import (
    as_written,
    copied,
    freeze,
    require_eval,
    require_graphs_in_eval,
    require_module,
    set_training,
)
from bandlimiter.tensors.normalise import Normalise, find_normaliser
from bandlimiter.tensors.outputs import (
    find_logits,
    logits_of,
    model_logits,
    require_no_overflow,
)
from bandlimiter.tensors.seeding import Key, generator

__all__ = [
    "ChunkLimit",
    "Key",
    "Normalise",
    "answers_differ",
    "as_float64",
    "as_labels",
    "as_written",
    "clip_rounding",
    "copied",
    "find_logits",
    "find_normaliser",
    "freeze",
    "generator",
    "is_number",
    "logits_of",
    "map_chunks",
    "model_logits",
    "place_of",
    "require_autograd",
    "require_eval",
    "require_graphs_in_eval",
    "require_images",
    "require_independent",
    "require_inputs",
    "require_labels",
    "require_module",
    "require_no_nan",
    "require_no_overflow",
    "resolve_device",
    "rounding_share",
    "set_training",
    "slope",
    "usable",
    "with_graph",
]
