"""Configuration: what is unknown or impossible is refused with the nearest valid name."""

from pathlib import Path

import pytest

from mammoroi.configuration import configured, field_names, find_config
from mammoroi.errors import MammoroiError
from mammoroi.stages import StudyConfig

GOOD = "out: results\ncohort: {folder: mine, seed: 4}\nsegmentation: {epochs: 3}\n"


def load(tmp_path, text, *overrides):
    path = tmp_path / "study.yaml"
    path.write_text(text)
    return configured(StudyConfig, "mammoroi study", path, overrides)


def test_file_then_command_line(tmp_path):
    config = load(tmp_path, GOOD, "--segmentation.epochs", "5", "--cohort.test_size=0.2")
    assert config.out == Path("results")
    assert (config.cohort.seed, config.cohort.test_size) == (4, 0.2)
    assert config.segmentation.epochs == 5
    assert config.synthetic is None


def test_a_synthetic_cohort_from_file_and_command_line(tmp_path):
    config = load(tmp_path, GOOD + "synthetic: {n_patients: 60}\n", "--synthetic.spacing_mm", "0.3")
    assert (config.synthetic.n_patients, config.synthetic.spacing_mm) == (60, 0.3)


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (GOOD + "reportign: {}\n", [], r"unknown key reportign -> did you mean reporting\?"),
        (
            GOOD.replace("epochs", "epoch"),
            [],
            r"unknown key segmentation\.epoch -> did you mean segmentation\.epochs\?$",
        ),
        (GOOD + "xyz: 1\n", [], r"unknown key xyz -> remove it \(valid here: out, cohort, "),
        (GOOD, ["--segmentation.epoch", "3"], r"did you mean --segmentation\.epochs\?"),
        (GOOD.replace("epochs: 3", "epochs: three"), [], r"segmentation\.epochs.*three"),
        (GOOD.replace("seed: 4", "test_size: 1.5"), [], r"test_size is 1\.5"),
        ("cohort: {folder: mine}\n", [], "out"),
        ("just text", [], "holds no settings"),
        ("a: [", [], "cannot be read as YAML"),
        (GOOD, ["--allow_failures", "-1"], r"allow_failures is -1"),
        (GOOD + "reporting:\n", [], r"reporting is empty -> write a value, or remove the line"),
        (GOOD + "clinical:\n", [], r"clinical is empty"),
        (GOOD + "modeling: {tasks: }\n", [], r"modeling\.tasks is empty"),
        (GOOD + "segmentation: {loss: dice}\n", [], r"line 4: segmentation stands a second time"),
        (GOOD.replace("seed: 4", "seed: 4, seed: 5"), [], r"line 2: seed stands a second time"),
        # Values of another type, in words.
        (
            GOOD.replace("epochs: 3", "epochs: three"),
            [],
            r"epochs is 'three' -> give a whole number$",
        ),
        (GOOD, ["--modeling.icc_threshold", "high"], r"icc_threshold is 'high' -> give a number$"),
        (
            GOOD,
            ["--segmentation.patch", "3"],
            r"patch is '3' -> give a list of 2 values, each a who",
        ),
        (
            GOOD + "modeling: {tasks: [{name: grade, label: grade, classes: [1, 2, 3]}]}\n",
            [],
            r"^modeling\.tasks\.classes is '1' -> give a list of values, each text$",
        ),
        (
            GOOD + "modeling: {tasks: [{name: grade, label: 5, classes: [a, b]}]}\n",
            [],
            r"^modeling\.tasks\.label is '5' -> give text$",
        ),
        (GOOD, ["--masks", "automatic"], r"masks is 'automatic' -> give both or manual$"),
        (
            GOOD + "modeling: {views: means}\n",
            [],
            r"did you mean mean\? \(it takes mean, maximum, ",
        ),
        (
            GOOD + "modeling: {recipe: {lasso_rule: minn}}\n",
            [],
            r"^modeling\.recipe\.lasso_rule is 'minn' -> did you mean min\?",
        ),
        (
            GOOD + "modeling: {tasks: slm}\n",
            [],
            r"^modeling\.tasks is 'slm' -> give a list of values",
        ),
        (GOOD + "synthetic: 3\n", [], r"^synthetic is '3' -> give settings by name or null$"),
        (GOOD + "modeling: 3\n", [], r"modeling is '3' -> give its settings by name, indented$"),
        # Fields that may be text as well as settings of their own.
        (GOOD + "clinical: {entry_p: 2}\n", [], r"^entry_p is 2\.0 -> choose a value"),
        (
            GOOD + "clinical: {variables: [age, sizecm]}\n",
            [],
            r"^'sizecm' is no standard clinical variable -> did you mean 'size_cm'\?",
        ),
        (
            GOOD + "modeling: {recipe: {t_test_alpha: 3}}\n",
            [],
            r"^t_test_alpha is 3\.0 -> choose a value such as 0\.05$",
        ),
        (
            GOOD + "modeling: {tasks: [{name: a/b, label: a, classes: [b, c]}]}\n",
            [],
            r"^the task name 'a/b' cannot name a folder -> use letters",
        ),
        (
            GOOD + "modeling: {tasks: [{name: a, label: a}]}\n",
            [],
            r"^modeling\.tasks: the following arguments are required: classes -> see ",
        ),
        (
            GOOD + "modeling: {tasks: [{name: a, lable: a, classes: [b, c]}]}\n",
            [],
            r"^modeling\.tasks: Option 'lable' is not accepted -> see ",
        ),
    ],
)
def test_what_is_refused(tmp_path, text, overrides, message):
    with pytest.raises(MammoroiError, match=message):
        load(tmp_path, text, *overrides)


