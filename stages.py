"""The stages of a study, in their order, and everything that a study can be told."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from .cohort.config import CohortConfig
from .cohort.places import COHORT_FILES
from .cohort.synthetic_config import SyntheticConfig
from .errors import MammoroiError
from .files import plain, read_json, sha256_file, sha256_of
from .modeling.clinical_config import ClinicalConfig, resolved_clinical
from .modeling.compare_config import CompareConfig, CompareStage
from .modeling.config import ModelingConfig
from .modeling.predictors_config import ModelStage
from .radiomics.config import RadiomicsConfig
from .radiomics.perturbation_config import PerturbConfig, StabilityConfig
from .reporting.config import ReportConfig
from .segmentation.config import SegmentationConfig


@dataclass(frozen=True)
class StudyConfig:
    """Everything that a study can be told.

    Attributes
    ----------
    out : Path
        The study folder: every result is written here.
    cohort : CohortConfig
        Which patients, and how they are split.
    masks : {"both", "manual"}
        ``both``: networks are trained, draw automatic masks, and these are compared with the manual
        ones. ``manual``: features and classifiers of the manual masks alone, without any network.
    synthetic : SyntheticConfig or None
        When given, this synthetic cohort is made first, in the folder that ``cohort`` names.
    segmentation : SegmentationConfig
        The U-Net: preparation, network, training.
    radiomics : RadiomicsConfig
        The features.
    stability : StabilityConfig
        Perturbations of the manual masks; none unless they are named.
    modeling : ModelingConfig
        The classifiers and their tasks; without any task the study is of the masks alone.
    comparison : CompareConfig
        What was declared about manual against automatic masks.
    clinical : ClinicalConfig or str
        The clinical variables and their tables; `paper-literal` makes the tables as the published
        study did.
    reporting : ReportConfig
        The report.
    allow_failures : int
        As many failed or excluded cases as this still end with exit code 0.
    """

    out: Path
    cohort: CohortConfig
    masks: Literal["both", "manual"] = "both"
    synthetic: SyntheticConfig | None = None
    segmentation: SegmentationConfig = field(default_factory=SegmentationConfig)
    radiomics: RadiomicsConfig = field(default_factory=RadiomicsConfig)
    stability: StabilityConfig = field(default_factory=StabilityConfig)
    modeling: ModelingConfig = field(default_factory=ModelingConfig)
    comparison: CompareConfig = field(default_factory=CompareConfig)
    clinical: ClinicalConfig | str = field(default_factory=ClinicalConfig)
    reporting: ReportConfig = field(default_factory=ReportConfig)
    allow_failures: int = 0

    def __post_init__(self) -> None:
        resolved_clinical(self.clinical)
        if self.masks == "manual" and not self.modeling.tasks:
            raise MammoroiError(
                "masks is manual and modeling.tasks is empty: neither automatic masks nor "
                "classifiers are asked for",
                "name a task, such as --modeling.tasks '[sln]', or set masks to both",
            )
        if self.allow_failures < 0:
            raise MammoroiError(
                f"allow_failures is {self.allow_failures}", "choose 0 or a positive whole number"
            )


@dataclass(frozen=True)
class Stage:
    """One stage: where its function is, what it depends on, what it writes.

    Attributes
    ----------
    name : str
        The subcommand and the function have this name.
    module : str
        Module inside the package; imported only when the stage runs.
    config : callable
        Picks the stage's settings from the study's.
    needs : tuple of str
        Stages whose files it reads.
    sections : tuple of str
        The parts of the study's settings that it depends on.
    writes : tuple of str
        Patterns, relative to the study folder, of what it writes.
    reads : tuple of str
        Files of the study folder that no stage writes and it reads (people's answers, the leakage
        audit); none of them has to be there.
    own : callable, optional
        Gives, by section, the settings that are its own where it shares a section with a stage
        before it that has run with the rest. By default all of its sections are.
    asked : callable
        Whether the study's settings ask for it. If not, it is no stage of the study: no other
        needs it, and what it wrote for earlier settings is set aside (:mod:`.set_aside`).
    opens : bool
        Whether it opens the cohort's images and masks, besides the files of the stages before it.
    """

    name: str
    module: str
    config: Callable[[StudyConfig], Any]
    sections: tuple[str, ...]
    needs: tuple[str, ...]
    writes: tuple[str, ...]
    asked: Callable[[StudyConfig], bool] = lambda _: True
    reads: tuple[str, ...] = ()
    own: Callable[[StudyConfig], dict[str, Any]] | None = None
    opens: bool = False

    def settings(self, study: StudyConfig) -> dict[str, Any]:
        """Give the settings, by section, that are to be noted as those it ran with."""
        found = {part: getattr(study, part) for part in self.sections}
        noted: dict[str, Any] = plain(found if self.own is None else self.own(study))
        return noted

    def digest(self, out: Path) -> str:
        """SHA-256 of the names and contents of everything that it wrote in a study folder."""
        written = {path for pattern in self.writes for path in out.glob(pattern)}
        return sha256_of(
            [
                (path.relative_to(out).as_posix(), sha256_file(path))
                for path in sorted(written)
                if path.is_file()
            ]
        )


def _classifies(study: StudyConfig) -> bool:
    return bool(study.modeling.tasks)


def _segments(study: StudyConfig) -> bool:
    return study.masks == "both"


def _agreement(study: StudyConfig) -> dict[str, Any]:
    """The seed is the training's."""
    own = study.segmentation.agreement()
    return {"segmentation": {name: value for name, value in own.items() if name != "seed"}}


