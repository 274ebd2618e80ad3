"""Where everything of one study lies: the work directory, and which name in it means what.

Each stage reads what the one before has left here and writes its own, so that any of them can be run again
alone, by another process or after a crash.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class WorkDir:
    """The files and folders of a study's run.

    Attributes:
        root: the work directory.
        manifest_name: of the file with the plan; an update has one of its own until it is whole.
    """

    root: Path
    manifest_name: str = "plan.json"

    @property
    def study(self) -> Path:
        """The study, as it was when the run began."""
        return self.root / "study.toml"

    @property
    def manifest(self) -> Path:
        """What the plan amounts to: ``pipeline.work.manifest``."""
        return self.root / self.manifest_name

    @property
    def ledger(self) -> Path:
        """What has been done: ``pipeline.work.ledger``."""
        return self.root / "ledger.sqlite"

    @property
    def exports(self) -> Path:
        """Folder of the images and tables that Earth Engine made, as they were downloaded."""
        return self.root / "exports"

    @property
    def cube(self) -> Path:
        """The predictors on the fine grid, Zarr."""
        return self.root / "cube.zarr"

    @property
    def samples(self) -> Path:
        """One row for each cell and day, Parquet."""
        return self.root / "samples.parquet"

    @property
    def model(self) -> Path:
        """Folder of the fitted stacks."""
        return self.root / "model"

    @property
    def prediction(self) -> Path:
        """Soil moisture on the fine grid, Zarr."""
        return self.root / "prediction.zarr"

    @property
    def images(self) -> Path:
        """Folder of soil moisture day by day, cloud-optimised GeoTIFFs ``sm_YYYYMMDD.tif``."""
        return self.root / "images"

    @property
    def map(self) -> Path:
        """Folder of the map page."""
        return self.root / "map"

    @property
    def validation(self) -> Path:
        """Folder of the scores at stations."""
        return self.root / "validation"

    @property
    def predictions(self) -> Path:
        """What the maps and SMAP say at stations, Parquet."""
        return self.validation / "predictions.parquet"

    @property
    def insitu(self) -> Path:
        """In-situ soil moisture of a station and day, Parquet: what the maps are held against."""
        return self.validation / "insitu.parquet"

    @property
    def stations(self) -> Path:
        """Simulated stations, Parquet; only where sources are simulated."""
        return self.root / "stations.parquet"

    @property
    def explanation(self) -> Path:
        """Folder of what moves the model."""
        return self.root / "explanation"

    @property
    def spatial(self) -> Path:
        """Folder of how the maps vary in space: ``pipeline.scores.spatial``."""
        return self.root / "spatial"

    @property
    def rain(self) -> Path:
        """Folder of how soil moisture answers to rain: ``pipeline.scores.rain``."""
        return self.root / "rain"

    @property
    def triple(self) -> Path:
        """Folder of the errors that triple collocation gives: ``pipeline.scores.triple``."""
        return self.root / "triple"

    @property
    def ablation(self) -> Path:
        """Folder of scores without some of the predictors: ``pipeline.learning.ablation``."""
        return self.root / "ablation"

    @property
    def transfer(self) -> Path:
        """Folder of the test one scale up: ``pipeline.scores.transfer``."""
        return self.root / "transfer"

    @property
    def applicability(self) -> Path:
        """Folder of what of the maps lies outside the area of applicability: ``pipeline.scores.trust``."""
        return self.root / "applicability"

    @property
    def coverage(self) -> Path:
        """Folder of what the maps' intervals contain: ``pipeline.scores.trust``."""
        return self.root / "coverage"

    @property
    def truth(self) -> Path:
        """Scores against the truth that simulated sources were made from: ``pipeline.scores.truth``."""
        return self.root / "truth.json"

    @property
    def stages(self) -> Path:
        """Which stages were done with which inputs: ``pipeline.work.stages``."""
        return self.root / "stages.json"

    @property
    def report(self) -> Path:
        """The report's page."""
        return self.root / "report.html"
