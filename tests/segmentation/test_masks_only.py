"""A study of the masks alone, `modeling: {tasks: []}`: its stages, its report, its way back."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mammoroi.cli import main
from mammoroi.clinic.archive import unpack
from mammoroi.files import read_csv, read_json, sha256_file
from mammoroi.reporting.facts import FACTS
from mammoroi.reporting.methods import methods
from mammoroi.reporting.standards import FOLDER, standards, write_standards

from .conftest import write_study

SETTINGS = """
out: study
cohort: {{folder: cohort, n_folds: 2, stratify: [], test_size: {test_size}}}
segmentation:
  working_spacing_mm: 3.0
  channels: [2, 2, 2, 4, 4]
  epochs: 2
  batch_size: 4
  tuning_fraction: 0.3
  accelerator: cpu
  workers: 1
modeling: {{tasks: [], n_bootstrap: 100}}
"""
STAGES = ["accept", "train", "segment", "agree", "report"]
SECTIONS = ["summary", "data", "masks", "methods", "standards", "limits"]
OF_CLASSIFIERS = (
    *("classif", "AUC", "radiomic", "decision curve", "sentinel", "HER2", "risk"),
    *("nomogram", "LASSO", "extract", "question with one"),
)


class Page(HTMLParser):
    """The sections, links, anchors and words of a page, without style and script."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.sections: list[str] = []
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.headings: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self._in.append(tag)
        self.ids |= {given["id"]} if "id" in given else set()
        if tag == "section":
            self.sections.append(given["id"])
        if tag == "a":
            self.links.append(given["href"])
        if tag in ("h2", "h3", "h4"):
            self.headings.append("")
        self.text += f" {given.get('alt', '')} "

    def handle_endtag(self, tag: str) -> None:
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data: str) -> None:
        if not {"style", "script"} & set(self._in):
            self.text += data
        if self._in and self._in[-1] in ("h2", "h3", "h4"):
            self.headings[-1] += data


def made(folder: Path, test_size: float) -> Path:
    """Run a study as a user would; of the patients the names are known, or their ages, too."""
    cohort = write_study(folder / "cohort", patients=8, test=2, folds=2)
    lines = [f"P{number:02d}" for number in range(8)]
    if not test_size:
        lines = [f"{line},{40 + 5 * number}" for number, line in enumerate(lines)]
    head = "patient_id" if test_size else "patient_id,age"
    (cohort / "patients.csv").write_text("\n".join([head, *lines, ""]))
    (cohort / "splits.json").unlink()
    (folder / "my.yaml").write_text(SETTINGS.format(test_size=test_size))
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert main(["study", "my.yaml"]) == 0
    return folder


