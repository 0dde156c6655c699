"""Lines and planes through networks of any size, exactly."""

from bandlimiter.geometry.tracing.around import PieceAround, piece_around
from bandlimiter.geometry.tracing.flips import count_flips
from bandlimiter.geometry.tracing.inputs import TraceLimitError
from bandlimiter.geometry.tracing.line import LineTrace, trace_line
from bandlimiter.geometry.tracing.plane import trace_plane
from bandlimiter.geometry.tracing.plane_trace import PlaneTrace

__all__ = [
    "LineTrace",
    "PieceAround",
    "PlaneTrace",
    "TraceLimitError",
    "count_flips",
    "piece_around",
    "trace_line",
    "trace_plane",
]
