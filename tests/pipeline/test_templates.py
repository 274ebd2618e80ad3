"""Writing the study files that a user begins with."""

from __future__ import annotations

import datetime as dt

import pytest

from pipeline.errors import ConfigError
from pipeline.study import Study
from pipeline.templates import EXAMPLES, write_template


@pytest.mark.parametrize("example", [None, *EXAMPLES])
def test_a_template_is_a_study_that_loads(tmp_path, example):
    path = tmp_path / "new.toml"
    write_template(path, example)
    study = Study.load(path)
    assert study.period is not None
    assert path.read_text().startswith("#")
    assert [entry.name for entry in tmp_path.iterdir()] == ["new.toml"]


def test_what_the_template_comments_out_is_what_holds(tmp_path):
    path = tmp_path / "new.toml"
    write_template(path)
    study = Study.load(path)
    given = {"name": study.name, "region": study.region, "period": study.period}
    assert study == Study.model_validate(given)


def test_the_paper_example_is_the_paper(tmp_path):
    path = tmp_path / "anhui.toml"
    write_template(path, "anhui-2019")
    study = Study.load(path)
    assert study.period is not None
    assert (study.period.start, study.period.end) == (dt.date(2019, 4, 1), dt.date(2019, 11, 1))
    assert (study.preset, study.partitions.scheme) == ("paper", "anhui")
    assert (study.predictors.land_cover, len(study.predictors.use)) == ("one-hot", 15)


def test_a_template_never_replaces_a_file(tmp_path):
    path = tmp_path / "study.toml"
    path.write_text("mine")
    with pytest.raises(ConfigError, match="already there"):
        write_template(path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize(
    ("path", "example", "message"),
    [
        ("study.toml", "anhui", "did you mean 'anhui-2019'.*allowed: anhui-2019"),
        ("no/such/folder/study.toml", None, "cannot be written"),
    ],
)
def test_a_template_that_cannot_be_written_leaves_nothing(tmp_path, path, example, message):
    with pytest.raises(ConfigError, match=message):
        write_template(tmp_path / path, example)
    assert list(tmp_path.iterdir()) == []
