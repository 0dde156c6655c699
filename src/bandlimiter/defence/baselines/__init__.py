"""What post-averaging has to beat: simpler defences of one model, at the same radius or cost.

In the paper's protocol (smallest perturbations, found on the plain model) nearly any small
change of the input brings the label back. These show how much of a result is due to that.
"""

from bandlimiter.defence.baselines.build import BASELINES, build_baseline
from bandlimiter.defence.baselines.one_neighbour import OneNeighbour
from bandlimiter.defence.baselines.squeezing import BitDepth, Jpeg

__all__ = ["BASELINES", "BitDepth", "Jpeg", "OneNeighbour", "build_baseline"]
