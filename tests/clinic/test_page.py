"""The page as a file: one, self-contained, escaped, with everything that is known."""

import base64
import hashlib
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from mammoroi.clinic.page import write_page
from mammoroi.clinic.results import Discrimination, Flag
from mammoroi.clinic.tested import doubt
from mammoroi.errors import Failure, MammoroiError

from .made_page import ABOVE, NOTICE, SHA, UNCERTAIN, made_image, made_patient

EVIL = '<img src="http://example.org/x" onerror="alert(1)"></script><b>&'


class Reader(HTMLParser):
    """Collects tags with their attributes, and the texts outside style and script."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.raw: dict[str, list[str]] = {"style": [], "script": []}
        self._inside = ""

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self._inside = tag if tag in self.raw else ""
        if self._inside:
            self.raw[tag].append("")

    def handle_endtag(self, tag):
        self._inside = ""

    def handle_data(self, data):
        if self._inside:
            self.raw[self._inside][-1] += data
        else:
            self.text += data


def read(path) -> Reader:
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    return reader


def words_of(reader: Reader) -> str:
    return " ".join(reader.text.split())


@pytest.fixture
def page(tmp_path):
    return read(write_page(made_patient(tmp_path), tmp_path / "page.html"))


def test_everything_known_is_said(page):
    text = words_of(page)
    for said in (
        "Research only: not a medical device",
        NOTICE,
        "4 mammograms: a lesion was outlined in 2 of them.",
        "Caution: The images are from 2 examinations. several-studies",
        f"Caution: {UNCERTAIN.text} uncertain-mask",
        "34 of 100 with “positive”",
        "No answer",
        "What a risk does not mean",
        "demonstration",
        SHA,
        "image-4",
        "One pixel is 0.5 mm, by Imager Pixel Spacing.",
    ):
        assert said in text, said


def test_a_risk_not_told_from_chance_is_not_printed_large(tmp_path):
    chance = replace(ABOVE, risk=0.99, upper=0.995, tested=Discrimination(20, 0.25, 0.03, 0.76))
    caution = doubt(chance.tested)
    patient = made_patient(tmp_path, risks=(replace(chance, flags=(caution,)),))
    page = read(write_page(patient, tmp_path / "page.html"))
    text = words_of(page)
    lead = "Caution: Do not go by this risk: "
    assert text.index(lead) < text.index("Risks")
    assert "AUC 0.25 (95 % interval 0.03 to 0.76; 0.5 is chance)" in text
    assert "Trained on 168 patients" in text
    assert text.index("not-told-from-chance") < text.index("99 of 100")
    classes = [attributes.get("class") for _, attributes in page.tags]
    assert "head" not in classes, "the large number"
    assert "axis" not in classes, "the drawing"
    assert "At or above the threshold" not in text


def test_nothing_is_loaded_from_anywhere(page):
    for tag, attributes in page.tags:
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            assert name != "style", tag
            if name in ("src", "data-fine"):
                assert value.startswith("data:image/png;base64,"), (tag, name)
            if name == "href":
                assert value.startswith("#"), value
        assert tag not in ("link", "iframe", "object", "embed", "base")
    assert not re.search(r"url\(|@import|http:|https:", "".join(page.raw["style"]))


def test_policy_allows_the_page_itself_and_nothing_else(page):
    (policy,) = (a["content"] for t, a in page.tags if t == "meta" and "http-equiv" in a)
    rules = dict(rule.strip().split(" ", 1) for rule in policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"

    def allowed(kind):
        return {
            f"'sha256-{base64.b64encode(hashlib.sha256(t.encode()).digest()).decode()}'"
            for t in page.raw[kind]
        }

    assert set(rules["style-src"].split()) == allowed("style")
    assert set(rules["script-src"].split()) == allowed("script")
    assert len(page.raw["script"]) == 2


def test_equal_results_give_equal_bytes(tmp_path):
    patient = made_patient(tmp_path)
    one, two = (write_page(patient, tmp_path / f"{name}.html") for name in "ab")
    assert one.read_bytes() == two.read_bytes()


def test_texts_are_escaped(tmp_path):
    flag = Flag(EVIL, EVIL)
    patient = made_patient(tmp_path)
    images = (replace(patient.images[0], image_id=EVIL, flags=(flag,), spacing_source=EVIL),)
    risk = replace(ABOVE, title=EVIL, positive=EVIL, flags=(flag,))
    patient = replace(
        patient,
        patient_id=EVIL, images=images, risks=(risk,), flags=(flag,), notices=(EVIL,),
        model_name=EVIL,
    )  # fmt: skip
    failure = Failure(EVIL, EVIL, EVIL, EVIL)
    plain = read(write_page(made_patient(tmp_path), tmp_path / "plain.html"))
    page = read(write_page(patient, tmp_path / "page.html", failures=[failure]))
    assert page.text.count(EVIL) >= 12
    assert {tag for tag, _ in page.tags} == {tag for tag, _ in plain.tags}
    assert not any("onerror" in attributes for _, attributes in page.tags)


def test_neither_file_nor_folder_is_named(tmp_path):
    folder = tmp_path / "DOE-JANE-1960"
    folder.mkdir()
    patient = made_patient(folder)
    text = write_page(patient, tmp_path / "page.html").read_text("utf-8")
    assert "DOE" not in text
    patient.images[0].file.unlink()
    text = write_page(patient, tmp_path / "page.html").read_text("utf-8")
    assert "DOE" not in text
    assert "its file cannot be read any more" in text


def test_missing_things_are_said(tmp_path):
    patient = made_patient(tmp_path)
    without = replace(patient, images=(), risks=(), flags=(), notices=())
    text = words_of(read(write_page(without, tmp_path / "page.html")))
    assert "No mammogram could be processed." in text
    assert "There is no picture to show." in text
    assert "This model gives no risks: it has no classifiers." in text
    three = replace(patient, images=patient.images[:3])
    text = words_of(read(write_page(three, tmp_path / "page.html")))
    assert "No right MLO view is here." in text
    unknown = replace(patient.images[0], view=None, laterality=None, spacing_mm=(0.0, 0.0))
    page = read(write_page(replace(patient, images=(unknown,)), tmp_path / "page.html"))
    text = words_of(page)
    assert "Side not stated, view not stated" in text
    assert "there is no scale, and sizes are in pixels" in text
    assert " mm" not in text.split("Keys and mouse")[0].split("About these")[0]


def test_failed_images_are_listed(tmp_path):
    failure = Failure("image-9", "infer", "two frames", "send single mammograms")
    path = write_page(made_patient(tmp_path), tmp_path / "page.html", failures=[failure])
    assert "image-9: two frames. What to do: send single mammograms." in words_of(read(path))


def test_mask_of_another_grid_is_refused(tmp_path):
    image = made_image(tmp_path, 1, "CC", "L")
    patient = made_patient(tmp_path, images=(replace(image, mask=np.zeros((3, 4), bool)),))
    with pytest.raises(MammoroiError, match=r"image-1 has 3 x 4 pixels, its mammogram 400 x 220"):
        write_page(patient, tmp_path / "page.html")


def test_ten_mammograms(tmp_path):
    patient = made_patient(tmp_path)
    images = [replace(patient.images[at % 4], image_id=f"image-{at}") for at in range(10)]
    page = read(write_page(replace(patient, images=tuple(images)), tmp_path / "page.html"))
    assert sum(tag == "figure" for tag, _ in page.tags) == 10
    assert "10 mammograms: a lesion was outlined in 6 of them." in words_of(page)
    assert len({a["id"] for _, a in page.tags if a.get("id")}) == sum(
        "id" in a for _, a in page.tags
    )
