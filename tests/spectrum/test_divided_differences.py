"""Divided differences of exp against identities, closed forms and a matrix exponential."""

import math

import numpy as np
import pytest
from scipy import linalg

from bandlimiter.errors import InputError
from bandlimiter.spectrum import exp_divided_difference
from tests.spectrum.networks import worst

ORDERS = range(13)

# The design measured 4e-15 of 1 / k! at order 10 and 7e-15 at 11; the identities below add up
# a few such errors.
RELATIVE = 3e-14


def node_sets(order: int, count: int = 60) -> np.ndarray:
    """Spread, clustered, coincident nodes, and mixtures of them: [count, order + 1]."""
    rng = np.random.default_rng([17, order])
    spread = 10 ** rng.uniform(-3, 1.5, size=(count, 1))
    nodes = spread * rng.normal(size=(count, order + 1))
    clusters = rng.integers(0, order + 1, size=(count, order + 1))
    tight = rng.integers(0, 2, size=(count, 1)) * np.take_along_axis(nodes, clusters, axis=1)
    apart = rng.choice([0, 1e-9, 1e-4, 0.3], size=(count, 1)) * rng.normal(size=nodes.shape)
    return np.where(tight != 0, tight + apart, nodes)


def assert_close(found, expected, nodes, tolerance=RELATIVE) -> None:
    """Compare relative to 1 / k!, the size of a divided difference of close nodes."""
    size = 1 / math.factorial(nodes.shape[-1] - 1)
    error, where = worst(found / size, expected / size, nodes)
    assert error < tolerance, where


@pytest.mark.parametrize("order", ORDERS)
def test_the_order_of_nodes_does_not_matter(order):
    nodes = node_sets(order)
    shuffled = np.random.default_rng(0).permuted(nodes, axis=1)
    np.testing.assert_array_equal(
        exp_divided_difference(shuffled), exp_divided_difference(nodes), err_msg=repr(nodes)
    )


@pytest.mark.parametrize("order", ORDERS)
def test_coincident_nodes_give_the_derivative(order):
    t = np.array([0.0, 1e-8, 0.5, -3.0, 40.0, 1e4])
    nodes = np.repeat(t[:, None], order + 1, axis=1)
    expected = np.exp(-1j * t) / math.factorial(order)
    assert_close(exp_divided_difference(nodes), expected, nodes, 1e-15)


@pytest.mark.parametrize("order", ORDERS)
def test_at_most_one_over_k_factorial(order):
    """Genocchi: a mean of numbers of modulus one, over k!."""
    nodes = node_sets(order, 200)
    moduli = np.abs(exp_divided_difference(nodes)) * math.factorial(order)
    assert moduli.max() <= 1 + 1e-14, nodes[moduli.argmax()]


@pytest.mark.parametrize("order", ORDERS[1:])
def test_the_recurrence(order):
    """The definition, whichever two nodes are left out; it loses digits where they are close."""
    nodes = node_sets(order)
    rng = np.random.default_rng(1)
    shuffled = rng.permuted(nodes, axis=1)
    gap = shuffled[:, -1] - shuffled[:, 0]
    kept = np.abs(gap) > 0.5
    assert kept.sum() > 10
    nodes, gap = shuffled[kept], gap[kept]
    difference = exp_divided_difference(nodes[:, 1:]) - exp_divided_difference(nodes[:, :-1])
    # The two terms are up to 1 / (k - 1)!, so that the quotient's error is k / gap units.
    tolerance = RELATIVE * order / np.abs(gap).min()
    assert_close(difference / (-1j * gap), exp_divided_difference(nodes), nodes, tolerance)


@pytest.mark.parametrize("order", ORDERS)
def test_leibniz_rule(order):
    """exp(2 z) is exp(z) exp(z): 2^k exp[2z] = sum_j exp[z_0, ..., z_j] exp[z_j, ..., z_k]."""
    nodes = node_sets(order)
    products = [
        exp_divided_difference(nodes[:, : j + 1]) * exp_divided_difference(nodes[:, j:])
        for j in range(order + 1)
    ]
    # Relative to 1 / k! the products' moduli are binomials: as many units as their sum, 2^k.
    found, expected = exp_divided_difference(2 * nodes), sum(products) / 2**order
    assert_close(found, expected, nodes)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("shift", [0.25, -8.0, 4096.0])
