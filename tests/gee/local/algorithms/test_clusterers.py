"""Clusters: separate groups are found whatever they are numbered, and centres are where k-means ends."""

from __future__ import annotations

import ee
import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import adjusted_rand_score, calinski_harabasz_score

from gee.local.errors import EngineError
from gee.local.geometry.projections import Grid, Projection
from gee.local.learning import clusters

GENERATOR = np.random.default_rng(11)
MIDDLES = np.array([[0, 0], [100, 5], [50, 9], [0, 10]])
GROUP = np.repeat(np.arange(4), 30)
X = MIDDLES[GROUP] + GENERATOR.normal(0, [4, 0.4], (120, 2))
SCALED = (X - X.min(axis=0)) / np.ptp(X, axis=0)


def features(rows):
    return ee.FeatureCollection([ee.Feature(None, {"wide": a, "narrow": b}) for a, b in rows.tolist()])


@pytest.fixture
def numbered(compute):
    """The clusters of the training rows themselves."""

    def run(clusterer):
        trained = clusterer.train(features(X), ["wide", "narrow"])
        return np.array([row.properties["cluster"] for row in compute(features(X).cluster(trained))])

    return run


@pytest.mark.parametrize("distance", ["Euclidean", "Manhattan"])
@pytest.mark.parametrize("init", [1, 3])
def test_groups_far_apart_are_found(offline_client, numbered, init, distance):
    found = numbered(ee.Clusterer.wekaKMeans(4, init, distanceFunction=distance))
    assert adjusted_rand_score(GROUP, found) == 1
    assert set(found.tolist()) == {0, 1, 2, 3}


@pytest.mark.parametrize("init", [0, 1, 3])
def test_centres_move_as_k_means_moves_them(init):
    start = clusters.STARTS[init](SCALED, 5, clusters.METRICS["Euclidean"], np.random.default_rng(2))
    found = clusters.k_means(X, 5, init, clusters.METRICS["Euclidean"], None, 2)
    expected = KMeans(5, init=start, n_init=1, max_iter=500, tol=0).fit(SCALED)
    assert np.allclose(found.centres, expected.cluster_centers_)
    assert np.array_equal(found(X), expected.labels_)


def test_manhattan_centres_are_medians():
    found = clusters.k_means(X, 4, 1, clusters.METRICS["Manhattan"], None, 0)
    which = found(X)
    for number, centre in enumerate(found.centres):
        assert np.allclose(centre, np.median(SCALED[which == number], axis=0))


def test_equal_seeds_cluster_equally(offline_client, numbered):
    first = numbered(ee.Clusterer.wekaKMeans(7, seed=3))
    assert np.array_equal(first, numbered(ee.Clusterer.wekaKMeans(7, seed=3)))
    assert not np.array_equal(first, numbered(ee.Clusterer.wekaKMeans(7, seed=4)))


def test_the_criterion_is_that_of_calinski_and_harabasz():
    found = clusters.k_means(X, 3, 1, clusters.METRICS["Euclidean"], None, 0)
    assert clusters.calinski_harabasz(X, found) == pytest.approx(calinski_harabasz_score(SCALED, found(X)))


def test_the_cascade_and_x_means_find_how_many_groups_there_are(offline_client, numbered):
    assert adjusted_rand_score(GROUP, numbered(ee.Clusterer.wekaCascadeKMeans(2, 8, init=True))) == 1
    split = numbered(ee.Clusterer.wekaXMeans(2, 8, maxIterations=5))
    assert adjusted_rand_score(GROUP, split) == 1


def test_there_are_no_more_clusters_than_asked_for(offline_client, numbered):
    assert numbered(ee.Clusterer.wekaXMeans(2, 3)).max() <= 2
    assert numbered(ee.Clusterer.wekaKMeans(1)).tolist() == [0] * 120


def test_an_image_is_clustered_by_the_bands_of_the_schema(compute):
    projection = Projection("EPSG:32650", (1000.0, 0.0, 400_000.0, 0.0, -1000.0, 3_600_000.0))
    grid = Grid(projection, 8, 4)
    place = ee.Image.pixelCoordinates(ee.Projection(projection.crs, list(projection.transform))).floor()
    left = place.select("x").lt(4)
    image = ee.Image.cat(
        place.select("y").rename("other"), left.multiply(100).rename("wide"), left.rename("narrow")
    )
    two = features(np.array([[0.0, 0.0], [1, 0], [99, 1], [100, 1]]))
    clusterer = ee.Clusterer.wekaKMeans(2, 1).train(two, ["wide", "narrow"])
    assert compute(clusterer.schema()) == ["wide", "narrow"]
    value = compute(image.updateMask(place.select("y").gt(0)).cluster(clusterer, "zone"))
    assert value.names == ["zone"]
    [raster] = value.read(grid)
    west = compute(features(np.array([[100.0, 1.0]])).cluster(clusterer).first()).properties["cluster"]
    columns, rows = np.meshgrid(np.arange(8), np.arange(4))
    valid = raster.valid(grid.shape)
    assert np.array_equal(valid, rows > 0)
    assert np.array_equal(raster.full(grid.shape).values[valid], np.where(columns < 4, west, 1 - west)[valid])


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda c: c.wekaKMeans(0), "at least 1, got 0"),
        (lambda c: c.wekaKMeans(3, 2), "canopy"),
        (lambda c: c.wekaKMeans(3, 4), "Unknown initialisation 4"),
        (lambda c: c.wekaKMeans(3, canopies=True), "'canopies' is not supported"),
        (lambda c: c.wekaKMeans(3, distanceFunction="Chebyshev"), "Unknown distance function 'Chebyshev'"),
        (lambda c: c.wekaCascadeKMeans(5, 3), "at most maxClusters"),
        (lambda c: c.wekaXMeans(5, 3), "at most maxClusters"),
        (lambda c: c.wekaXMeans(cutoffFactor=0.5), "'cutoffFactor' is not supported"),
    ],
)
def test_what_cannot_be_clustered_is_refused(offline_client, numbered, make, message):
    with pytest.raises(EngineError) as refused:
        numbered(make(ee.Clusterer))
    assert message in refused.value.message


def test_a_clusterer_is_trained_before_it_is_used(compute):
    assert compute(ee.Clusterer.wekaKMeans(2).schema()) is None
    with pytest.raises(EngineError, match="must be trained"):
        compute(ee.Image(1).cluster(ee.Clusterer.wekaKMeans(2)))
