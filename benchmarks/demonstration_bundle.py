"""Make the classifiers of the demonstration bundle anew (see checkpoints/README.md).

The shipped network, which was trained on the phantoms of seed 15, draws the automatic masks of new
phantoms (seed 2026): it saw none of them, so it stands for the network of every fold. Features,
classifiers and calibration are then those of an ordinary study of these phantoms::

    python benchmarks/demonstration_bundle.py

makes the study in ``demonstration/`` and writes its bundle, unpacked, to ``checkpoints/phantoms/``.
"""

from __future__ import annotations

import argparse
import importlib
import logging
import shutil
from pathlib import Path

from mammoroi.clinic.bundle import open_bundle
from mammoroi.clinic.freeze import freeze
from mammoroi.cohort.split import load_splits
from mammoroi.configuration import configured
from mammoroi.files import write_json
from mammoroi.segmentation.drawing import note_drawing
from mammoroi.segmentation.learned_from import note_learned_from
from mammoroi.segmentation.weights import demonstration_model
from mammoroi.stages import STAGES, StudyConfig

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    argparse.ArgumentParser(description="Make checkpoints/phantoms/ anew.").parse_args()
    logging.basicConfig(format="%(asctime)s %(message)s", datefmt="%H:%M:%S", level=logging.INFO)
    config = configured(
        StudyConfig, "demonstration", ROOT / "checkpoints" / "demonstration.yaml", []
    )
    study = config.out.resolve()
    if not (study / "cohort" / "cohort.csv").exists():
        from mammoroi.cohort.synthetic import synthesize

        assert config.synthetic is not None
        synthesize(config.synthetic, study / "cohort")
    write_json(study / "config.json", config)
    for stage in STAGES:
        if stage.name == "train":
            for fold in range(load_splits(study).n_folds):
                copy = study / "segmentation" / f"fold-{fold}"
                shutil.copytree(demonstration_model() / "fold-0", copy, dirs_exist_ok=True)
                note_learned_from(copy, {})  # its phantoms only share their names with these
            note_drawing(config.segmentation, study / "segmentation")
        elif stage.name in ("accept", "segment", "agree", "extract", "model"):
            logging.info("%s", stage.name)
            module = importlib.import_module(f"mammoroi.{stage.module}")
            getattr(module, stage.name)(stage.config(config), study)
    shipped = ROOT / "checkpoints" / "phantoms"
    for name, content in freeze(study, "mammoroi demonstration").items():
        (shipped / name).parent.mkdir(parents=True, exist_ok=True)
        (shipped / name).write_bytes(content)
    print(f"Bundle: {open_bundle(shipped).sha256}")


if __name__ == "__main__":
    main()
