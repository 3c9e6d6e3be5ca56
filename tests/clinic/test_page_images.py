"""Pictures of the page: small, true to the display, finer than 8 bits, hung as the file asks."""

import base64
import io
import time
from dataclasses import replace

import numpy as np
import pydicom
import pytest
from PIL import Image

from mammoroi.clinic.hanging import hang
from mammoroi.clinic.page import write_page
from mammoroi.clinic.page_images import HEIGHT, Turned, layers, turned, without_margins

from .made_page import made_image, made_patient


def decoded(uri: str) -> np.ndarray:
    kind, content = uri.split(",", 1)
    assert kind == "data:image/png;base64"
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(content))))


def test_small_mammogram_is_shown_pixel_by_pixel():
    shown = np.random.default_rng(0).integers(0, 256, (60, 40), dtype=np.uint8)
    (whole,) = layers(shown, (10, 10, 20, 20))
    assert (decoded(whole.base) == shown).all()
    assert whole.fine == ""
    assert whole.box == (0, 0, 100, 100)


def test_large_mammogram_keeps_a_quarter_of_a_level_and_its_lesion_in_full():
    rows, columns = 2 * HEIGHT, HEIGHT
    smooth = np.linspace(40, 60, columns)[None, :] + np.zeros((rows, 1))
    noisy = np.rint(smooth + np.random.default_rng(0).normal(0, 3, smooth.shape)).astype(np.uint8)
    whole, close = layers(noisy, (1000, 500, 1100, 600))
    base, fine = decoded(whole.base).astype(float), decoded(whole.fine)
    assert base.shape == fine.shape == (HEIGHT, HEIGHT // 2)
    assert set(np.unique(fine)) <= {0, 1, 2, 3}
    means = noisy.reshape(HEIGHT, 2, HEIGHT // 2, 2).mean(axis=(1, 3))
    assert np.abs(base + fine / 4 - means).max() <= 0.126
    assert close.fine == ""
    assert (decoded(close.base) == noisy[965:1135, 465:635]).all()
    share = np.array([465 / columns, 965 / rows, 170 / columns, 170 / rows])
    assert close.box == pytest.approx(100 * share)


def test_black_margins_go_and_the_mask_stays():
    shown = np.zeros((20, 30), np.uint8)
    shown[5:9, 10:20] = 90
    shown[:, :4] = 3
    mask = np.zeros_like(shown, bool)
    assert without_margins(shown, mask) == slice(10, 20)
    mask[0, 25] = True
    assert without_margins(shown, mask) == slice(10, 26)
    assert without_margins(np.zeros_like(shown), np.zeros_like(mask)) == slice(0, 30)


@pytest.mark.parametrize(
    ("view", "side", "orientation", "expected"),
    [
        ("CC", "L", ["A", "R"], Turned()),
        ("CC", "R", ["P", "L"], Turned()),
        ("CC", "R", ["A", "L"], Turned(across=True)),
        ("CC", "R", ["A", "R"], Turned(across=True, down=True)),
        ("MLO", "L", ["P", "FL"], Turned(across=True)),
        ("MLO", "L", ["A", "HL"], Turned(down=True)),
        ("MLO", "L", ["MLO"], Turned()),
        ("MLO", "L", None, Turned()),
    ],
)
def test_turned_only_as_the_file_says(tmp_path, view, side, orientation, expected):
    image = made_image(tmp_path, 1, view, side)
    dataset = pydicom.dcmread(image.file)
    if orientation is None:
        del dataset.PatientOrientation
    else:
        dataset.PatientOrientation = orientation
    dataset.save_as(image.file)
    assert turned(image) == expected


def views(*named: str):
    """Images by names such as ``RCC`` or ``?MLO``; ``R?`` has no view."""

    class View:
        def __init__(self, name: str) -> None:
            self.laterality = name[0] if name[0] != "?" else None
            self.view = name[1:] if name[1:] != "?" else None

    return [View(name) for name in named]


def hung(*named: str) -> list[list[str]]:
    found = hang(views(*named))
    return [["-" if p.image is None else named[p.image] for p in row.places] for row in found]


def test_hanging_follows_the_convention():
    assert hung("LMLO", "LCC", "RMLO", "RCC") == [["RCC", "LCC"], ["RMLO", "LMLO"]]
    assert hung("RCC", "LCC", "LMLO") == [["RCC", "LCC"], ["-", "LMLO"]]
    assert hung("LMLO", "LCC") == [["LCC", "LMLO"]]
    assert hung("RCC") == [["RCC"]]
    assert hung("?CC", "?MLO", "?CC") == [["?CC", "?CC"], ["?MLO"]]
    assert hung("R?", "LCC", "?CC") == [["-", "LCC"], ["R?", "-"], ["?CC"]]
    assert hung("RCC", "RCC", "LCC") == [["RCC", "LCC"], ["RCC", "-"]]
    assert hung("RCC+M", "LCC", "RCC") == [["RCC", "LCC"], ["RCC+M", "-"]]
    assert hung() == []


def test_walls_and_what_is_missing():
    first, second = hang(views("RCC", "LCC", "LMLO"))
    assert [place.wall for place in first.places] == ["right", "left"]
    assert second.places[0].missing == "No right MLO view is here"
    assert first.name == "CC"


def test_names_of_rows_are_different():
    names = [row.name for row in hang(views(*["?CC"] * 5, "RCC", "RCC", "LCC"))]
    assert len(set(names)) == len(names) == 5


def huge(folder, n_images: int):
    """A patient whose mammograms have 4096 x 3328 pixels with noise, a quarter of them breast."""
    rng = np.random.default_rng(0)
    rows, columns = np.ogrid[:4096, :3328]
    breast = ((rows - 2048) / 1700) ** 2 + (columns / 2300) ** 2 < 1
    coarse = np.kron(rng.normal(130, 25, (64, 52)), np.ones((64, 64)))
    shown = np.where(breast, coarse + rng.normal(0, 8, breast.shape), 0).clip(0, 255)
    mask = (rows - 2000) ** 2 + (columns - 900) ** 2 < 150**2
    file = folder / "huge.png"
    Image.fromarray(shown.astype(np.uint8)).save(file, compress_level=1)
    plain = made_patient(folder)
    image = replace(
        plain.images[1], file=file, mask=mask, spacing_mm=(0.065, 0.065), area_mm2=mask.sum() / 237
    )
    sides = ["R", "L"] * n_images
    views = ["CC", "CC", "MLO", "MLO"] * n_images
    images = [
        replace(image, image_id=f"image-{at}", laterality=sides[at], view=views[at])
        for at in range(n_images)
    ]
    return replace(plain, images=tuple(images))


def test_huge_mammograms_make_a_page_of_some_mb_in_some_seconds(tmp_path):
    patient = huge(tmp_path, 2)
    start = time.process_time()
    page = write_page(patient, tmp_path / "page.html")
    assert time.process_time() - start < 8
    assert page.stat().st_size < 3e6
