"""Lines and planes through networks of any size, exactly."""

from bandlimiter.geometry.tracing.around import PieceAround, piece_around
from bandlimiter.geometry.tracing.flips import count_flips
from bandlimiter.geometry.tracing.line import LineTrace, TraceLimitError, trace_line

__all__ = [
    "LineTrace",
    "PieceAround",
    "TraceLimitError",
    "count_flips",
    "piece_around",
    "trace_line",
]
