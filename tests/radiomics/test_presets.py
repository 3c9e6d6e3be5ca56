"""What the presets promise, and what a wrong parameter file is told."""

from __future__ import annotations

import math
import sys
from collections import Counter
from pathlib import Path

import pytest

from mammoroi.errors import MammoroiError
from mammoroi.files import sha256_of
from mammoroi.radiomics.config import RadiomicsConfig
from mammoroi.radiomics.contour import NAMES
from mammoroi.radiomics.count import check_count
from mammoroi.radiomics.engine import features_of
from mammoroi.radiomics.phantom import textured_phantom
from mammoroi.radiomics.presets import available, load_preset

FIVE_AND_LBP = ["square", "squareroot", "logarithm", "exponential", "gradient", "lbp-2D"]
WAVELETS = [f"wavelet-{band}" for band in ("LH", "HL", "HH", "LL")]
MINIMAL = "imageType: {Original: {}}\nfeatureClass: {firstorder: [Mean]}\n"


def prepared(text: str) -> str:
    return f"preparation: {text}\n{MINIMAL}"


def normalise(text: str) -> str:
    return prepared(f"{{normalise: {{method: {text}}}}}")


def write(folder: Path, text: str) -> str:
    path = folder / "own.yaml"
    path.write_text(text)
    return str(path)


@pytest.mark.parametrize(
    ("name", "sigmas", "shape"),
    [
        ("mammography-1311", (1, 2, 3), 9),
        ("mammography-8bit-1311", (1, 2, 3), 9),
        ("paper-1409", (1, 2, 3, 4), 14),
    ],
)
def test_shipped_presets_yield_the_published_counts(name, sigmas, shape) -> None:
    names = check_count(load_preset(name))
    assert len(names) == len(set(names)) == int(name.split("-")[-1])
    counts = Counter(feature.split("_")[0] for feature in names)
    logs = [f"log-sigma-{sigma}-mm-3D" for sigma in sigmas]
    assert list(counts) == ["original", *WAVELETS, *logs, *FIVE_AND_LBP]
    assert counts.pop("original") == 93 + shape
    assert set(counts.values()) == {93}


def test_the_prepared_preset_is_the_default_one_with_rings_and_contour() -> None:
    preset = load_preset("mammography-prepared")
    names = check_count(preset)
    plain = check_count(load_preset())
    contour = [f"original_contour_{name}" for name in NAMES]
    texture = [name for name in plain if "_shape2D_" not in name]
    rings = [f"{ring}_{name}" for ring in ("ring-0-2mm", "ring-2-5mm") for name in texture]
    assert names == (*contour, *plain, *rings)
    assert len(names) == len(set(names)) == preset.features == 3926


def test_names_are_those_of_the_paper() -> None:
    names = set(check_count(load_preset("paper-1409")))
    assert {
        "wavelet-LH_glszm_SmallAreaEmphasis",
        "log-sigma-1-mm-3D_firstorder_Kurtosis",
        "lbp-2D_glrlm_RunVariance",
        "original_shape_Sphericity",
        "squareroot_ngtdm_Coarseness",
    } <= names


def test_lbp_has_more_than_one_grey_level() -> None:
    features = features_of(*textured_phantom(), load_preset())
    assert features.bins["lbp-2D"] > 5


def test_every_shipped_preset_is_sound() -> None:
    assert {"mammography-1311", "paper-1409"} <= set(available())
    for name in available():
        assert load_preset(name).exact
    assert RadiomicsConfig().preset in available()


def test_a_missing_library_is_named(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "skimage.feature", None)
    with pytest.raises(MammoroiError, match=r"1,218 came out .*LBP2D: .*scikit-image") as caught:
        check_count(load_preset())
    assert "1,311" in caught.value.found


def test_force2d_is_explained(tmp_path: Path) -> None:
    path = write(
        tmp_path,
        "features: 465\nsetting: {force2D: true}\n"
        "imageType: {Original: {}, Wavelet: {}}\n"
        "featureClass: {firstorder: , glcm: , glrlm: , glszm: , gldm: , ngtdm: }\n",
    )
    with pytest.raises(MammoroiError, match="force2D takes an axis from the wavelet"):
        check_count(load_preset(path))


def test_a_pyradiomics_parameter_file_works(tmp_path: Path) -> None:
    preset = load_preset(write(tmp_path, MINIMAL))
    assert check_count(preset) == ("original_firstorder_Mean",)
    assert preset.features is None
    assert preset.minimum_pixels == 1