@pytest.fixture(scope="module", params=[0.3, 0.0], ids=["test set", "no test set"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made(tmp_path_factory.mktemp("masks"), request.param)


@pytest.fixture
def there(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(folder)
    return folder / "study"


def test_the_report_has_what_there_is(there: Path) -> None:
    run = read_json(there / "run.json")
    assert [stage["stage"] for stage in run["stages"]] == STAGES
    page = Page((there / "report.html").read_text("utf-8"))
    assert page.sections == SECTIONS
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids, link
        elif not link.startswith("data:"):
            assert (there / link).is_file(), link
    figures = {path.stem for path in (there / "figures").glob("*.svg")}
    assert {"flow_of_cases", "dice_distribution", "dice_groups", "froc"} <= figures
    assert {"pixel_calibration", "uncertainty_dice", "training_history"} <= figures
    tables = {path.stem for path in (there / "tables").glob("*.csv")}
    cohort = read_csv(there / "patients.csv")
    described = {"baseline"} if "age" in cohort else set()
    assert tables == {"agreement", "cases_lost", "stages", *described}
    assert ("57.5 (12.2)" in page.text) == bool(described)
    assert "To be added by the authors (advice is in the checklist CLAIM)" in page.text
    assert {*figures, *tables} <= page.ids
    assert all(heading.strip() for heading in page.headings)
    assert "how well automatic masks of the lesion agree with manual ones" in page.text
    assert "and two readers with each other" in page.text
    for word in OF_CLASSIFIERS:
        found = re.search(rf".{{0,60}}\b{re.escape(word)}.{{0,60}}", page.text, re.IGNORECASE)
        assert found is None, found
    dice = read_csv(there / "agreement_summary.csv").set_index(["comparison", "group", "metric"])
    mean = dice.loc[("automatic-manual", "all", "dice"), "mean"]
    assert f"{mean:.2f}" in page.text


def test_methods_checklist_and_card_are_of_the_masks(there: Path) -> None:
    text = methods(there)
    headings = re.findall(r"^## (.*)$", text, re.MULTILINE)
    assert headings[:3] == ["Patients", "Images and manual masks", "Automatic segmentation"]
    assert headings[3:] == ["Statistical analysis", "Software", "References"]
    for word in (*OF_CLASSIFIERS, "pyradiomics"):
        assert not re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE), word
    filled = standards(there)
    assert list(filled) == ["claim"]
    shown = filled["claim"].set_index("item")["status"].eq("shown by the run")
    assert shown[["18", "19", "20", "22", "23", "25", "28", "29", "32", "35", "37"]].all()
    assert shown["36"] == ("age" in read_csv(there / "patients.csv"))
    assert {path.name for path in (there / "standards").glob("*.csv")} == {
        *("claim.csv", "to_answer.csv"),
    }
    assert {path.name for path in (there / "cards").iterdir()} == {
        *("segmentation.md", "segmentation.json"),
    }


def test_the_checklist_is_whole_and_refers_to_what_exists() -> None:
    items = read_csv(FOLDER / "claim.csv", dtype=str).fillna("")
    assert items["item"].tolist() == [str(k) for k in range(1, 45)]  # Tejani et al. 2024
    assert set(items["who"]) == {"software", "assisted", "human"}
    assert (items.loc[items["who"] != "software", "hint"] != "").all()
    assert ((items["evidence"] == "") == (items["who"] == "human")).all()
    assert {key.rstrip("?!") for keys in items["evidence"] for key in keys.split()} <= set(FACTS)


def test_answers_to_the_checklist_count(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    answers = there / "standards_answers.csv"
    answers.write_text("standard,item,answer\nclaim,44,None\n")
    try:
        assert main(["standards", "study"]) == 0
        said = capsys.readouterr().out
        assert "METRICS" not in said
        assert "1 model card:" in said
        table = read_csv(there / "standards" / "claim.csv", dtype=str).set_index("item")
        assert table.loc["44", "status"] == "answered by a person"
    finally:
        answers.unlink()
        write_standards(there)


def test_a_second_run_does_nothing(there: Path) -> None:
    before = sha256_file(there / "report.html")
    assert main(["study", "my.yaml"]) == 0
    stages = read_json(there / "run.json")["stages"]
    assert [stage["skipped"] for stage in stages] == [True] * len(STAGES)
    assert sha256_file(there / "report.html") == before


@pytest.mark.parametrize("stage", ["extract", "perturb", "model", "compare", "tables"])
def test_a_stage_for_classifiers_is_refused(
    there: Path, stage: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = sha256_file(there / "config.json")
    assert main([stage, "my.yaml"]) == 1
    said = capsys.readouterr().err
    assert f"modeling.tasks is empty: these settings ask for masks alone, not for '{stage}'" in said
    assert "--modeling.tasks '[sln]'" in said
    assert sha256_file(there / "config.json") == before


def test_settings_of_a_shared_section_that_count_for_nothing_are_told(
    there: Path, caplog: pytest.LogCaptureFixture
) -> None:
    told = "does not use what has changed in segmentation.epochs, segmentation.threshold since"
    other = ["--segmentation.threshold", "0.95", "--segmentation.epochs", "3"]
    how = ["--segmentation.workers", "2"]
    before = sha256_file(there / "config.json")
    assert main(["agree", "my.yaml", *other, *how]) == 0
    assert told in caplog.text
    assert sha256_file(there / "config.json") == before
    caplog.clear()
    assert main(["agree", "my.yaml", *how]) == 0
    assert "does not use what has changed" not in caplog.text


def test_leakage_is_refused(there: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leakage", "my.yaml"]) == 1
    assert "tasks is empty" in capsys.readouterr().err


def test_the_report_with_classifiers_wants_their_stages(
    there: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["report", "my.yaml", "--modeling.tasks", "[sln]"]) == 1
    assert "stage 'report' needs extract, model, compare, tables" in capsys.readouterr().err
    assert main(["report", "my.yaml"]) == 0


def test_the_bundle_draws_masks(there: Path) -> None:
    assert main(["bundle", "study", "-o", "masks.mroi"]) == 0
    members = unpack(Path("masks.mroi"))
    assert not [name for name in members if name.startswith("classifiers/")]
    assert b"No classifier: it draws masks." in members["card.md"]


def test_features_are_set_aside_and_come_back(there: Path) -> None:
    """What costs hours is not removed because a report of the masks was wanted once."""
    table = there / "features" / "manual.parquet"
    kept = there / "set-aside" / "extract" / "files" / "features" / "manual.parquet"
    preset = Path(__file__).parents[1] / "root" / "data" / "original-only.yaml"
    settings = ["my.yaml", "--radiomics.preset", str(preset), "--radiomics.workers", "1"]
    assert main(["extract", *settings, "--modeling.tasks", "[sln]"]) in (0, 3)
    before = sha256_file(table)
    entry = read_json(there / "stages.json")["extract"]

    assert main(["study", *settings]) == 0
    assert not table.exists()
    assert sha256_file(kept) == before
    assert "extract" not in read_json(there / "stages.json")
    assert "features" not in Page((there / "report.html").read_text("utf-8")).sections

    # a move that was cut off goes on
    (there / "features").mkdir(exist_ok=True)
    kept.replace(table)
    assert main(["accept", *settings]) == 0
    assert sha256_file(kept) == before

    assert main(["accept", *settings, "--modeling.tasks", "[sln]"]) == 0
    assert sha256_file(table) == before
    assert not (there / "set-aside").exists()
    assert read_json(there / "stages.json")["extract"] == entry
    assert read_json(there / "config.json")["radiomics"]["preset"] == str(preset)
    assert main(["study", "my.yaml"]) == 0
