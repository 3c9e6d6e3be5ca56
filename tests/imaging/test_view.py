"""Side and view from the standard's codes, old and new."""

from __future__ import annotations

import pytest
from pydicom.sr.codedict import codes

from mammoroi.imaging.read import read_mammogram
from mammoroi.imaging.view import MODIFIERS, VIEWS


def test_tables_cover_the_context_groups():
    assert set(VIEWS) == set(codes.CID4014.dir())
    assert set(MODIFIERS) == set(codes.CID4015.dir())


def code(sequence_item, value, scheme="SCT", **extra):
    return sequence_item(
        CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning="meaning", **extra
    )


@pytest.mark.parametrize(
    ("value", "scheme", "view"),
    [
        ("399162004", "SCT", "CC"),
        ("399368009", "SCT", "MLO"),
        ("399260004", "SCT", "ML"),
        ("399192008", "SCT", "XCCL"),
        ("R-10242", "SRT", "CC"),
        ("R-10226", "SRT", "MLO"),
        ("R-10226", "SNM3", "MLO"),
    ],
)
def test_view_codes(write_mg, phantom, sequence_item, value, scheme, view):
    path = write_mg(
        phantom, ViewCodeSequence=[code(sequence_item, value, scheme)], ViewPosition="ML"
    )
    assert read_mammogram(path).view == view


def test_modifiers_follow_the_view(write_mg, phantom, sequence_item):
    modifiers = [
        code(sequence_item, "399055006"),
        code(sequence_item, "R-102D6", "SRT"),
    ]
    view = code(sequence_item, "399162004", ViewModifierCodeSequence=modifiers)
    assert read_mammogram(write_mg(phantom, ViewCodeSequence=[view])).view == "CC+M+S"


@pytest.mark.parametrize(
    ("attributes", "view"),
    [
        ({"ViewPosition": "MLO"}, "MLO"),
        ({"ViewPosition": "AP"}, None),
        ({"PatientOrientation": "CC"}, "CC"),
        ({}, None),
    ],
)
def test_view_position_is_the_fallback(write_mg, phantom, attributes, view):
    assert read_mammogram(write_mg(phantom, **attributes)).view == view


@pytest.mark.parametrize(
    ("attributes", "laterality"),
    [
        ({"ImageLaterality": "R", "Laterality": "L"}, "R"),
        ({"ImageLaterality": None, "Laterality": "L"}, "L"),
        ({"ImageLaterality": "B"}, None),
        ({"ImageLaterality": None}, None),
    ],
)
def test_laterality(write_mg, phantom, attributes, laterality):
    assert read_mammogram(write_mg(phantom, **attributes)).laterality == laterality
