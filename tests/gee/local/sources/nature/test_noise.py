import numpy as np
import pytest

from gee.local.sources.nature.noise import (
    Lattice,
    creased,
    drifting,
    fractal,
    gradient,
    interpolated,
    plane,
    smoothstep,
    turned,
)

EAST, NORTH = np.meshgrid(np.linspace(-40.2, 31.7, 90), np.linspace(-20.4, 55.1, 80))


@pytest.mark.parametrize("scale", [0.01, 1.0, 60.0], ids=["shared nodes", "one cell a point", "far apart"])
def test_noise_of_a_point_does_not_depend_on_the_points_asked_with_it(scale):
    x, y = EAST * scale, NORTH * scale
    together = gradient(x, y, 7)
    alone = [gradient(x[i, j : j + 1], y[i, j : j + 1], 7)[0] for i, j in ((0, 0), (33, 71), (79, 89))]
    assert [together[0, 0], together[33, 71], together[79, 89]] == alone
    np.testing.assert_array_equal(gradient(x[20:30, ::-3], y[20:30, ::-3], 7), together[20:30, ::-3])


def test_noise_is_zero_at_nodes_and_has_unit_variance():
    nodes = np.arange(-50.0, 50.0)
    assert np.all(gradient(nodes, -nodes, 3) == 0)
    x = np.random.default_rng(1).uniform(-4000, 4000, (2, 200_000))
    assert gradient(*x, 3).std() == pytest.approx(1, abs=0.02)
    assert fractal(*x, 50.0, 5, 3).std() == pytest.approx(1, abs=0.03)
    assert drifting(*x, np.linspace(0, 300, x.shape[1]), 3).std() == pytest.approx(1, abs=0.03)


def test_seeds_and_layers_are_independent():
    x, y = np.random.default_rng(2).uniform(-4000, 4000, (2, 50_000))
    base = gradient(x, y, 3, 5)
    for other in (gradient(x, y, 4, 5), gradient(x, y, 3, 6), gradient(y, x, 3, 5)):
        assert abs(np.corrcoef(base, other)[0, 1]) < 0.02


def test_a_layer_for_each_point_equals_the_layers_one_by_one():
    layers = np.array([[3], [-2], [900]])
    x = np.linspace(0, 30, 40)[None, :]
    each = gradient(x + 0 * layers, 0.7 * x + 0 * layers, 11, layers)
    for row, layer in enumerate(layers[:, 0]):
        np.testing.assert_array_equal(each[row], gradient(x[0], 0.7 * x[0], 11, int(layer)))


def test_interpolation_is_exact_for_a_plane_and_blind_to_the_window():
    def tilted(lon, lat):
        return np.stack([2 * lon - lat, lat * 1.0]).astype(np.float32)

    lon, lat = np.meshgrid(np.linspace(116.0, 118.0, 25), np.linspace(30.0, 31.0, 31))
    got = interpolated(tilted, lon, lat, 0.05)
    np.testing.assert_allclose(got, [2 * lon - lat, lat], rtol=1e-6)
    scattered = interpolated(tilted, lon[::30, ::24], lat[::30, ::24], 0.0005)
    np.testing.assert_allclose(scattered, [2 * lon[::30, ::24] - lat[::30, ::24], lat[::30, ::24]], rtol=1e-6)

    def rough(lon, lat):
        return gradient(lon * 40, lat * 40, 5)

    whole = interpolated(rough, lon, lat, 0.01)
    alone = interpolated(rough, lon[4, 9:10], lat[4, 9:10], 0.01)
    assert whole[4, 9] == alone[0]


def test_a_lattice_keeps_its_nodes_and_gives_what_interpolation_gives():
    made = []

    def rough(lon, lat):
        made.append(lon.size)
        return np.stack([gradient(lon * 40, lat * 40, 5), gradient(lon, lat, 6)])

    lattice = Lattice(0.01, side=16, limit=10**6)
    lon, lat = np.meshgrid(np.linspace(-0.3, 0.4, 50), np.linspace(30.0, 30.5, 40))
    np.testing.assert_array_equal(lattice.at(rough, lon, lat), interpolated(rough, lon, lat, 0.01))
    made.clear()
    part = lattice.at(rough, lon[3:9, 40:], lat[3:9, 40:])
    assert not made
    np.testing.assert_array_equal(part, interpolated(rough, lon[3:9, 40:], lat[3:9, 40:], 0.01))
    other = lattice.at(lambda lon, lat: lon.astype(np.float32), lon, lat, "another field")
    np.testing.assert_allclose(other, lon, atol=1e-6)
    far = lattice.at(rough, lon * 400, lat)
    np.testing.assert_array_equal(far, interpolated(rough, lon * 400, lat, 0.01))


def test_creases_fade_on_the_floors_of_larger_ones_and_small_ones_are_left_out():
    x, y = EAST, NORTH
    first, second = (abs(gradient(*turned(x, y, 13.0 / 2.07**k, k), 9 + k)) for k in (0, 1))
    weight = np.minimum(0.3 + first, 1.3)
    both = creased(x, y, 13.0, 9, (0.3, 0.2), (0.3, 1.3), np.zeros_like(first))
    np.testing.assert_allclose(both, 0.3 * first + 0.2 * weight * second, rtol=1e-5)
    fewer = creased(x, y, 13.0, 9, (0.3, 0.2), (0.3, 1.3), np.full_like(first, 0.2))
    np.testing.assert_allclose(fewer, 0.3 * first + 0.2 * np.where(weight < 1, 0, weight) * second, rtol=1e-5)


def test_no_points_give_no_values():
    none = np.empty((0, 5))
    assert interpolated(lambda lon, lat: gradient(lon, lat, 1), none, none, 0.1).shape == (0, 5)


def test_the_plane_is_true_at_31_north():
    x, y = plane(np.array([1.0]), np.array([1.0]))
    assert x[0] / y[0] == pytest.approx(np.cos(np.radians(31)))


def test_smoothstep_runs_from_0_to_1():
    np.testing.assert_allclose(smoothstep(np.array([-1.0, 2, 3, 4, 9]), 2, 4), [0, 0, 0.5, 1, 1], atol=1e-6)
