"""One small model, trained once on a simulated table: nothing here says anything about a real region."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pandas as pd
import pytest
from typer.testing import CliRunner

from gee.local.rest.process import Child
from pipeline import terminal
from pipeline.cli import app
from pipeline.learning.train import Training, train
from tests.pipeline.faulty_engine import Proxy
from tests.simulated_samples import SimulatedRegion, simulate

STUDY = """\
name = "simulated-small"  # a comment the model folder keeps, with a sign of its own: m³/m³

[samples]
keep = ["smap"]

[partitions]
use = "always"
minimum_samples = 100
blend_km = 0

[model]
n_folds = 2
seed = 5

[splits]
names = ["random", "spatial", "time", "leave-partition-out"]
"""
DAYS = 40  # too few for the time split, which needs 63


@pytest.fixture(scope="module")
def engine_of_tests(client: Child) -> Iterator[None]:
    """Commands find the engine of the tests, whatever the machine's settings say."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GEE_SMAP_ENGINE", "local")
        patch.setenv("GEE_SMAP_LOCAL_STATE", client.address.state)
        for name in ("GEE_SMAP_PROJECT", "GOOGLE_APPLICATION_CREDENTIALS"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture
def proxy(_proxy: Proxy) -> Iterator[Proxy]:
    """The proxy of a folder, through which ``ee`` is connected; every injected fault must have happened."""
    _proxy.reset()
    yield _proxy
    unused = _proxy.unused
    _proxy.reset()
    assert not unused


@dataclass(frozen=True)
class Trained:
    """A model folder, what it was made from, and what was reported on the way."""

    region: SimulatedRegion
    samples: Path
    study: Path
    model: Path
    training: Training
    reported: list[tuple[str, float]]


@pytest.fixture(scope="session")
def region() -> SimulatedRegion:
    """8 × 8 cells on 40 days in three partitions, and stations in six of them."""
    return simulate(side=8, days=DAYS, n_stations=6)


@pytest.fixture(scope="session")
def trained(region: SimulatedRegion, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    folder = tmp_path_factory.mktemp("trained")
    samples, study, model = folder / "samples.parquet", folder / "study.toml", folder / "model"
    region.samples.assign(simulated=True).to_parquet(samples)
    study.write_text(STUDY, encoding="utf-8")
    reported: list[tuple[str, float]] = []
    training = train(samples, study, model, report=lambda what, share: reported.append((what, share)))
    return Trained(region, samples, study, model, training, reported)


@pytest.fixture
def table(region: SimulatedRegion) -> pd.DataFrame:
    """What is to be predicted: the region's last two days, SMAP under another name than the target."""
    last = region.samples[region.samples["date"] >= region.samples["date"].max() - pd.Timedelta(days=1)]
    return last.rename(columns={"sm": "smap"}).assign(simulated=True).reset_index(drop=True)


class Told(NamedTuple):
    """What a command answered: its exit code, standard output and standard error."""

    code: int
    out: str
    err: str


@pytest.fixture(scope="session")
def gee_smap() -> Callable[..., Told]:
    """Runs a command as a user would; anything but its own errors and an exit is a failure."""

    def run(*args: object) -> Told:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(terminal.out, "width", terminal.LOG_WIDTH)  # wherever the tests run
            result = CliRunner().invoke(app, [str(arg) for arg in args])
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Told(result.exit_code, result.stdout, result.stderr)

    return run