def test_a_shift_of_all_nodes_is_a_factor(order, shift):
    nodes = np.round(node_sets(order) * 2**20) / 2**20  # the shift is then exact
    expected = exp_divided_difference(nodes) * np.exp(-1j * shift)
    assert_close(exp_divided_difference(nodes + shift), expected, nodes)


@pytest.mark.parametrize("order", ORDERS)
def test_opitz_s_matrix(order):
    """exp[z_0, ..., z_k] is the top right entry of exp(Z), Z with the z_j on its diagonal."""
    nodes = node_sets(order, 120)
    # With a scale s instead of ones above the diagonal the entry is multiplied by s^k; this
    # s makes it of order one, like the others.
    scale = math.factorial(order) ** (1 / max(order, 1))
    matrices = scale * np.eye(order + 1, k=1) - 1j * nodes[:, :, None] * np.eye(order + 1)
    # In a turned basis: for triangular matrices expm takes a way of its own, which loses up
    # to 7 digits where nodes are close.
    turn = np.linalg.qr(np.random.default_rng(0).normal(size=(order + 1, order + 1)))[0]
    expected = (turn.T @ linalg.expm(turn @ matrices @ turn.T) @ turn)[:, 0, -1] / scale**order
    # expm squares up to eight times, for norms up to 100: 2^8 roundings. Up to 8e-14 is seen.
    assert_close(exp_divided_difference(nodes), expected, nodes, 5e-13)


@pytest.mark.parametrize("order", ORDERS[:12])
def test_the_derivative_repeats_a_node(order):
    """d / dt_j exp[..., -i t_j, ...] = -i exp[..., -i t_j, -i t_j, ...]."""
    nodes, step = node_sets(order), 1e-3
    # Central differences by Richardson: the error is step^4 / 30 of the fifth derivative.
    bump = np.eye(order + 1)[order // 2] * step
    near, far = (
        (exp_divided_difference(nodes + k * bump) - exp_divided_difference(nodes - k * bump))
        / (2 * k * step)
        for k in (1, 2)
    )
    twice = np.concatenate([nodes, nodes[:, order // 2, None]], axis=1)
    assert_close(-1j * exp_divided_difference(twice), (4 * near - far) / 3, nodes, 1e-11)


def test_closed_forms():
    t = np.array([1e-9, 1e-3, 0.7, 1.0, 1.0000001, 5.0, 300.0])
    # k = 1: the mean of exp(-i s) over [-t, t].
    nodes = np.stack([t, -t], axis=1)
    assert_close(exp_divided_difference(nodes), np.sinc(t / np.pi), nodes, 1e-15)
    # k = 2 at -t, 0, t: (1 - cos t) / t^2 = sin^2(t/2) / (t^2 / 2).
    nodes = np.stack([0 * t, -t, t], axis=1)
    assert_close(exp_divided_difference(nodes), np.sinc(t / 2 / np.pi) ** 2 / 2, nodes, 1e-15)


def test_any_leading_axes():
    nodes = node_sets(4, 12)
    block = exp_divided_difference(nodes.reshape(3, 4, 5))
    assert block.shape == (3, 4)
    rows = [exp_divided_difference(row) for row in nodes]
    assert all(row.shape == () for row in rows)
    # A product of another shape may sum in another order.
    assert_close(block.ravel(), np.array(rows), nodes, 1e-15)
    assert exp_divided_difference(np.zeros((0, 5))).shape == (0,)


def test_refusals():
    for nodes in (1.0, np.zeros((3, 0)), np.zeros(14)):
        with pytest.raises(InputError, match="1 to 13 nodes"):
            exp_divided_difference(nodes)