def _tables_config(clinical: ClinicalConfig, modeling: ModelingConfig) -> ClinicalConfig:
    return replace(clinical, tasks=clinical.tasks or modeling.tasks)


STAGES: tuple[Stage, ...] = (
    Stage(
        "accept",
        "cohort.accept",
        lambda study: study.cohort,
        ("cohort", "synthetic"),
        (),
        COHORT_FILES,
    ),
    Stage(
        "train",
        "segmentation.train",
        lambda study: study.segmentation,
        ("segmentation",),
        ("accept",),
        (
            "segmentation/folds.csv",
            "segmentation/fold-*/model.safetensors",
            "segmentation/fold-*/model.json",
            "segmentation/fold-*/learned_from.csv",
            "segmentation/postprocessing.json",
            "segmentation/outline/outline.json",
            "segmentation/outline/fold-*/model.safetensors",
            "segmentation/outline/fold-*/model.json",
            "segmentation/outline/fold-*/learned_from.csv",
        ),
        _segments,
        opens=True,
    ),
    Stage(
        "segment",
        "segmentation.predict",
        lambda study: study.segmentation,
        ("segmentation",),
        ("accept", "train"),
        (
            *("masks/automatic/*.png", "masks/probability/*.png", "masks/predictions.csv"),
            *("masks/candidates.csv", "masks/failures.csv"),
            *(f"masks/normals/{kind}/*.png" for kind in ("automatic", "probability")),
            "masks/normals/*.csv",
        ),
        _segments,
        # It refuses others than those of the training, but for breasts that were no part of it.
        own=lambda study: {"segmentation": {"normal_cohort": study.segmentation.normal_cohort}},
        opens=True,
    ),
    Stage(
        "agree",
        "segmentation.agreement",
        lambda study: study.segmentation,
        ("segmentation",),
        ("accept", "segment"),
        (
            *("agreement.csv", "agreement_summary.csv", "agreement_failures.csv", "overlays/*"),
            *("lesions.csv", "froc.csv", "froc_summary.csv", "normals.csv"),
            "froc_masks.csv",
            "pixel_calibration.csv",
            *("uncertainty.json", "uncertainty.csv"),
        ),
        own=_agreement,
        opens=True,
    ),
    Stage(
        "extract",
        "radiomics.extract",
        lambda study: study.radiomics,
        ("radiomics",),
        ("accept", "segment"),
        ("features/[!.]*.parquet", "features/[!.]*.json", "features/[!.]*.csv"),
        _classifies,
        opens=True,
    ),
    Stage(
        "perturb",
        "radiomics.stability",
        lambda study: PerturbConfig(study.radiomics, study.stability),
        ("radiomics", "stability"),
        ("accept",),
        ("stability/*", "masks/perturbed/*/*.png"),
        lambda study: _classifies(study) and bool(study.stability.perturbations()),
        opens=True,
    ),
    Stage(
        "model",
        "modeling.fit",
        lambda study: ModelStage(study.modeling, resolved_clinical(study.clinical)),
        ("modeling", "clinical"),
        ("accept", "extract", "perturb"),
        (
            *("models/targets.json", "models/classes.json", "models/failures.csv"),
            "models/cases.json",
            *("models/*/*/*", "models/*/*/curves/*", "models/*/classes/*/*"),
        ),
        _classifies,
    ),
    Stage(
        "compare",
        "modeling.compare",
        lambda study: CompareStage(study.modeling, study.comparison),
        ("modeling", "comparison"),
        ("accept", "agree", "extract", "perturb", "model"),
        ("comparison/*",),
        _classifies,
    ),
    Stage(
        "tables",
        "modeling.clinical_tables",
        lambda study: _tables_config(resolved_clinical(study.clinical), study.modeling),
        ("clinical", "modeling"),
        ("accept",),
        ("tables/table[0-9]*_*.csv",),
        _classifies,
    ),
    Stage(
        "report",
        "reporting.report",
        lambda study: study.reporting,
        ("reporting",),
        ("accept", "train", "segment", "agree", "extract", "perturb", "model", "compare", "tables"),
        ("report.html", "figures/*", "tables/*", "standards/*", "methods.md", "cards/*"),
        reads=("standards_answers.csv", "leakage/leakage.csv", "leakage/inputs.json"),
    ),
)
STAGE_NAMES = tuple(stage.name for stage in STAGES)


def refuse_outdated(study: Path, read: Collection[str], between: Collection[str] = ()) -> None:
    """Refuse a study in which a stage has not read what stages before it have since written.

    Or whose files a stage has begun to write anew, as a training that was stopped. Stages that ran
    without being noted in ``stages.json`` cannot be judged.

    Parameters
    ----------
    study : Path
        The study folder.
    read : collection of str
        Stages whose files are to be read.
    between : collection of str
        Stages of which only that matters on what those rest.

    Raises
    ------
    MammoroiError
        When it is such a study; it names the stage.
    """
    file = Path(study) / "stages.json"
    done = read_json(file) if file.exists() else {}
    for stage in STAGES:
        if stage.name not in done or stage.name not in {*read, *between}:
            continue
        for need, wrote in done[stage.name].get("read", {}).items():
            if done.get(need, {}).get("wrote") != wrote:
                raise MammoroiError(
                    f"in {study} the stage {stage.name!r} has not read what {need!r} has since "
                    "written",
                    "run `mammoroi study CONFIG` again",
                )
        if stage.name in read and stage.digest(study) != done[stage.name]["wrote"]:
            raise MammoroiError(
                f"in {study} the files of the stage {stage.name!r} are not those with which it "
                "ended: it was begun again and stopped, or they were changed",
                "run `mammoroi study CONFIG` again",
            )
