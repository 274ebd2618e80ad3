"""``Clusterer.*``, and the clustering of images and features.

Weka's k-means, cascade k-means and X-means are supported by the methods of `clusters`: deterministic by
the seed, but which cluster gets which number is the local engine's own. Cobweb and LVQ are not supported.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gee.local.algorithms.classifiers import applied, labelled
from gee.local.context import current
from gee.local.errors import EngineError
from gee.local.learning import clusters
from gee.local.learning.classifiers import Output, training_rows
from gee.local.learning.clusters import Clusters, metric_of
from gee.local.learning.trees import Rows
from gee.local.raster.images import Image
from gee.local.raster.pixels import digest
from gee.local.registry import algorithm, promotion
from gee.local.values import Collection, type_of


@dataclass(frozen=True, eq=False)
class Clusterer:
    """A clusterer, trained or not.

    Args:
        name: of the algorithm that made it.
        parameters: of that algorithm.
        learner: from rows to clusters.
        schema: names of the inputs; None before training.
        rows: it learns from; None before training.
    """

    name: str
    parameters: tuple[Any, ...]
    learner: Callable[[Rows], Clusters]
    schema: tuple[str, ...] | None = None
    rows: Rows | None = None

    def trained(self) -> tuple[tuple[str, ...], Output, bytes]:
        """Names of the inputs, how rows become numbers of clusters, and a key equal for equal clusterers.

        Raises:
            EngineError: it is not trained, or cannot be.
        """
        rows, schema = self.rows, self.schema
        if rows is None or schema is None:
            raise EngineError("The clusterer must be trained before it is used.")
        key = digest("clusterer", self.name, self.parameters, schema, rows)

        def make() -> tuple[Clusters, int]:
            found = self.learner(rows)
            return found, found.centres.nbytes

        found: Clusters = current().tiles.get(key, make)
        return schema, Output(found, type_of(np.dtype(np.int32))), key

    def as_json(self) -> dict[str, Any]:
        """As ``getInfo`` prints it: the local engine's own summary."""
        return {"type": self.name, "schema": None if self.schema is None else list(self.schema)}


@promotion("Clusterer")
def to_clusterer(value: Any) -> Clusterer:
    """A clusterer is only itself."""
    if isinstance(value, Clusterer):
        return value
    raise TypeError


@algorithm("Clusterer.wekaKMeans")
def _k_means(*parameters: Any) -> Clusterer:
    count, start, canopies, *_, distance, iterations, _order, _fast, seed = parameters
    if canopies:
        raise EngineError("Argument 'canopies' is not supported by the local engine.")
    metric = metric_of(distance)
    return Clusterer(
        "Clusterer.wekaKMeans",
        parameters,
        lambda rows: clusters.k_means(rows, count, start, metric, iterations, seed),
    )


@algorithm("Clusterer.wekaCascadeKMeans")
def _cascade(
    low: int, high: int, restarts: int, manual: bool, init: bool, distance: str, iterations: int | None
) -> Clusterer:
    if manual:
        raise EngineError("Argument 'manual' is not supported by the local engine.")
    metric = metric_of(distance)
    return Clusterer(
        "Clusterer.wekaCascadeKMeans",
        (low, high, restarts, init, distance, iterations),
        lambda rows: clusters.cascade(rows, low, high, restarts, int(init), metric, iterations),
    )


@algorithm("Clusterer.wekaXMeans")
def _x_means(
    low: int,
    high: int,
    rounds: int,
    iterations: int,
    for_children: int,
    _tree: bool,
    cutoff: float,
    distance: str,
    seed: int,
) -> Clusterer:
    if cutoff:
        raise EngineError("Argument 'cutoffFactor' is not supported by the local engine.")
    metric = metric_of(distance, ("Chebyshev", "Euclidean", "Manhattan"))
    return Clusterer(
        "Clusterer.wekaXMeans",
        (low, high, rounds, iterations, for_children, distance, seed),
        lambda rows: clusters.x_means(rows, low, high, rounds, iterations, for_children, metric, seed),
    )


@algorithm("Clusterer.train")
def _train(
    clusterer: Clusterer, features: Collection, inputs: list[str] | None, subsampling: float, seed: int
) -> Clusterer:
    names, rows = training_rows(features, inputs, None, subsampling, seed)
    return replace(clusterer, schema=names, rows=rows)


@algorithm("Clusterer.schema")
def _schema(clusterer: Clusterer) -> list[str] | None:
    return None if clusterer.schema is None else list(clusterer.schema)


@algorithm("Image.cluster")
def _cluster(image: Image, clusterer: Clusterer, name: str) -> Image:
    inputs, output, key = clusterer.trained()
    return applied(image, inputs, output, key, name)


@algorithm("FeatureCollection.cluster")
def _cluster_features(features: Collection, clusterer: Clusterer, name: str) -> Collection:
    inputs, output, _ = clusterer.trained()
    return labelled(features, inputs, output, name)
