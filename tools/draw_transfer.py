"""Draw what averaging does to frequencies at n = 3072: the ball against eq. 8's directions.

Writes docs/transfer_3072.png and .svg, and prints a few values. The directions' curves are
exact means over draws; one draw is shown beside them.
"""

from pathlib import Path

import numpy as np

from bandlimiter.draw import draw_filters, save_figure
from bandlimiter.sampling import RandomDirections, ball_transfer

DIM, RADIUS, DIRECTIONS = 3072, 6.0, 15


def main() -> None:
    lengths = np.geomspace(1e-1, 1e4, 1200)
    law = RandomDirections()
    ball = np.abs(ball_transfer(lengths, RADIUS, DIM))
    power = law.expected_power(lengths, DIM, directions=DIRECTIONS, radius=RADIUS)
    mean = np.abs(law.expected_transfer(lengths, DIM, directions=DIRECTIONS, radius=RADIUS))
    unit = np.random.default_rng(0).normal(size=DIM)
    unit /= np.linalg.norm(unit)
    draw = np.abs(law.transfer(lengths[:, None] * unit, directions=DIRECTIONS, radius=RADIUS))

    filters = {
        "ball (eq. 5), the integral itself": ball,
        "directions (eq. 8), root mean square over draws": np.sqrt(power),
        "directions, one draw along one line": draw,
        "directions, mean over draws (modulus)": mean,
    }
    figure = draw_filters(
        RADIUS * lengths,
        filters,
        floor=(6 * DIRECTIONS + 1) ** -0.5,
        xlabel=r"$r|\omega|$",
        title=f"What averaging leaves of a frequency: n = {DIM}, K = {DIRECTIONS}",
    )
    for path in save_figure(figure, Path("docs") / f"transfer_{DIM}"):
        print("wrote", path)
    print("r|w|      ball       directions (rms)")
    for wanted in (10.0, 55.4, 100.0, 300.0, 1000.0, 1536.0, 10000.0):
        i = int(np.abs(RADIUS * lengths - wanted).argmin())
        print(f"{RADIUS * lengths[i]:8.1f}  {ball[i]:.2e}   {np.sqrt(power[i]):.4f}")


if __name__ == "__main__":
    main()