def test_a_tilde_in_the_path_of_a_preset_is_the_home_folder(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    write(tmp_path, MINIMAL)
    assert load_preset("~/own.yaml").name == "~/own.yaml"


def test_a_feature_that_only_pyradiomics_has_is_computed_by_it(tmp_path: Path) -> None:
    text = MINIMAL.replace("Mean", "Variance, StandardDeviation")
    preset = load_preset(write(tmp_path, text))
    variance, deviation = features_of(*textured_phantom(), preset).by_name.values()
    assert check_count(preset)[1] == "original_firstorder_StandardDeviation"
    assert deviation == pytest.approx(variance**0.5)
    assert not preset.exact


def test_a_setting_without_a_value_is_left_to_its_default(tmp_path: Path) -> None:
    plain = load_preset(write(tmp_path, MINIMAL))
    empty = "setting: {minimumROISize: , binWidth: , binCount: , distances: }\n" + MINIMAL
    preset = load_preset(write(tmp_path, empty.replace("Original: {}", "Original: {binWidth: }")))
    assert check_count(preset) == check_count(plain)
    assert preset.sha256 == plain.sha256


@pytest.mark.parametrize(
    "setting", ["resampledPixelSpacing: [1, 1, 1]", "distances: []", "binWidth: 0.00005"]
)
def test_what_cannot_be_computed_is_said_before_the_first_case(
    tmp_path: Path, setting: str
) -> None:
    text = MINIMAL.replace("firstorder: [Mean]", "glcm: ")
    preset = load_preset(write(tmp_path, f"setting: {{{setting}}}\n{text}"))
    with pytest.raises(MammoroiError, match=r"own\.yaml cannot be computed: \w+Error: "):
        check_count(preset)


@pytest.mark.parametrize(
    "setting", ["minimumROISize: 1000", "resegmentRange: [10, 250]", "resegmentRange: [30000]"]
)
def test_limits_of_an_roi_are_not_those_of_the_phantom(tmp_path: Path, setting: str) -> None:
    preset = load_preset(write(tmp_path, f"setting: {{{setting}}}\n{MINIMAL}"))
    assert check_count(preset) == ("original_firstorder_Mean",)


def test_every_sigma_is_promised_at_any_spacing(tmp_path: Path) -> None:
    """Of 10 mm at 0.1 mm per pixel, too, which is more than the phantom's usual 64 pixels."""
    text = prepared("{spacing_mm: 0.1}").replace("Original: {}", "LoG: {sigma: [1, 10]}")
    names = check_count(load_preset(write(tmp_path, text)))
    assert [name.split("_")[0] for name in names] == ["log-sigma-1-mm-3D", "log-sigma-10-mm-3D"]


def test_some_descriptors_of_the_contour_alone(tmp_path: Path) -> None:
    text = "imageType: {Original: {}}\nfeatureClass: {contour: [Solidity, Area]}\n"
    names = check_count(load_preset(write(tmp_path, text)))
    assert names == ("original_contour_Solidity", "original_contour_Area")


@pytest.mark.parametrize("rings", ["[0.5]", "[2, 5, 10]", "[30]"])
def test_rings_are_promised_at_any_spacing(tmp_path: Path, rings: str) -> None:
    for spacing in ("", "spacing_mm: 0.2, "):
        text = prepared(f"{{{spacing}rings_mm: {rings}}}")
        names = check_count(load_preset(write(tmp_path, text)))
        assert len(names) == 2 + rings.count(",")


def test_a_ring_narrower_than_a_pixel_is_found_before_the_first_case(tmp_path: Path) -> None:
    text = prepared("{spacing_mm: 2, rings_mm: [0.5]}")
    with pytest.raises(MammoroiError, match=r"ring-0-0\.5mm within the breast has 0 pixels"):
        check_count(load_preset(write(tmp_path, text)))


def test_a_preparation_is_in_the_hash_and_its_absence_changes_nothing(tmp_path: Path) -> None:
    plain = load_preset(write(tmp_path, MINIMAL))
    assert plain.sha256 == sha256_of({}, {"Original": {}}, {"firstorder": ["Mean"]}, None)
    texts = (
        "{rings_mm: [2]}",
        "{rings_mm: [2, 5]}",
        "{spacing_mm: 0.1}",
        "{spacing_mm: 0.2}",
        "{normalise: {method: z-score, within: breast, scale: 100}}",
        "{normalise: {method: z-score, within: image, scale: 100}}",
        "{normalise: {method: percentile, within: image, scale: 100}}",
        "{normalise: {method: percentile, within: image, scale: 100, percentiles: [2, 98]}}",
    )
    hashes = [load_preset(write(tmp_path, prepared(text))).sha256 for text in texts]
    assert len({plain.sha256, *hashes}) == len(texts) + 1
    same = load_preset(write(tmp_path, prepared("{rings_mm: [2.0]}")))
    assert same.sha256 == hashes[0]


def test_only_what_decides_a_value_is_in_the_hash(tmp_path: Path) -> None:
    first = load_preset(write(tmp_path, MINIMAL)).sha256
    assert load_preset(write(tmp_path, "description: other\n" + MINIMAL)).sha256 == first
    assert load_preset(write(tmp_path, "setting: {binWidth: 20}\n" + MINIMAL)).sha256 != first


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("settings: {}\n" + MINIMAL, "unknown key 'settings' -> did you mean 'setting'"),
        ("setting: {binwidth: 5}\n" + MINIMAL, "setting 'binwidth' -> did you mean 'binWidth'"),
        ("setting: {binWidth: wide}\n" + MINIMAL, "wide"),
        ("setting: {binWidth: -1}\n" + MINIMAL, "-1"),
        ("setting: {label: 2}\n" + MINIMAL, "mask_label"),
        (MINIMAL.replace("Original", "Orignal"), "'Orignal' -> did you mean 'Original'"),
        (MINIMAL.replace("Original: {}", "LoG: {sigmas: [1]}"), "of LoG 'sigmas' -> did you mean"),
        (MINIMAL.replace("firstorder", "first_order"), "did you mean 'firstorder'"),
        (MINIMAL.replace("Mean", "Maen"), "feature of firstorder 'Maen' -> did you mean 'Mean'"),
        (MINIMAL.replace("firstorder: [Mean]", "shape: "), "state slice_thickness_mm"),
        (MINIMAL.replace("[Mean]", "true"), "firstorder is True -> list features"),
        (MINIMAL.replace("[Mean]", "Mean"), "firstorder is 'Mean' -> list features"),
        ("slice_thickness_mm: -1\n" + MINIMAL, "slice_thickness_mm is -1 -> give mm"),
        ("slice_thickness_mm: 1 mm\n" + MINIMAL, "slice_thickness_mm is '1 mm' -> give mm"),
        ("features: many\n" + MINIMAL, "features is 'many' -> give a whole number"),
        ("featureClass: {firstorder: }\n", "imageType is missing"),
        (MINIMAL.replace("firstorder: [Mean]", "contour: [Area, Aera]"), "did you mean 'Area'"),
        (prepared("{spacing: 0.1}"), "key of preparation 'spacing' -> did you mean 'spacing_mm'"),
        (prepared("0.1"), "preparation is 0.1 -> give spacing_mm, normalise, rings_mm"),
        (prepared("{spacing_mm: 70}"), "spacing_mm is 70.0 -> give mm per pixel from 0.01 to 2.0"),
        (prepared("{spacing_mm: fine}"), "spacing_mm is 'fine'"),
        (prepared("{rings_mm: [5, 2]}"), "rings_mm is [5.0, 2.0] -> give the outer edges"),
        (prepared("{rings_mm: [-2]}"), "rings_mm is [-2.0]"),
        (prepared("{normalise: z-score}"), "normalise is 'z-score' -> give method, within, scale"),
        (prepared("{normalise: {method: z-score, scale: 1}}"), "normalise has no within"),
        (normalise("zscore, within: breast, scale: 1"), "did you mean 'z-score'"),
        (normalise("z-score, within: breasts, scale: 1"), "did you mean 'breast'"),
        (normalise("z-score, within: breast, scale: 0"), "scale is 0.0 -> state grey levels per"),
        (normalise("z-score, within: breast, scale: 1, percentiles: [1, 99]"), "leave percentiles"),
        (normalise("percentile, within: breast, scale: 1, percentiles: [99, 1]"), "smaller first"),
        (normalise("percentile, within: breast, scale: 1, percentiles: 5"), "percentiles is 5"),
        (
            "setting: {normalize: true}\n" + normalise("z-score, within: image, scale: 1"),
            "setting normalize does the same -> leave one of them out",
        ),
        (
            "setting: {resampledPixelSpacing: [1, 1]}\n" + prepared("{spacing_mm: 0.1}"),
            "setting resampledPixelSpacing does the same",
        ),
        (
            prepared("{rings_mm: [2]}").replace("firstorder: [Mean]", "shape2D: "),
            "rings_mm, of which the shape is not computed",
        ),
        (MINIMAL + MINIMAL, "imageType stands a second time -> keep one of the two"),
        ("setting: {binWidth: 5, binWidth: 25}\n" + MINIMAL, "binWidth stands a second time"),
        ("[1, 2]\n", "holds no keys"),
        ("a: [\n", "is not YAML"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(MammoroiError) as caught:
        load_preset(write(tmp_path, text))
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("name", "message"),
    [("mammography-1301", "did you mean 'mammography-1311'"), ("nowhere.yaml", "check the path")],
)
def test_a_preset_that_is_not_there(name: str, message: str) -> None:
    with pytest.raises(MammoroiError, match=message):
        load_preset(name)


@pytest.mark.parametrize(
    "wrong",
    [{"preset": " "}, {"workers": -1}, {"time_limit_s": math.inf}, {"memory_limit_gb": math.nan}],
)
def test_wrong_configuration(wrong: dict[str, object]) -> None:
    with pytest.raises(MammoroiError, match=f"radiomics.{next(iter(wrong))}"):
        RadiomicsConfig(**wrong)
