"""Spectra along lines, against quadrature, matrices, and averages written out."""

import itertools

import numpy as np
import pytest
import torch
from scipy.integrate import quad
from torch import nn

from bandlimiter import PostAverage
from bandlimiter.errors import InputError
from bandlimiter.geometry import read_network, trace_line
from bandlimiter.sampling import ball_transfer
from bandlimiter.spectrum import line_kinks, line_spectrum, line_transform, network_transform
from tests.geometry.checks import refuses

WAVES = np.array([0.5, 3.0, 20.0, 100.0])


def mlp(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Linear(3, 20), nn.ReLU(), nn.Linear(20, 20), nn.Hardtanh(), nn.Linear(20, 2)
    return nn.Sequential(*layers).double().requires_grad_(False)


def conv_net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    layers = nn.Conv2d(2, 6, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(24, 3)
    return nn.Sequential(*layers).double().requires_grad_(False)


def ends(*shape: int, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor]:
    a, b = torch.randn(2, *shape, generator=torch.Generator().manual_seed(seed)).double()
    return a, b


def test_the_transform_by_quadrature_of_the_module():
    network = mlp()
    a, b = ends(3)
    trace = trace_line(network, a, b)
    length = float((b - a).norm())

    def along(s: float) -> float:
        return float(network((a + s / length * (b - a))[None])[0, 1])

    bounds = np.unique(trace.knots) * length
    for wave, found in zip(WAVES, line_transform(trace, WAVES)[:, 1], strict=True):
        parts = [
            quad(lambda s, w=wave: along(s) * np.cos(w * s), p, q)[0]
            - 1j * quad(lambda s, w=wave: along(s) * np.sin(w * s), p, q)[0]
            for p, q in itertools.pairwise(bounds)
        ]
        # quad's own tolerance on each of some thirty pieces is 1.5e-8 at the worst, and
        # smooth integrands leave it at rounding; the transform is of order 1e-2.
        assert abs(sum(parts) / np.sqrt(2 * np.pi) - found) < 1e-12


def test_the_transform_by_matrices():
    """The same segment as a network of one input, enumerated as regions of a box."""
    network = mlp()
    a, b = ends(3)
    length = float((b - a).norm())
    on_line = read_network(network).restricted(((b - a) / length)[:, None].numpy(), a.numpy())
    expected = network_transform(on_line, WAVES[:, None], lower=0, upper=length)
    # Both sum some thirty terms of order one to rounding.
    np.testing.assert_allclose(
        line_transform(trace_line(network, a, b), WAVES), expected, rtol=0, atol=1e-14
    )


@pytest.mark.parametrize("network", [mlp(), conv_net()], ids=["mlp", "conv"])
def test_kinks_and_ends_make_the_transform(network):
    a, b = ends(*((3,) if isinstance(network[0], nn.Linear) else (2, 6, 6)))
    trace = trace_line(network, a, b)
    length, outputs, places = trace.length, trace.outputs, trace.length * trace.knots
    first, last = ((outputs[i + 1] - outputs[i]) / (places[i + 1] - places[i]) for i in (0, -2))
    w = WAVES[:, None]
    at_end = (last + 1j * w * outputs[-1]) * np.exp(-1j * w * length)
    cut_off = (at_end - first - 1j * w * outputs[0]) / (w**2 * np.sqrt(2 * np.pi))
    # At w = 0.5 terms of order 10 cancel.
    np.testing.assert_allclose(
        line_transform(trace, WAVES), line_kinks(trace, WAVES) + cut_off, rtol=0, atol=1e-13
    )


def test_the_average_is_that_of_the_defended_model():
    """F of the defended model's own outputs on the segment, by trapezoids on a fine grid."""
    network = conv_net()
    a, b = ends(2, 6, 6)
    b = a + 0.2 * (b - a)
    defended = PostAverage(network, 0.5, directions=2, vote="logits", scale=1.0).eval()
    shifts = defended.neighbours(a) - a
    found = line_spectrum(network, a, b, WAVES, offsets=shifts)
    t = np.linspace(0, 1, 20_001)
    points = a + torch.from_numpy(t)[:, None, None, None] * (b - a)
    values = defended(points).double().numpy()
    s = t * float((b - a).norm())
    waves = np.exp(-1j * WAVES[:, None, None] * s[:, None]) * values
    expected = np.trapezoid(waves, s, axis=1) / np.sqrt(2 * np.pi)
    # The defended model's directions are rounded to float32, both ways; trapezoids on steps
    # of 1e-4 times the segment err by (100 h)^2 / 12 of the amplitude: some 1e-6.
    np.testing.assert_allclose(found.averaged, expected, rtol=0, atol=1e-6)
    assert found.lines == defended.evaluations == 13
    assert len(found.breakpoints) == 14


def test_shifts_along_the_line_multiply_by_their_transfer_function():
    """For offsets along the line itself averaging is a filter, if ends are out of reach.

    A single ReLU kink in the middle: shifted by d its term turns by exp(i w d).
    """
    network = nn.Sequential(nn.Linear(1, 1), nn.ReLU()).double()
    with torch.no_grad():
        network[0].weight.fill_(1.0)
        network[0].bias.fill_(0.0)
    shifts = np.linspace(-0.3, 0.3, 2001)[:, None]
    found = line_spectrum(network, [-1.0], [1.0], WAVES, offsets=shifts)
    gain = (found.averaged_kinks / found.plain_kinks)[:, 0]
    # 2001 evenly spaced shifts stand for the ball (here an interval): their sum is the
    # integral but for the ends' half weights, a share of 1 / 2001.
    np.testing.assert_allclose(gain.imag, 0, atol=1e-12)
    np.testing.assert_allclose(gain.real, ball_transfer(WAVES, 0.3, 1), atol=2e-3)


def test_power_of_lines_alike_and_of_unrelated_ones():
    network = mlp()
    a, b = ends(3)
    alike = line_spectrum(network, a, b, WAVES, offsets=np.zeros((4, 3)))
    assert alike.kept_power() == pytest.approx(1, abs=1e-12)
    assert alike.coherence() == pytest.approx(1, abs=1e-12)
    waves = np.geomspace(2e3, 2e4, 400)
    far = np.random.default_rng(0).normal(size=(25, 3))
    apart = line_spectrum(network, a, b, waves, offsets=far)
    # Sums of unrelated kinks: 1 / 25 on average; 400 frequencies, not all independent.
    assert apart.coherence() == pytest.approx(1 / 25, rel=0.25)
    with refuses(InputError, "holds frequencies"):
        apart.kept_power(1, 2)


@pytest.mark.parametrize(
    ("waves", "shifts", "words"),
    [
        ([[1.0]], np.zeros((1, 3)), ["frequencies [F]"]),
        ([np.nan], np.zeros((1, 3)), ["finite frequencies"]),
        ([0.0], np.zeros((1, 3)), ["other than zero"]),
        ([1.0], np.zeros(3), ["offsets [P, ...]", "(3,)"]),
        ([1.0], np.zeros((0, 3)), ["offsets [P, ...]"]),
        ([1.0], np.zeros((2, 4)), ["offsets [P, ...]"]),
    ],
)
def test_what_does_not_serve(waves, shifts, words):
    a, b = ends(3)
    with refuses(InputError, *words):
        line_spectrum(mlp(), a, b, waves, offsets=shifts)
