"""The outline of a mask on a small or a narrow mammogram: words that fit, a picture that fills."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from mammoroi.clinic.overlay import draw_outline
from mammoroi.clinic.results import Flag

from .made_results import make_image

NAME = "1.2.840.113619.2.401.99990000123.7890.2024.112233.4455667788"
FLAGS = tuple(Flag(f"outside-training-{what}", "") for what in ("intensity", "size", "spacing"))
NOTICE = "This model was trained on phantoms only. It is for trying out the software."


@pytest.mark.parametrize("shape", [(96, 70), (96, 20), (100, 100), (3000, 2400)])
def test_words_are_no_wider_than_the_picture(tmp_path, shape):
    image = replace(
        make_image(tmp_path, 0), image_id=NAME, flags=FLAGS, mask=np.zeros(shape, dtype=bool)
    )
    image.mask[shape[0] // 3 : shape[0] // 2, shape[1] // 3 : shape[1] // 2] = True
    display = np.full(shape, 90, dtype=np.uint8)
    drawn = np.asarray(Image.open(draw_outline(tmp_path / "o.png", image, display, [NOTICE])))
    grey = (drawn == 90).all(axis=2)
    assert 890 <= int((grey.mean(axis=1) > 0.04).sum()) <= 1400
    dark = drawn.sum(axis=2) < 150
    assert dark[:, 12:].any()
    assert not dark[:, -4:].any(), "a word is cut"
    assert grey.mean() > (0.35 if shape[1] == 20 else 0.7), "most of the canvas is white"
