"""Reading a study."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from pipeline.columns import PREDICTORS
from pipeline.errors import ConfigError
from pipeline.maps.bands import ORDER
from pipeline.study import SPLITS, Study

DATA = Path(__file__).parents[1] / "data"


def write(folder: Path, text: str) -> Path:
    path = folder / "study.toml"
    path.write_text(text, encoding="utf-8")
    return path


def mistakes_of(folder: Path, text: str) -> list[str]:
    path = write(folder, text)
    with pytest.raises(ConfigError) as caught:
        Study.load(path)
    head, *lines = str(caught.value).splitlines()
    if head.startswith(f"{path}: {len(lines)} mistake"):
        assert all(line.startswith(f"{path}: ") for line in lines)
        return [line.removeprefix(f"{path}: ") for line in lines]
    return [head]


def test_a_study_needs_only_a_name(tmp_path):
    study = Study.load(write(tmp_path, 'name = "x"'))
    assert study.predictors.use == PREDICTORS
    assert len(PREDICTORS) == 15
    assert (study.predictors.land_cover, study.splits.names) == ("fractions", SPLITS)
    assert (study.model.n_folds, study.splits.gap_days, study.splits.block_km) == (5, 20, 100)
    assert study.partitions.minimum_samples == 500
    assert study.region is None
    assert study.period is None


def test_sections_are_read(tmp_path):
    (tmp_path / "land.geojson").write_text("{}")
    study = Study.load(
        write(
            tmp_path,
            """
            name = "x"
            [region]
            geojson = "land.geojson"
            [period]
            start = 2019-04-01
            end = 2019-11-01
            [predictors]
            use = ["ndvi", "ndre"]
            [samples]
            keep = ["insitu"]
            [samples.columns]
            date = ["date", "StartDate"]
            ndre = { formula = "(B8A - B5) / (B8A + B5)" }
            sm = { column = "ssm", unit = "mm", layer_mm = 50 }
            """,
        )
    )
    assert study.region is not None
    assert study.region.geojson == Path("land.geojson")
    assert study.period is not None
    assert study.period.end == dt.date(2019, 11, 1)
    columns = study.samples.columns
    assert [entry.column for entry in columns["date"]] == ["date", "StartDate"]
    assert columns["ndre"][0].formula == "(B8A - B5) / (B8A + B5)"
    assert (columns["sm"][0].column, columns["sm"][0].layer_mm) == ("ssm", 50)


def test_the_paper_preset_sets_what_the_study_leaves_open(tmp_path):
    paper = Study.load(write(tmp_path, 'name = "x"\npreset = "paper"\n[splits]\ngap_days = 5'))
    assert (paper.predictors.land_cover, paper.splits.names) == ("one-hot", ("random",))
    assert paper.splits.gap_days == 5
    own = Study.load(write(tmp_path, 'name = "x"\npreset = "paper"\n[splits]\nnames = ["time"]'))
    assert own.splits.names == ("time",)


def test_the_hash_is_of_the_content_not_of_the_text(tmp_path):
    plain = Study.load(write(tmp_path, 'name = "x"')).hash
    assert Study.load(write(tmp_path, '# note\nname="x"\n[model]\nn_folds = 5')).hash == plain
    assert Study.load(write(tmp_path, 'name = "x"\n[model]\nn_folds = 6')).hash != plain
    assert len(plain) == 64


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("name = 3", ["name: input should be a valid string (got 3); allowed: a name"]),
        ("[model]", ["name: missing; allowed: a name"]),
        ("[modle]", ["modle: unknown key, did you mean 'model'?; allowed: name, preset, region"]),
        (
            "[splits]\ngapdays = 3",
            ["splits.gapdays: unknown key, did you mean 'gap_days'?; allowed: names, gap_d"],
        ),
        (
            "[splits]\ntest_share = 1.5",
            ["splits.test_share: input should be less than 1 (got 1.5); allowed: a numb"],
        ),
        ("[splits]\ngap_days = -1", ["splits.gap_days: input should be greater than or equal to 0 (got -1)"]),
        (
            "[splits]\nnames = ['tme']",
            ["splits.names: 'tme' is no split, did you mean 'time'?; allowed: random"],
        ),
        ("[splits]\nnames = []", ["splits.names: list should have at least 1 item"]),
        ("preset = 'papper'", ["preset: got 'papper', did you mean 'paper'?; allowed: recommended or paper"]),
        ("[model]\ndevice = 'gpu'", ["model.device: got 'gpu', did you mean 'cpu'?; allowed: cpu, or cuda"]),
        ("[model]\nn_folds = 'many'", ["model.n_folds: input should be a valid integer"]),
        ("model = 5", ["model: input should be a valid dictionary"]),
        ("[region]", ["region: give exactly one of place, bbox, geojson, asset (got none)"]),
        (
            "[region]\nplace='a'\nasset='projects/p/assets/a'",
            ["region: give exactly one of place, bbox, geojson"],
        ),
        (
            "[region]\nbbox=[120, 30, 110, 35]",
            ["region.bbox: west < east within -180..180 and south < north"],
        ),
        ("[region]\nbbox=[110, 30]", ["region.bbox.3: ", "region.bbox.4: "]),
        ("[region]\ngeojson='no.json'", ["region.geojson: no file "]),
        ("[region]\nasset='users/x'", ["region.asset: string should match pattern"]),
        (
            "[period]\nstart=2019-11-01\nend=2019-04-01",
            ["period: end 2019-04-01 is before start 2019-11-01"],
        ),
        ("[period]\nstart='spring'\nend=2019-04-01", ["period.start: input should be a valid date"]),
        (
            "[partitions]\nscheme='file'",
            ['partitions: scheme = "file" needs path and name_property (got none)'],
        ),
        ("[partitions]\nscheme='file'\npath='no.json'\nname_property='n'", ["partitions.path: no file "]),
        ("[partitions]\npath='p.json'", ['partitions: scheme = "none" takes no path']),
        (
            "[predictors]\nuse=['LST']",
            ["predictors.use: 'LST' is no predictor, did you mean 'lst'?; allowed: ndvi"],
        ),
        ("[predictors]\nuse=['LC_1']", ["predictors.use: 'LC_1' is a part of land cover; use"]),
        ("[predictors]\nuse=['lst', 'lst']", ["predictors.use: 'lst' is given more than once"]),
        ("[samples]\nkeep=['sm']", ["samples.keep: sm: a name of gee-smap's own"]),
        ("[samples]\ncolumns=['sm']", ["samples.columns: input should be a valid dictionary"]),
        (
            "[samples.columns]\nsm={colum='x'}",
            ["samples.columns.sm.colum: unknown key, did you mean 'column'?"],
        ),
        (
            "[samples.columns]\nsm={}",
            ["samples.columns.sm: give exactly one of column, columns, formula (got none)"],
        ),
        ("[samples.columns]\nsm=[]", ["samples.columns.sm: an empty list maps nothing"]),
        ("[samples.columns]\nsm=3", ["samples.columns.sm: input should be a valid dictionary"]),
        ("[samples.columns]\nsm={column='x', unit='mm'}", ['samples.columns.sm: unit = "mm" needs layer_mm']),
        (
            "[samples.columns]\nsm={column='x', unit='K'}",
            ["samples.columns.sm: unit 'K' cannot become m3/m3"],
        ),
        ("[samples.columns]\nsm={column='x', scale=0}", ["samples.columns.sm.scale: scale = 0 would erase"]),
        (
            "[samples.columns]\nsm={formula='a+b', nodata=[0]}",
            ["samples.columns.sm: nodata belongs to a column"],
        ),
        (
            "[samples.columns]\nsm={columns=['a','b']}",
            ["samples.columns.sm: columns joins the parts of an id"],
        ),
        ("[samples.columns]\n'a b'='x'", ["samples.columns.a b: a name is made of letters"]),
        (
            "[samples.columns]\ncell='a'\nstation='b'",
            ["samples.columns.station: cell and station are one and the"],
        ),
        ("[samples.columns]\ncell={column='a', unit='1'}", ["samples.columns.cell: cell is no number"]),
        (
            "[samples.columns]\na={formula='b'}\nb={formula='a'}",
            ["samples.columns.a: the formulas go", "samples.col"],
        ),
        (
            "[samples.columns]\nndvi={formula='B8.x'}",
            ["samples.columns.ndvi.formula: 'B8.x' is not allowed in a f"],
        ),
        (
            "[samples.columns]\nlon=['x', {formula='1'}]",
            ["samples.columns.lon.2.formula: '1' names no column"],
        ),
        ("[samples.columns]\ndate='d'\nx={formula='date+1'}", ["samples.columns.x: the formula uses date"]),
    ],
)
def test_each_mistake_names_its_key_and_what_is_allowed(tmp_path, text, expected):
    name = "" if "name" in text.split("\n")[0] or text == "[model]" else 'name = "x"\n'
    found = mistakes_of(tmp_path, name + text)
    assert len(found) == len(expected), found
    for line, start in zip(found, expected, strict=True):
        assert line.startswith(start)


def test_all_mistakes_are_reported_together(tmp_path):
    found = mistakes_of(
        tmp_path,
        """
        colour = "blue"
        [predictors]
        use = ["ndvi", "rain"]
        land_cover = "one_hot"
        [splits]
        names = ["random", "spacial"]
        [samples.columns]
        sm = { column = "ssm", unit = "mm" }
        ndvi = { formula = "__import__('os')" }
        """,
    )
    keys = {line.split(":")[0] for line in found}
    assert keys == {
        "name", "colour", "predictors.use", "predictors.land_cover", "splits.names",
        "samples.columns.sm", "samples.columns.ndvi.formula",
    }  # fmt: skip


def test_a_mapped_name_is_a_predictor_even_if_its_mapping_is_wrong(tmp_path):
    found = mistakes_of(tmp_path, "name='x'\n[predictors]\nuse=['rain']\n[samples.columns]\nrain={unit='mm'}")
    assert [line.split(":")[0] for line in found] == ["samples.columns.rain"]


def test_a_study_made_in_python_is_checked_too():
    with pytest.raises(ValueError, match="'rain' is no predictor"):
        Study.model_validate({"name": "x", "predictors": {"use": ["rain"]}})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no such study file; write one with: gee-smap init"),
        (b"name = 'x'\nb = [1,\nfoo", r"not valid TOML: .*line 3"),
        (b"name = '\xff'", "cannot be read"),
    ],
)
def test_a_file_that_is_no_study_is_refused(tmp_path, content, message):
    path = tmp_path / "study.toml"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigError, match=message) as caught:
        Study.load(path)
    assert str(path) in str(caught.value)
    assert caught.value.exit_code == 2


def test_no_column_is_carried_under_the_name_of_what_a_prediction_adds(tmp_path):
    [line] = mistakes_of(tmp_path, f'name = "x"\n[samples]\nkeep = {[*ORDER, "insitu"]}'.replace("'", '"'))
    assert line.startswith(f"samples.keep: {', '.join(ORDER)}: a name of gee-smap's own")


@pytest.mark.parametrize("name", ["us-gee-exports.toml", "ethiopia.toml"])
def test_the_ready_studies_load(name):
    assert Study.load(DATA / name).samples.columns


def test_a_set_gives_the_predictors_unless_the_study_lists_them(tmp_path):
    def used(text):
        return Study.load(write(tmp_path, f'name = "x"\n{text}')).predictors.use

    wide = used('[predictors]\nset = "recommended"')
    assert {"rain_3", "rain_30", "dlst", "slope", "twi", "lc", "ndvi"} <= set(wide)
    assert "doy" not in wide
    assert used('[predictors]\nset = "paper"') == PREDICTORS
    assert used('[predictors]\nset = "recommended"\nuse = ["ndvi", "rain_7"]') == ("ndvi", "rain_7")
    assert used('preset = "paper"') == PREDICTORS
    assert used('preset = "paper"\n[predictors]\nset = "recommended"') == wide


def test_an_unknown_set_is_named_with_what_is_allowed(tmp_path):
    [line] = mistakes_of(tmp_path, 'name = "x"\n[predictors]\nset = "best"')
    assert "predictors.set" in line and "recommended" in line
