"""The report of a small study: complete, self-contained, true to its files."""

import base64
import hashlib
import io
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from mammoroi.errors import Failure, MammoroiError
from mammoroi.files import read_json, write_csv, write_failures, write_json
from mammoroi.reporting.config import ReportConfig
from mammoroi.reporting.figures_compare import RULES, draw_auc
from mammoroi.reporting.figures_decision import useful_ranges
from mammoroi.reporting.figures_features import draw_funnel
from mammoroi.reporting.figures_lasso import marked
from mammoroi.reporting.figures_masks import beside_reader2, draw_dice_groups, draw_history
from mammoroi.reporting.flow import draw_flow, flow_table
from mammoroi.reporting.overlay_pictures import SMALL_PICTURE
from mammoroi.reporting.read_results import read_results
from mammoroi.reporting.report import report
from mammoroi.reporting.style import drawing, save
from mammoroi.reporting.summary import ONLY_LESIONS, limits
from mammoroi.reporting.tables import cases

BANNER = "SYNTHETIC DATA: phantom mammograms, no patients"


class Page(HTMLParser):
    """What the tests look at: tags with attributes, tables by the id around them, plain text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.tables: dict[str, list[list[str]]] = {}
        self.text = ""
        self._id = ""
        self._cell: list[str] | None = None
        self._in_section = ""
        self.sections: dict[str, str] = {}
        self.raw: dict[str, str] = {}
        self._raw = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        if "id" in attributes:
            self._id = attributes["id"]
        if tag == "section":
            self._in_section = attributes["id"]
            self.sections[self._in_section] = ""
        if tag == "tr":
            self.tables.setdefault(self._id, []).append([])
        if tag in ("td", "th"):
            self._cell = []
        self._raw = tag if tag in ("script", "style") else ""

    def handle_endtag(self, tag: str) -> None:
        if tag in ("td", "th") and self._cell is not None:
            self.tables[self._id][-1].append("".join(self._cell).replace("\u00a0", " ").strip())
            self._cell = None
        self._raw = ""

    def handle_data(self, data: str) -> None:
        if self._raw:
            self.raw[self._raw] = self.raw.get(self._raw, "") + data
            return
        self.text += data
        if self._in_section:
            self.sections[self._in_section] += data
        if self._cell is not None:
            self._cell.append(data)


@pytest.fixture(scope="module")
def html(study: Path) -> str:
    return (study / "report.html").read_text("utf-8")


@pytest.fixture(scope="module")
def page(html: str) -> Page:
    return Page(html)


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """The study to be spoiled, without its report."""
    folder = tmp_path / "study"
    shutil.copytree(study, folder, ignore=shutil.ignore_patterns("figures", "*.html"))
    return folder


def test_performance_on_the_page_is_that_of_the_metrics(study: Path, page: Page) -> None:
    calls = ("auc", "sensitivity", "specificity", "accuracy", "ppv", "npv", "f1")
    risks = ("observed_expected", "calibration_intercept", "calibration_slope", "ici", "brier")
    digits = {"ici": 3, "brier": 3}
    for table, names in (("performance_sln", calls), ("performance_risks_sln", risks)):
        rows = iter(page.tables[table][1:])
        saved = pd.read_csv(study / f"tables/{table}.csv").set_index(["set", "roi"])
        for part in ("train", "test", "all"):
            for roi in ("manual", "automatic"):
                metrics = json.loads((study / f"models/sln/{roi}/metrics.json").read_text())
                values = metrics[part if part == "test" else f"{part}_out_of_fold"]
                row = next(rows)
                assert row[2:4] == [roi, f"{values['n']} ({values['n_positive']})"]
                for at, name in enumerate(names):
                    ends = [values[name + end] for end in ("", "_lower", "_upper")]
                    told = [
                        f"{one:.{digits.get(name, 2)}f}".replace("-0.00", "0.00") for one in ends
                    ]
                    assert row[4 + at].replace("−", "-") == f"{told[0]} ({told[1]} to {told[2]})"
                    assert saved.loc[(part, roi), name] == pytest.approx(ends[0], rel=1e-12)
        assert next(rows, None) is None


def test_all_classes_as_one_model_are_those_of_the_files(study: Path, page: Page) -> None:
    rows = iter(page.tables["classes_her2"][1:])
    measures = ("macro_auc", "hand_till", "accuracy", "balanced_accuracy", "quadratic_kappa")
    for key in ("train_out_of_fold", "test", "all_out_of_fold"):
        for roi in ("manual", "automatic"):
            path = study / f"models/her2/classes/{roi}/metrics.json"
            values = json.loads(path.read_text())[key]
            row = next(rows)
            assert row[1:3] == [roi, str(values["n"])]
            for at, name in enumerate(measures):
                ends = [values[name + end] for end in ("", "_lower", "_upper")]
                told = [f"{one:.2f}".replace("-0.00", "0.00") for one in ends]
                assert row[3 + at].replace("−", "-") == f"{told[0]} ({told[1]} to {told[2]})"
    assert next(rows, None) is None
    assert "−0.040 (−0.090 to 0.012), P = .123 (paired bootstrap)" in page.text
    confusion = pd.read_csv(study / "figures/confusion_her2.csv", dtype={"truth": str})
    predicted = pd.read_csv(study / "models/her2/classes/manual/predictions.csv")
    right = (predicted["called"] == predicted["label"]) & (predicted["set"] == "test")
    of_set = confusion[(confusion["set"] == "test") & (confusion["roi"] == "manual")]
    assert of_set.loc[of_set["truth"] == of_set["called"], "n"].sum() == right.sum()


def test_claim_and_truth_are_those_of_the_files(study: Path, page: Page) -> None:
    rows = page.tables["claims_sln"][1:]
    saved = pd.read_csv(study / "tables/claims_sln.csv")
    assert len(rows) == len(saved) == 8
    for (_, one), row in zip(saved.iterrows(), rows, strict=True):
        folder = study / f"models/sln/{one['roi']}"
        claim = json.loads((folder / "literal.json").read_text())
        metrics = json.loads((folder / "metrics.json").read_text())
        name = one["measure"]
        true = metrics["all_out_of_fold"][name]
        assert one["difference"] == pytest.approx(claim["test"][name] - true)
        assert row[3:5] == [f"{claim['test'][name]:.2f}", f"{claim['test_refit'][name]:.2f}"]
        assert row[5].split()[0] == f"{true:.2f}"
        assert row[6].replace("−", "-") == f"{one['difference']:.2f}"
        assert row[7].split()[0] == f"{metrics['test'][name]:.2f}"
    assert "the same data would have claimed a test AUC of 0.93" in page.sections["summary"]


def test_selected_features_and_clinical_tables_are_those_of_the_files(
    study: Path, page: Page
) -> None:
    rows = page.tables["selection_her2-low"][1:]
    saved = pd.read_csv(study / "models/her2-low/manual/selection.csv")
    saved = saved.sort_values("coefficient", key=abs, ascending=False)
    for row, (_, one) in zip(rows, saved.iterrows(), strict=False):
        told = [one["feature"], ".010", ".100", "0.90", f"{one['coefficient']:.4f}"]
        assert [*row[1:5], row[5].replace("−", "-")] == told
        assert row[6] == f"{one['frequency']:.0%}"
    assert len(rows) == 2 * len(saved)
    assert "manual masks 0.41 (0.32 to 0.50), middling" in page.text
    assert "Table 6. Selected features, HER2: low" in page.text
    first = pd.read_csv(study / "tables/table1_baseline.csv")
    assert len(page.tables["table1_baseline"]) == len(first) + 1
    assert {"table2_sln", "table3_her2", "table3_proportionality"} <= set(page.tables)
    assert "t-test" not in set(pd.read_csv(study / "figures/feature_funnel.csv")["step"])


def test_the_rule_of_the_penalty_is_marked() -> None:
    path = pd.DataFrame(
        {
            "alpha": [1.0, 0.1, 0.01, 0.001],
            "mse_mean": [0.30, 0.24, 0.22, 0.23],
            "mse_se": 0.03,
            "chosen": [False, True, False, False],
        }
    )
    found = marked(path)
    assert found.loc[found["chosen"], "alpha"].tolist() == [0.1]
    assert found.loc[found["smallest"], "alpha"].tolist() == [0.01]
    assert found.loc[found["within_one_se"], "alpha"].max() == 0.1
    assert marked(path.drop(columns="mse_se"))["within_one_se"].sum() == 1


def test_comparison_and_agreement_on_the_page_are_those_of_the_files(
    study: Path, page: Page
) -> None:
    rows = page.tables["comparison"][1:]
    saved = pd.read_csv(study / "comparison/auc.csv")
    assert len(rows) == len(saved)
    for row, (_, true) in zip(rows, saved.iterrows(), strict=True):
        numbers = f"{true['difference']:.3f} ({true['lower']:.3f} to {true['upper']:.3f})"
        assert row[6].replace("−", "-").replace("-0.000", "0.000") == numbers
    assert {row[7] for row in rows} == {"< .001", ".310"}
    dice = pd.read_csv(study / "agreement_summary.csv").query(
        "comparison == 'automatic-manual' and group == 'all' and metric == 'dice'"
    )
    mean, low, high = dice.iloc[0][["mean", "mean_lower", "mean_upper"]]
    assert page.tables["agreement"][1][3] == f"{mean:.2f} ({low:.2f} to {high:.2f})"
    assert f"mean Dice of {mean:.2f} ({low:.2f} to {high:.2f})" in page.sections["summary"]


def test_figures_hold_the_numbers_of_the_curves(study: Path) -> None:
    for kind, name in (("roc", "roc"), ("calibration", "calibration"), ("decision", "decision")):
        drawn = pd.read_csv(study / f"figures/{kind}_sln.csv")
        for roi in ("manual", "automatic"):
            true = pd.read_csv(study / f"models/sln/{roi}/curves/{name}.csv")
            part = drawn[drawn["roi"] == roi].drop(columns="roi").reset_index(drop=True)
            pd.testing.assert_frame_equal(part, true)


def test_every_figure_is_sound_has_its_numbers_and_is_on_the_page(study: Path, page: Page) -> None:
    ids = {attributes.get("id") for tag, attributes in page.tags if tag == "figure"}
    svgs = sorted((study / "figures").glob("*.svg"))
    assert {path.stem for path in svgs} == ids
    assert len(svgs) == 4 + 1 + 4 + 1 + 1 + 1 + 13 * 2
    for path in svgs:
        ET.parse(path)
        assert "<dc:date>" not in path.read_text()
        assert len(pd.read_csv(path.with_suffix(".csv"))) > 0


def test_the_page_loads_nothing(study: Path, page: Page) -> None:
    for tag, attributes in page.tags:
        for name in ("src", "href", "data", "action", "srcset", "poster"):
            value = attributes.get(name, "data:")
            if tag == "a" and not value.startswith(("#", "data:")):
                assert (study / value).is_file()
            else:
                assert value.startswith(("#", "data:"))
        assert tag not in ("link", "iframe", "object", "embed", "base")
        assert "style" not in attributes
        assert not [name for name in attributes if name.startswith("on")]
    assert "@import" not in page.raw["style"]
    assert "url(" not in page.raw["style"]
    policy = next(
        attributes["content"]
        for tag, attributes in page.tags
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none';")
    for tag in ("style", "script"):
        digest = base64.b64encode(hashlib.sha256(page.raw[tag].encode()).digest()).decode()
        assert f"{tag}-src 'sha256-{digest}'" in policy


def test_anchors_lead_somewhere_and_pictures_have_words(page: Page) -> None:
    ids = [attributes["id"] for _, attributes in page.tags if "id" in attributes]
    assert len(ids) == len(set(ids))
    for tag, attributes in page.tags:
        if tag == "a" and attributes["href"].startswith("#"):
            assert attributes["href"][1:] in ids
        if tag == "img":
            assert "alt" in attributes


def test_synthetic_data_are_named_in_every_section(page: Page) -> None:
    assert page.text.index(BANNER) < page.text.index("Summary")
    assert len(page.sections) == 14
    for name, text in page.sections.items():
        assert BANNER in text, name
    assert "Not a medical device" in page.text


def test_excluded_failed_and_missed_cases_are_listed(page: Page) -> None:
    rows = {(row[0], row[1]): row[2:] for row in page.tables["cases_lost"]}
    assert rows["P900", "cohort/patient"] == ["age is 340", "write a value from 15 to 110"]
    assert rows["P005_L_MLO", "radiomics/manual"] == ["1 pixel <in mask>", "draw it anew"]
    assert ("P003_L_MLO", "features/automatic") in rows
    assert "10 of 120 images (8.3%) is estimated" in page.sections["data"]


def test_mammograms_of_other_cohorts_that_failed_are_listed(copied: Path) -> None:
    lost = Failure("N7", "segmentation/prepare/normals", "no spacing", "give spacing_mm")
    for name in ("masks/normals", "segmentation/prepared/others"):
        write_failures(copied / name / "failures.csv", [replace(lost, stage=name)])
    shown = {(row[0], row[1]) for row in cases(read_results(copied)).cells}
    assert {("N7", "masks/normals"), ("N7", "segmentation/prepared/others")} <= shown


def test_false_marks_on_normal_mammograms_are_no_limit_where_they_were_counted(
    copied: Path,
) -> None:
    masks_alone = replace(read_results(copied), targets=[])
    assert ONLY_LESIONS in limits(masks_alone)
    write_csv(copied / "normals.csv", pd.DataFrame({"image_id": ["N1"]}))
    assert ONLY_LESIONS not in limits(masks_alone)


def test_the_time_of_a_run_is_that_of_the_stages_that_ran(page: Page) -> None:
    """The stage that was skipped, of 41 s, took its time in another run."""
    assert "of the last run, together 3 min 23 s." in page.text


def test_masks_are_set_beside_a_second_reader_on_the_same_images(copied: Path) -> None:
    """Only the difficult images were read twice: on those the automatic masks are no worse."""
    table = pd.read_csv(copied / "agreement.csv")
    twice = table.loc[table["comparison"] == "reader2-manual", "image_id"]
    automatic = table["comparison"] == "automatic-manual"
    table.loc[automatic, "dice"] = 0.9
    table.loc[automatic & table["image_id"].isin(twice), "dice"] = 0.5
    table.loc[table["comparison"] == "reader2-manual", "dice"] = 0.5
    write_csv(copied / "agreement.csv", table)
    difference, n = beside_reader2(read_results(copied))
    assert (difference.value, difference.lower, difference.upper) == (0, 0, 0)
    assert n == len(twice) < automatic.sum()


def test_groups_of_masks_ascend(study: Path) -> None:
    results = read_results(study)
    row = results.agreement_summary[results.agreement_summary["metric"] == "dice"].iloc[[0]]
    levels = ("view=CC", "size_group=10-20mm", "size_group=<10mm", "size_group=>20mm", "set=test")
    table = pd.concat([row.assign(group=level) for level in levels], ignore_index=True)
    with drawing():
        plot = draw_dice_groups(replace(results, agreement_summary=table))
    assert plot is not None
    shown = [label.get_text() for label in plot.figure.axes[0].get_yticklabels()]
    sizes = ["size group: <10mm", "size group: 10-20mm", "size group: >20mm"]
    assert shown == ["view: CC", *sizes, "set: test"]
    assert plot.finding == ""  # all means are one: none is the lowest, none the highest


def test_a_group_of_few_patients_is_inside_the_figure_of_dice(study: Path) -> None:
    """It has a mean and no interval, and may be far below the intervals of the others."""
    columns = ["comparison", "group", "metric", "n", "mean", "mean_lower", "mean_upper"]
    rows = [
        ("automatic-manual", "size_group=<10mm", "dice", 3, 0.2, np.nan, np.nan),
        ("automatic-manual", "size_group=>20mm", "dice", 60, 0.85, 0.8, 0.9),
        ("automatic-manual", "size_group=10-20mm", "dice", 40, 0.8, 0.7, 0.9),
    ]
    table = pd.DataFrame(rows, columns=columns)
    with drawing():
        plot = draw_dice_groups(replace(read_results(study), agreement_summary=table))
    assert plot is not None
    (axes,) = plot.figure.axes
    low, high = axes.get_xlim()
    (marks,) = (line.get_xdata() for line in axes.lines if line.get_marker() == "s")
    assert all(low < mark < high for mark in marks)
    assert plot.finding.startswith("Automatic masks are lowest for size group: 10-20mm")


def test_texts_are_escaped(html: str) -> None:
    assert "fixture &amp; friends" in html
    assert "<in mask>" not in html


def test_overlays_are_there_worst_first(study: Path, page: Page) -> None:
    pictures = [
        attributes
        for tag, attributes in page.tags
        if tag == "img" and attributes.get("src", "").startswith("data:image/jpeg")
    ]
    assert [one["alt"].split(":")[1].split()[0] for one in pictures] == [
        *("worst", "worst", "median", "median", "best", "best"),
    ]
    assert (study / "report.html").stat().st_size < 8_000_000


def test_stability_says_what_it_rests_on(study: Path) -> None:
    page = Page((study / "report.html").read_text("utf-8"))
    assert "rests on the ICC(2,1) of the two readers' masks in 30 training patients" in page.text
    for words in (
        "automatic against manual (ICC(2,1), 118 images of all patients), median ICC",
        "second reader against manual (ICC(2,1), 118 images of all patients), median ICC",
        "perturbed against manual (ICC(1,1), 118 images of training patients), median ICC",
    ):
        assert words in page.text
    drawn = pd.read_csv(study / "figures/icc_families.csv")
    assert drawn.groupby("comparison")["feature"].count().to_dict() == {
        "automatic-manual": 210,
        "perturbed-manual": 210,
        "reader2-manual": 210,
    }


def test_legends_name_what_the_first_question_lacks(study: Path) -> None:
    """Automatic masks of too few patients may leave the first question with manual ones alone."""
    results = read_results(study)
    first, *rest = results.targets
    alone = replace(first, results={"manual": first.results["manual"]})
    found = replace(
        results,
        targets=[alone, *rest],
        auc=results.auc[results.auc["target"] != first.name],
    )
    with drawing():
        compared, funnel = draw_auc(found), draw_funnel(found)
    assert compared is not None
    left, right = (ax.get_legend() for ax in compared.figure.axes)
    (below,) = funnel.figure.legends
    masks = ["manual masks", "automatic masks"]
    for legend, names in ((left, masks), (right, list(RULES.values())), (below, masks)):
        assert legend is not None
        assert [text.get_text() for text in legend.get_texts()] == names


def test_stability_names_the_patients_of_all_models(study: Path) -> None:
    """Patients without a label, or without a feature, are not the same for every question."""
    results = read_results(study)
    first, *rest = results.targets
    fewer = {roi: replace(result, icc_patients=28) for roi, result in first.results.items()}
    with drawing():
        plot = draw_funnel(replace(results, targets=[replace(first, results=fewer), *rest]))
    assert "masks in 28 to 30 training patients (views combined)" in plot.finding


def test_a_users_study_without_anything_optional(
    make_study: Callable[..., Path], tmp_path: Path
) -> None:
    folder = make_study(tmp_path / "study", synthetic=False, targets=("sln",))
    for path in (folder / "overlays").glob("*.png"):
        Image.new("RGB", (900, 2000)).save(path)
    for optional in ("run.json", "excluded.csv", "features/missed.csv", "features/failures.csv",
                     "masks/failures.csv", "features/reader2.parquet",
                     "features/reader2.json"):  # fmt: skip
        (folder / optional).unlink()
    shutil.rmtree(folder / "segmentation")
    write_json(folder / "cohort.json", {})
    odds_ratios = folder / "tables/table2_sln.csv"  # patients.csv has no clinical variable
    write_csv(odds_ratios, pd.read_csv(odds_ratios).iloc[:0])
    images = pd.read_csv(folder / "cohort.csv").drop(columns=["mask_reader2", "spacing_source"])
    write_csv(folder / "cohort.csv", images)
    for name in ("agreement.csv", "agreement_summary.csv"):
        table = pd.read_csv(folder / name)
        write_csv(folder / name, table[table["comparison"] == "automatic-manual"])
    base = folder / "models/sln/automatic"
    for name in ("selection", "lasso_path", "lasso_coefficients"):
        write_csv(base / f"{name}.csv", pd.read_csv(base / f"{name}.csv").iloc[:0])
    for roi in ("manual", "automatic"):
        funnel = {"extracted": 1311, "stable": 0, "t_test": None}
        funnel |= {"icc_source": None, "icc_patients": 0}
        write_json(folder / f"models/sln/{roi}/funnel.json", funnel)
    stability = pd.read_csv(folder / "comparison/stability.csv")
    gone = [name for name in stability if "reader" in name or "perturbation" in name]
    stability[gone] = None
    write_csv(folder / "comparison/stability.csv", stability)

    path = report(ReportConfig(title="Ours", overlay_pixels=300), folder)

    page = Page(path.read_text("utf-8"))
    assert "SYNTHETIC" not in page.text
    assert "Cohort: study" in page.text
    assert "Not a medical device" in page.text
    assert "no second reader drew masks" in page.text
    assert "the ICC step was left out" in page.text
    assert "no feature was selected" in page.text
    assert "There is no run.json" in page.text
    assert "estimated" not in page.sections["data"]
    assert "odds ratios" not in page.text
    assert "Table 2. Selected features" in page.text
    assert "Table 3. Performance" in page.text
    shown = [attributes for _, attributes in page.tags if "data-whole" in attributes]
    whole, part = (
        {Image.open(io.BytesIO(base64.b64decode(one[name].split(",")[1]))).size for one in shown}
        for name in ("data-whole", "src")
    )
    assert whole == {(135, 300)}
    assert {max(size) for size in part} == {SMALL_PICTURE}


def test_own_results_come_before_the_published_order_of_steps(html: str, page: Page) -> None:
    """And what is only claimed is called so."""
    summary = page.sections["summary"]
    claim = summary.index("Not a result: what the published order of steps would have claimed")
    assert summary.index("Classifiers, on the test patients") < claim
    assert claim < summary.index("With the steps in the order of Zhao")
    assert html.index('id="task-sln"') < html.index('id="comparison-section"')
    assert html.index('id="comparison-section"') < html.index('id="claim"')


def test_paths_of_the_machine_are_not_shown(copied: Path) -> None:
    about = read_json(copied / "cohort.json") | {"synthetic": False}
    write_json(copied / "cohort.json", about | {"source": "/home/dr-who/secret/list.csv"})
    text = report(ReportConfig(), copied).read_text("utf-8")
    assert "dr-who" not in text
    assert "Source: list.csv." in text
    banner = text[text.index('class="banner') : text.index('class="layout"')]
    assert "fixture &amp; friends" in banner
    assert "list.csv" not in banner


def test_calibration_without_an_interval_is_none(copied: Path) -> None:
    """An intercept of 70.65 whose fit had no end is no estimate."""
    path = copied / "models/sln/automatic/metrics.json"
    metrics = read_json(path)
    metrics["test"] |= {
        "calibration_intercept": 70.65,
        "calibration_intercept_lower": None,
        "calibration_intercept_upper": None,
        "calibration_slope": None,
    }
    write_json(path, metrics)
    text = Page(report(ReportConfig(), copied).read_text("utf-8")).text
    assert "70.65" not in text
    assert "automatic masks: Slope and intercept of calibration cannot be estimated: few" in text


def test_epochs_are_whole_numbers(study: Path) -> None:
    results = read_results(study)
    short = {fold: history.iloc[:3] for fold, history in results.histories.items()}
    with drawing():
        plot = draw_history(replace(results, histories=short))
    assert plot is not None
    for ax in plot.figure.axes:
        assert all(float(tick).is_integer() for tick in ax.get_xticks())


def test_nothing_of_an_earlier_report_is_left(copied: Path) -> None:
    old = ["figures/roc_rare.svg", "figures/roc_rare.csv", "tables/performance_rare.csv"]
    old += ["cards/rare-manual.md", "cards/rare-manual.json"]
    own = ["figures/flow, with who was eligible.svg", "tables/mine.csv"]
    kept = ["tables/table1_baseline.csv", "tables/performance_sln.csv", *own]
    for name in (*old, *own):
        (copied / name).parent.mkdir(exist_ok=True)
        (copied / name).write_text("a,b\n1,2\n")
    named = [
        f'<a href="{name}">{name}</a>' for name in old if name.startswith(("figures", "tables"))
    ]
    (copied / "report.html").write_text("\n".join(named), "utf-8")
    report(ReportConfig(), copied)
    assert [name for name in (*old, *kept) if (copied / name).exists()] == kept


def test_two_runs_give_the_same_bytes(study: Path, copied: Path) -> None:
    report(ReportConfig(), copied)
    files = [path.relative_to(copied) for path in sorted(copied.rglob("*")) if path.is_file()]
    assert Path("report.html") in files
    for path in files:
        assert (study / path).read_bytes() == (copied / path).read_bytes(), path


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("cohort.csv", "study"),
        ("cohort.json", "study"),
        ("splits.json", "study"),
        ("masks/predictions.csv", "segment"),
        ("agreement.csv", "agree"),
        ("features/automatic.parquet", "extract"),
        ("models/targets.json", "model"),
        ("models/sln/manual/metrics.json", "model"),
        ("models/sln/automatic/curves/decision.csv", "model"),
        ("comparison/auc.csv", "compare"),
        ("comparison/stability.csv", "compare"),
    ],
)
def test_a_missing_file_names_its_stage(copied: Path, name: str, command: str) -> None:
    (copied / name).unlink()
    with pytest.raises(MammoroiError) as caught:
        report(ReportConfig(), copied)
    assert name in caught.value.found
    assert f"mammoroi {command}`" in caught.value.action
    assert not (copied / "report.html").exists()


def test_broken_files_are_refused(copied: Path) -> None:
    table = pd.read_csv(copied / "comparison/auc.csv")
    write_csv(copied / "comparison/auc.csv", table.assign(difference=-table["difference"]))
    with pytest.raises(MammoroiError, match="not the automatic AUC minus the manual AUC"):
        read_results(copied)
    write_csv(copied / "comparison/auc.csv", table.drop(columns="p_delong"))
    with pytest.raises(MammoroiError, match="has no column p_delong -> run `mammoroi compare`"):
        read_results(copied)
    write_csv(copied / "comparison/auc.csv", table)
    (copied / "features/manual.parquet").write_text("no table")
    with pytest.raises(MammoroiError, match=r"manual\.parquet is not a table"):
        read_results(copied)
    with pytest.raises(MammoroiError, match="there is no folder"):
        read_results(copied / "nowhere")
    with pytest.raises(MammoroiError, match="choose a number from 200 to 4000"):
        ReportConfig(overlay_pixels=5)


def test_the_flow_adds_up_or_says_so(copied: Path) -> None:
    table = flow_table(read_results(copied))
    assert table["adds_up"].all()
    row = table.set_index("stage").loc["features, automatic masks"]
    assert row[["cases_in", "used", "no_lesion_found", "failed"]].tolist() == [120, 117, 3, 0]
    assert "in = used + excluded" in draw_flow(table).finding
    write_failures(copied / "features/failures.csv", [Failure("x", "radiomics/automatic", "", "")])
    spoiled = draw_flow(flow_table(read_results(copied)))
    assert "do not add up" in spoiled.finding
    assert "features, automatic masks" in spoiled.finding


def test_what_became_of_the_cases_is_wholly_in_the_figure(study: Path, tmp_path: Path) -> None:
    """Every kind of loss at once, of many cases, beside the longest names of stages."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    table = flow_table(read_results(study))
    counts = {"used": 1200, "excluded": 212, "no_lesion_found": 133, "failed": 155}
    with drawing():
        plot = draw_flow(table.assign(cases_in=sum(counts.values()), adds_up=True, **counts))
        save(plot, tmp_path)
    plot.figure.set_layout_engine("none")  # as it was saved
    renderer = FigureCanvasAgg(plot.figure).get_renderer()
    texts = [text for ax in plot.figure.axes for text in ax.texts]
    assert len(texts) == len(table)
    ends = [text.get_window_extent(renderer).x1 for text in texts]
    assert max(ends) <= plot.figure.bbox.width


def test_useful_thresholds_are_runs_above_both_rules() -> None:
    curve = pd.DataFrame(
        {
            "threshold": [0.1, 0.2, 0.3, 0.4, 0.5],
            "net_benefit": [0.5, 0.4, 0.1, 0.1, -0.1],
            "treat_all": [0.5, 0.3, 0.2, -0.1, -0.3],
        }
    )
    assert useful_ranges(curve) == [(0.2, 0.2), (0.4, 0.4)]
