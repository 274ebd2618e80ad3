"""Geometries and projections: edges, areas and transforms on the ellipsoid and on maps."""
