"""A bundle is what its study is, is refused when it is anything else, and never runs code."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import stat
import zipfile
from pathlib import Path

import pytest

from mammoroi.cli import main
from mammoroi.clinic.archive import MANIFEST, pack, unpack
from mammoroi.clinic.bundle import open_bundle
from mammoroi.clinic.freeze import write_bundle
from mammoroi.clinic.tested import doubt
from mammoroi.errors import MammoroiError
from mammoroi.files import read_json, write_json
from mammoroi.reporting.wording import interval
from mammoroi.segmentation.weights import load_model, save_model
from mammoroi.stages import STAGES

SKOPS = "classifiers/sln/model.skops"


class Executed:
    """Would leave a file behind if anything unpickled it."""

    def __reduce__(self) -> tuple[object, tuple[str, str]]:
        return open, ("executed", "w")


def rewritten(members: dict[str, bytes], out: Path) -> Path:
    """An archive of these members whose manifest fits them, as a careful forger writes it."""
    out.write_bytes(pack({name: members[name] for name in members if name != MANIFEST}))
    return out


def zipped(out: Path, members: dict[str, bytes], **changes: object) -> Path:
    """An archive of any names; ``changes`` are attributes of the last member."""
    with zipfile.ZipFile(out, "w") as archive:
        for name, content in members.items():
            info = zipfile.ZipInfo(name)
            if name == list(members)[-1]:
                for key, value in changes.items():
                    setattr(info, key, value)
            archive.writestr(info, content)
    return out


def refusal(path: Path) -> str:
    with pytest.raises(MammoroiError) as refused:
        open_bundle(path)
    assert refused.value.action
    return str(refused.value)


def test_a_bundle_holds_every_network_of_every_fold(study, bundle, tmp_path):
    copy = shutil.copytree(study, tmp_path / "study")
    for path in sorted((copy / "segmentation").glob("fold-*/")):
        model = load_model(path)
        state = {name: tensor * 0.9 for name, tensor in model.network.state_dict().items()}
        second = copy / "segmentation" / f"{path.name}-network-2"
        second.mkdir()
        save_model(second, state, {**model.card, "network_of_fold": 2})
    made = open_bundle(write_bundle(copy, tmp_path / "model.mroi"))
    # The study's folds hold equal networks, and equal ones are in a bundle once.
    assert [network.card.get("network_of_fold", 1) for network in made.networks] == [1, 2]
    assert made.networks[0].sha256 == bundle.networks[0].sha256 != made.networks[1].sha256
    assert "fold-1/model.safetensors" in made.sizes
    assert "fold-0-network-2/model.safetensors: " in made.card


def test_equal_studies_give_equal_bytes(study, model, bundle, tmp_path):
    again = write_bundle(study, tmp_path / "again.mroi")
    assert again.read_bytes() == model.read_bytes()
    assert bundle.sha256 == hashlib.sha256(model.read_bytes()).hexdigest()
    assert open_bundle(study).sha256 == bundle.sha256


def test_a_study_that_was_trained_anew_in_part_is_refused(study, tmp_path):
    """The networks are others than those on whose masks classifiers and flag rest."""
    copy = shutil.copytree(study, tmp_path / "study")
    wrote = {stage.name: stage.digest(copy) for stage in STAGES}
    noted = {
        "train": {"wrote": wrote["train"], "read": {}},
        "segment": {"wrote": "b", "read": {"train": wrote["train"]}},
        "model": {"wrote": wrote["model"], "read": {}},
        "report": {"wrote": "d", "read": {"model": "earlier"}},
    }
    write_json(copy / "stages.json", noted)
    write_bundle(copy, tmp_path / "sound.mroi")
    fold = copy / "segmentation" / "fold-1"
    (fold / "learned_from.csv").write_text("patient_id,role\nX,training\n")
    with pytest.raises(MammoroiError, match="the files of the stage 'train' are not those"):
        write_bundle(copy, tmp_path / "model.mroi")
    stage = next(stage for stage in STAGES if stage.name == "train")
    noted["train"]["wrote"] = stage.digest(copy)
    write_json(copy / "stages.json", noted)
    with pytest.raises(MammoroiError, match="'segment' has not read what 'train' has since"):
        write_bundle(copy, tmp_path / "model.mroi")
    (copy / "stages.json").unlink()
    shutil.rmtree(fold)
    with pytest.raises(MammoroiError, match="lacks the networks of fold 1"):
        write_bundle(copy, tmp_path / "model.mroi")
    assert not (tmp_path / "model.mroi").exists()


def test_it_holds_what_the_study_holds(study, bundle):
    (classifier,) = bundle.classifiers
    about = json.loads((study / "models" / "sln" / "automatic" / "model.json").read_text())
    assert classifier.model.features() == [one["name"] for one in about["features"]]
    assert classifier.threshold == about["threshold"]
    assert bundle.preset is not None
    assert bundle.preset.sha256 == about["settings_sha256"]
    assert len(bundle.networks) == 1, "two folds of one network are one network"
    assert bundle.ranges.kinds["intent"] == {"presentation": bundle.ranges.numbers["breast_high"].n}
    assert bundle.ranges.numbers["spacing_row_mm"].maximum == 0.5
    assert "phantoms only" in bundle.notices[0]
    assert bundle.uncertainty is not None


def test_nothing_in_it_names_a_patient_or_a_folder(study, model):
    for name, content in unpack(model).items():
        assert b"SYN0" not in content, name
        assert str(study.parent).encode() not in content, name
        assert b"/tests/" not in content, name


def test_inspect_shows_it(model, capsys):
    assert main(["bundle", "inspect", str(model)]) == 0
    shown = capsys.readouterr().out
    for word in ("SHA-256", "sln", "original-only.yaml", "phantoms only", "intent"):
        assert word in shown
    assert main(["bundle", "inspect", str(model), "--card"]) == 0
    assert "## Intended use" in capsys.readouterr().out


@pytest.mark.parametrize(("threshold", "shown"), [(0.35, "0.35"), ("expected-dice", "expected-d")])
def test_inspect_shows_any_threshold(bundle, monkeypatch, threshold, shown):
    from mammoroi.clinic.inspect import lines

    monkeypatch.setitem(bundle.networks[0].card["inference"], "threshold", threshold)
    assert any(f"threshold {shown}" in line for line in lines(bundle))


def test_the_command_writes_it(study, model, tmp_path, capsys):
    out = tmp_path / "model.mroi"
    assert main(["bundle", str(study), "-o", str(out), "--name", "another name"]) == 0
    assert "another name" in capsys.readouterr().out
    assert open_bundle(out).name == "another name"
    assert main(["bundle", str(tmp_path), "-o", str(out)]) == 1
    assert "is no study folder" in capsys.readouterr().err


def test_an_unpacked_bundle_is_the_same(model, bundle, tmp_path):
    with zipfile.ZipFile(model) as archive:
        archive.extractall(tmp_path)
    assert open_bundle(tmp_path).sha256 == bundle.sha256
    assert write_bundle(tmp_path, tmp_path / "m.mroi").read_bytes() == model.read_bytes()
    (tmp_path / "card.md").unlink()
    assert "lacks card.md" in refusal(tmp_path)


def test_a_bundle_keeps_its_name_and_a_folder_is_no_file(model, study, tmp_path, capsys):
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(model) as archive:
        archive.extractall(folder)
    out = tmp_path / "again.mroi"
    assert main(["bundle", str(folder), "-o", str(out), "--name", "mine"]) == 1
    assert "is a bundle that has its name" in capsys.readouterr().err
    assert not out.exists()
    assert main(["bundle", str(folder), "-o", str(tmp_path)]) == 1
    assert "Is a directory -> see to its permissions, or name another" in capsys.readouterr().err


def test_a_changed_byte_is_refused(model, tmp_path):
    content = bytearray(model.read_bytes())
    content[len(content) // 2] ^= 1
    changed = tmp_path / "changed.mroi"
    changed.write_bytes(content)
    assert "cut short or changed" in refusal(changed)


def test_a_changed_member_is_refused(model, tmp_path):
    members = unpack(model)
    members["ranges.json"] = members["ranges.json"].replace(b"0", b"1", 1)
    changed = zipped(tmp_path / "changed.mroi", members)
    assert "ranges.json was changed: its SHA-256" in refusal(changed)


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.999])
def test_a_truncated_file_is_refused(model, tmp_path, share):
    content = model.read_bytes()
    cut = tmp_path / "cut.mroi"
    cut.write_bytes(content[: int(share * len(content))])
    assert "cut short or changed" in refusal(cut)


def test_a_file_that_was_cut_behind_a_classifier_is_not_called_foreign(model, tmp_path):
    with zipfile.ZipFile(model) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith("model.skops"))
        content = archive.read(name)
    whole, cut = model.read_bytes(), tmp_path / "cut.mroi"
    cut.write_bytes(whole[: whole.index(content) + len(content) + 100])
    assert "cut short or changed" in refusal(cut)


@pytest.mark.parametrize(
    "name",
    [
        "../evil.json", "/etc/evil", "fold-0/../../evil", "..\\evil", "C:\\evil", "model.pkl",
        "classifiers/../../x/model.json", "classifiers/ a/model.json", "fold-0/",
        "fold-0/model.pt",
    ],
)  # fmt: skip
def test_any_other_name_is_refused(model, tmp_path, name):
    evil = zipped(tmp_path / "evil.mroi", {**unpack(model), name: b"x"})
    message = refusal(evil)
    assert "no bundle of mammoroi does" in message
    assert "do not use this file" in message
    assert [path.name for path in tmp_path.iterdir()] == ["evil.mroi"]


def test_a_class_of_a_target_may_be_called_1_plus(model, tmp_path):
    members = unpack(model)
    del members["manifest.json"]
    name = "classifiers/her2-Grade 1+/model.json"
    path = tmp_path / "grade.mroi"
    path.write_bytes(pack({**members, name: members["classifiers/sln/model.json"]}))
    assert name in unpack(path)


def test_links_compression_doubles_and_gaps_are_refused(model, tmp_path):
    members = unpack(model)
    last = list(members)[-1]
    link = zipped(tmp_path / "link.mroi", members, external_attr=(stat.S_IFLNK | 0o777) << 16)
    assert f"{last!r}, which no bundle" in refusal(link)
    deflated = zipped(tmp_path / "deflated.mroi", members, compress_type=zipfile.ZIP_DEFLATED)
    assert "compressed or encrypted" in refusal(deflated)
    twice = tmp_path / "twice.mroi"
    twice.write_bytes(model.read_bytes())
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(twice, "a") as archive:
        archive.writestr("card.md", b"other")
    assert "card.md twice" in refusal(twice)
    gap = zipped(tmp_path / "gap.mroi", {k: v for k, v in members.items() if k != "card.md"})
    assert "lacks card.md" in refusal(gap)
    del members[MANIFEST]
    assert "holds no manifest.json" in refusal(zipped(tmp_path / "bare.mroi", members))


def test_another_format_is_refused_with_what_to_do(model, tmp_path):
    members = unpack(model)
    manifest = json.loads(members[MANIFEST])
    members[MANIFEST] = json.dumps({**manifest, "version": 99}).encode()
    message = refusal(zipped(tmp_path / "newer.mroi", members))
    assert "format 99" in message
    assert "make it again from its study" in message
    members[MANIFEST] = b'{"format": "something else"}'
    assert "is not that of a bundle" in refusal(zipped(tmp_path / "other.mroi", members))


def test_a_pickle_is_refused_and_never_run(model, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    evil = pickle.dumps(Executed())
    plain = tmp_path / "plain.mroi"
    plain.write_bytes(evil)
    assert "is no bundle" in refusal(plain)
    members = unpack(model)
    forged = rewritten({**members, SKOPS: evil}, tmp_path / "skops.mroi")
    assert "is no skops file" in refusal(forged)
    weights = rewritten({**members, "fold-0/model.safetensors": evil}, tmp_path / "w.mroi")
    assert "SHA-256 is not that of its card" in refusal(weights)
    card = json.loads(members["fold-0/model.json"])
    card["sha256"] = hashlib.sha256(evil).hexdigest()
    members |= {"fold-0/model.json": json.dumps(card).encode(), "fold-0/model.safetensors": evil}
    fitting = rewritten(members, tmp_path / "f.mroi")
    assert "does not hold what its card says" in refusal(fitting)
    assert not (tmp_path / "executed").exists()


def test_a_foreign_type_in_a_classifier_is_refused(model, tmp_path):
    import skops.io
    from sklearn.linear_model import LinearRegression

    members = unpack(model)
    foreign = skops.io.dumps(LinearRegression())
    about = json.loads(members["classifiers/sln/model.json"])
    about["model_sha256"] = hashlib.sha256(foreign).hexdigest()
    members |= {"classifiers/sln/model.json": json.dumps(about).encode(), SKOPS: foreign}
    message = refusal(rewritten(members, tmp_path / "foreign.mroi"))
    assert "LinearRegression, which a model of mammoroi never does" in message
    assert "foreign.mroi" in message, "the place is the bundle's, not a temporary one"


def test_features_and_classifier_must_be_of_one_kind(model, tmp_path):
    members = unpack(model)
    members["preset.yaml"] = members["preset.yaml"].replace(b"binWidth: 25", b"binWidth: 20")
    assert "other settings" in refusal(rewritten(members, tmp_path / "mixed.mroi"))


def test_what_is_no_bundle_is_named(tmp_path, capsys):
    assert "does not exist" in refusal(tmp_path / "nowhere.mroi")
    assert "neither a bundle nor a study folder" in refusal(tmp_path)
    assert main(["bundle", "inspect", str(tmp_path / "nowhere.mroi")]) == 1
    assert "nowhere.mroi" in capsys.readouterr().err


def test_the_shipped_bundle_is_small_and_says_what_it_is():
    shipped = open_bundle()
    assert {one.target for one in shipped.classifiers} == {
        "sln", "her2-zero", "her2-low", "her2-positive",
    }  # fmt: skip
    assert sum(shipped.sizes.values()) < 4e6
    assert "trained on phantoms only" in shipped.notices[0]
    assert "trained on phantoms only" in shipped.card
    assert all(one.spread is not None for one in shipped.classifiers)
    for one in shipped.classifiers:  # the figures beside each risk are those of the card
        assert one.tested is not None
        auc = interval(one.tested.auc, one.tested.lower, one.tested.upper)
        card = shipped.card.partition(f"`models/{one.target}/automatic`")[2].partition("Recipe")[0]
        assert f"AUC {auc}" in card
        assert ("cannot be told from chance" in card) == (doubt(one.tested) is not None)


def test_a_study_of_manual_masks_alone_is_no_bundle(study, tmp_path, capsys):
    """It asked for `mammoroi train`, which `masks: manual` refuses."""
    copy = shutil.copytree(study, tmp_path / "study")
    write_json(copy / "config.json", {**read_json(copy / "config.json"), "masks": "manual"})
    shutil.rmtree(copy / "segmentation")
    assert main(["bundle", str(copy), "-o", str(tmp_path / "model.mroi")]) == 1
    said = capsys.readouterr().err
    assert "is a study of manual masks alone" in said
    assert "--masks both" in said