def test_a_tilde_is_the_home_folder(tmp_path, monkeypatch):
    """A folder that is called `~` would hold the study, and nobody would look there."""
    monkeypatch.setenv("HOME", str(tmp_path))
    config = load(tmp_path, "out: ~/results\ncohort: {folder: ~/mine}\n")
    assert (config.out, config.cohort.folder) == (tmp_path / "results", tmp_path / "mine")


def test_a_setting_that_may_be_none_may_be_empty(tmp_path):
    assert load(tmp_path, GOOD + "synthetic:\n").synthetic is None
    channels = load(tmp_path, GOOD.replace("epochs: 3", "channels: [8, 8, 8, 8, 8]"))
    assert channels.segmentation.channels == (8,) * 5  # equal values are no repeated keys


def test_presets_are_found_by_name_and_load():
    assert find_config("demo").name == "demo.yaml"
    for preset in ("demo", "default", "small", "large", "paper", "study-cdd-cesm"):
        config = configured(StudyConfig, "mammoroi study", find_config(preset), [])
        assert config.masks == ("manual" if preset == "paper" else "both")
    paper = configured(StudyConfig, "mammoroi study", find_config("paper"), [])
    assert (paper.modeling.recipe, paper.clinical) == ("paper-clean", "paper-literal")
    assert (paper.cohort.test_size, paper.cohort.seed, paper.modeling.seed) == (0.3, 15, 15)
    with pytest.raises(MammoroiError, match="no file and no shipped preset"):
        find_config("nonsense")


def test_every_setting_is_explained():
    """What `--help` prints for a setting comes from its docstring: none may be silent."""
    import dataclasses
    import inspect
    import re
    import typing

    from mammoroi.configuration import config_class

    def check(cls):
        text = inspect.getdoc(cls)
        for name in [field.name for field in dataclasses.fields(cls)]:
            entry = rf"^(\w+, )*{name}(, \w+)* :"
            assert re.search(entry, text, re.MULTILINE), f"{cls.__name__}.{name} is silent"
            nested = config_class(typing.get_type_hints(cls)[name])
            if nested is not None:
                check(nested)

    check(StudyConfig)
    assert "segmentation.epochs" in set(field_names(StudyConfig))


def test_an_unknown_preset_names_the_nearest_of_its_kind():
    with pytest.raises(MammoroiError) as typo:
        find_config("cbis-dsm")
    assert typo.value.action.startswith("did you mean import-cbis-ddsm? ")
    with pytest.raises(MammoroiError) as study:
        find_config("smal", "study")
    assert study.value.action.startswith("did you mean small? ")
    assert "import-" not in study.value.action
    assert "serve" not in study.value.action
    with pytest.raises(MammoroiError) as imported:
        find_config("nonsense", "import")
    assert imported.value.action.startswith("name a YAML file, or a preset (import-cbis-ddsm, ")
    with pytest.raises(MammoroiError, match=r"for study: default, demo.*; for serve: serve"):
        find_config("nonsense")
