"""One small study, made once by typing what docs/ tells a user to type."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from mammoroi.cli import main

from . import documents

SMALL = {
    "cohort": {"n_folds": 2},
    "segmentation": {
        "working_spacing_mm": 2.0,
        "epochs": 20,
        "batch_size": 4,
        "learning_rate": 0.01,
        "augmentation": "flips",
        "channels": [4, 4, 8, 8, 16],
        "workers": 0,
        "accelerator": "cpu",
    },
    "radiomics": {"preset": str(Path(__file__).parent / "data" / "original-only.yaml")},
    "stability": {"growth_mm": [1.0], "noise_mm": [0.5], "noise_repeats": 1},
    "modeling": {
        "tasks": ["sln"],
        "recipe": {"n_alphas": 8, "lasso_rule": "min", "lasso_folds": 3},
        "repeats": 2,
        "n_bootstrap": 100,
    },
}


@dataclass(frozen=True)
class Documented:
    """What the commands of the documents left behind.

    Attributes
    ----------
    folder : Path
        Where the commands ran.
    study : Path
        The study folder.
    config : Path
        The study's configuration.
    codes : dict
        Exit code of every command that was run.
    """

    folder: Path
    study: Path
    config: Path
    codes: dict[str, int]


@pytest.fixture(scope="session")
def documented(tmp_path_factory) -> Documented:
    """Type the pages that lead through a study, with small settings added."""
    folder = tmp_path_factory.mktemp("user")
    codes: dict[str, int] = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for page in ("train", "compare", "study", "infer"):
            for block in documents.blocks(documents.ROOT / "docs" / f"{page}.md"):
                if block.language == "yaml" and block.title:
                    config = yaml.safe_load(block.text)
                    for room, settings in SMALL.items():
                        config[room] = {**config.get(room, {}), **settings}
                    Path(block.title).write_text(yaml.safe_dump(config))
                for words in block.commands if block.language == "bash" else []:
                    if words[0] != "mammoroi":
                        continue  # benchmarks
                    if words[1] == "infer":
                        new = folder / "new-mammograms"
                        new.mkdir(exist_ok=True)
                        for image in sorted((folder / "my-cohort").rglob("*.dcm"))[:4]:
                            shutil.copy(image, new)
                    fewer = ["--replicates", "2"] if words[1] == "leakage" else []
                    codes[" ".join(words)] = main([*words[1:], *fewer])
    return Documented(folder, folder / "my-study", folder / "my-study.yaml", codes)


@pytest.fixture
def copied(documented, tmp_path, monkeypatch):
    """The documented study and its cohort, copied so that a test may spoil them."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(documented.folder / "my-cohort", tmp_path / "my-cohort")
    shutil.copytree(documented.study, tmp_path / "my-study")
    shutil.copy(documented.config, tmp_path)
    return tmp_path
