"""One phantom: its findings can be seen, its texture carries what was planted."""

import dataclasses
from statistics import NormalDist

import numpy as np
import pytest
from scipy.ndimage import binary_dilation, binary_erosion, gaussian_filter, label, uniform_filter
from sklearn.linear_model import RidgeCV
from sklearn.model_selection import cross_val_predict
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from mammoroi.cohort.phantom import Findings, Phantom, draw_anatomy, draw_view, drawn_diameter
from mammoroi.cohort.phantom_lesion import Lesion, Window, draw_lesion
from mammoroi.cohort.planted import Scores, sln_step
from mammoroi.cohort.readers import CLEAR, ILL_DEFINED, read_lesion
from mammoroi.cohort.texture import LesionTexture, lesion_field, power_law

SPACING = 0.3
PLAIN = Findings("scattered", 20.0, False, False, False, False, False, False)
FINE = LesionTexture(0.5, 0.0, 0.2)


def draw(findings: Findings = PLAIN, seed: int = 0, **changes) -> Phantom:
    settings = {"view": "CC", "laterality": "L", "spacing_mm": SPACING, "texture": FINE} | changes
    anatomy = draw_anatomy(findings, np.random.default_rng(seed))
    return draw_view(
        anatomy=anatomy, findings=findings, seed=np.random.SeedSequence(seed), **settings
    )


def dice(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * (a & b).sum() / (a.sum() + b.sum())


def with_findings(**changes) -> Findings:
    return dataclasses.replace(PLAIN, **changes)


def test_encoding() -> None:
    phantom = draw()
    assert phantom.pixels.shape == phantom.lesion.shape == (667, 367)
    assert phantom.pixels.dtype == np.uint16
    assert phantom.pixels.max() <= 4095
    assert (phantom.pixels == 0).mean() > 0.2
    assert (phantom.pixels[phantom.lesion] > 0).all()
    assert (phantom.pixels == 4095).mean() < 1e-4


def test_right_breast_is_the_mirror_image() -> None:
    left, right = draw(), draw(laterality="R")
    assert (left.pixels == right.pixels[:, ::-1]).all()
    assert (left.lesion == right.lesion[:, ::-1]).all()


def test_only_mlo_shows_the_chest_muscle() -> None:
    for seed in range(3):
        mlo = draw(seed=seed, view="MLO").pixels[20:60, :40].mean()
        assert mlo > 1.4 * draw(seed=seed).pixels[300:340, :40].mean()


@pytest.mark.parametrize("size_mm", [8.0, 15.0, 25.0, 40.0, 70.0])
@pytest.mark.parametrize("irregular", [False, True])
def test_lesion_is_one_region_of_the_given_size(size_mm: float, irregular: bool) -> None:
    phantom = draw(with_findings(size_mm=size_mm, irregular=irregular, spiculated=irregular))
    assert label(phantom.lesion)[1] == 1
    diameter = 2 * np.sqrt(phantom.lesion.sum() / np.pi) * SPACING
    assert diameter == pytest.approx(drawn_diameter(size_mm), rel=0.03)


def test_a_lesion_that_does_not_fit_is_drawn_smaller() -> None:
    findings = with_findings(size_mm=70.0)
    diameters = [draw(findings, seed, view="MLO", spacing_mm=0.5).diameter_mm for seed in range(30)]
    assert max(diameters) == 42.0
    assert min(diameters) > 20.0


def test_size_and_place_do_not_depend_on_the_spacing() -> None:
    coarse, fine = draw(spacing_mm=0.4), draw(spacing_mm=0.2)
    blown_up = coarse.lesion.repeat(2, 0).repeat(2, 1)
    rows, columns = (min(sizes) for sizes in zip(blown_up.shape, fine.lesion.shape, strict=True))
    assert dice(blown_up[:rows, :columns], fine.lesion[:rows, :columns]) > 0.9


def test_denser_breasts_are_brighter() -> None:
    order = ("fatty", "scattered", "heterogeneous", "extremely_dense")
    means = []
    for density in order:
        phantoms = [draw(with_findings(breast_density=density), seed) for seed in range(4)]
        means.append(np.mean([p.pixels[(p.pixels > 0) & ~p.lesion].mean() for p in phantoms]))
    assert (np.diff(means) > 60).all()


def contrast(phantom: Phantom) -> float:
    ring = binary_dilation(phantom.lesion, iterations=12) & ~binary_dilation(
        phantom.lesion, iterations=4
    )
    return phantom.pixels[phantom.lesion].mean() - phantom.pixels[ring].mean()


def test_high_density_masses_stand_out_more() -> None:
    low = [contrast(draw(PLAIN, seed)) for seed in range(6)]
    high = [contrast(draw(with_findings(high_density=True), seed)) for seed in range(6)]
    assert np.mean(high) > np.mean(low) + 100
    assert np.mean(low) > 100


def test_margin_shape_calcification_and_skin_show() -> None:
    plain = draw()
    spiculated = draw(with_findings(spiculated=True))
    outside = binary_dilation(plain.lesion, iterations=12) & ~plain.lesion & ~spiculated.lesion
    added = spiculated.pixels.astype(float) - plain.pixels
    assert np.percentile(added[outside], 95) > 60

    def compactness(mask: np.ndarray) -> float:
        return (mask ^ binary_erosion(mask)).sum() ** 2 / mask.sum()

    irregular = draw(with_findings(irregular=True))
    assert compactness(irregular.lesion) > 1.05 * compactness(plain.lesion)

    calcified = draw(with_findings(calcification=True))
    speckled = calcified.pixels.astype(float) - plain.pixels > 150
    assert 5 <= label(speckled, np.ones((3, 3)))[1] <= 25

    thick = draw(with_findings(skin_change=True))
    assert (thick.pixels.astype(float) - plain.pixels > 200).sum() > 1000

    distorted = draw(with_findings(distortion=True))
    assert np.abs(distorted.pixels.astype(float) - plain.pixels)[outside].mean() > 25


def test_parenchyma_follows_a_power_law() -> None:
    spectrum = 0.0
    for seed in range(8):
        field = power_law((512, 512), SPACING, 3.0, 1.0, np.random.default_rng(seed))
        assert field.std() == pytest.approx(1, abs=1e-3)
        spectrum = spectrum + np.abs(np.fft.fft(field, axis=1)) ** 2
    frequency = np.fft.fftfreq(512, SPACING)
    band = (frequency > 0.05) & (frequency < 0.8)
    # A row through a 2-D field sums its spectrum over the other axis: the slope loses one.
    slope = np.polyfit(np.log(frequency[band]), np.log(spectrum.mean(axis=0)[band]), 1)[0]
    assert slope == pytest.approx(-2, abs=0.2)


DISC = np.hypot(*np.mgrid[-40:41, -40:41]) <= 27


def read_out(field: np.ndarray, inside: np.ndarray) -> np.ndarray:
    """Log gradient energy down and along the rows, and spread, of ever smoother versions."""
    values = []
    for width_mm in (0.0, 0.2, 0.35, 0.6, 1.0, 1.7):
        smooth = gaussian_filter(field.astype(float), width_mm / SPACING)
        down, along = np.gradient(smooth)
        detail = smooth - gaussian_filter(smooth, 1.5 * width_mm / SPACING + 1.5)
        values += [np.percentile(np.abs(g[inside]), 60) for g in (down, along)]
        values.append(np.subtract(*np.percentile(detail[inside], [75, 25])))
    return np.log(values)


def test_texture_has_the_planted_length_and_direction_and_no_other_variance() -> None:
    inner = binary_erosion(DISC, iterations=2)
    for length, anisotropy in ((0.6, 0.0), (1.2, 0.0), (0.8, 0.4), (0.8, -0.4)):
        texture = LesionTexture(length, anisotropy, 0.0)
        found = []
        for seed in range(60):
            field = lesion_field(texture, DISC, SPACING, np.random.default_rng(seed))
            assert field[DISC].mean() == pytest.approx(0, abs=1e-5)
            assert field[DISC].std() == pytest.approx(1, abs=1e-5)
            down, along = np.gradient(field)
            # Noise smoothed by width w has E(df/dx)² = Var f / (2 w²).
            found.append([(g[inner] ** 2).mean() for g in (down, along)])
        widths = SPACING / np.sqrt(2 * np.mean(found, axis=0))
        expected = length * np.exp([anisotropy, -anisotropy])
        assert widths == pytest.approx(expected, rel=0.12)


def test_scores_set_one_quantity_each() -> None:
    base = LesionTexture.of(Scores(0, 0, 0))
    for name, changed in (
        ("sln_score", "correlation_length_mm"),
        ("her2_direction", "anisotropy"),
        ("her2_grain", "grain_share"),
    ):
        moved = LesionTexture.of(dataclasses.replace(Scores(0, 0, 0), **{name: 1.0}))
        differs = {k for k, v in dataclasses.asdict(moved).items() if v != getattr(base, k)}
        assert differs == {changed}


def test_the_scores_can_be_read_from_the_image_within_the_true_mask() -> None:
    """The attainable AUC is Φ(δ r / √2), r the correlation of read-out and score."""
    rng = np.random.default_rng(0)
    scores, features = [], []
    for seed in range(160):
        score = Scores(*rng.standard_normal(3))
        lesion = Lesion.draw(
            row_mm=30,
            column_mm=30,
            radius_mm=rng.uniform(7, 15),
            irregular=True,
            spiculated=seed % 6 > 0,
            high_density=seed % 3 > 0,
            distortion=seed % 2 > 0,
            calcification=seed % 5 > 0,
            rng=rng,
        )
        tissue = 1200 + 150 * power_law((200, 200), SPACING, 3.0, 1.0, rng)
        window = Window.around(lesion, tissue.shape, SPACING)
        tissue = tissue[window.slices]
        drawn, mask = draw_lesion(lesion, LesionTexture.of(score), tissue, window, rng)
        drawn += 9 * rng.standard_normal(drawn.shape)
        features.append(read_out(drawn, binary_erosion(mask, iterations=2)))
        scores.append([score.sln_score, score.her2_direction, score.her2_grain])
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-3, 3, 13)))
    read = cross_val_predict(model, features, np.array(scores), cv=10)
    r = [np.corrcoef(read[:, k], np.array(scores)[:, k])[0, 1] for k in range(3)]
    assert min(r) > 0.82
    attainable = NormalDist().cdf(sln_step(0.85) * r[0] / np.sqrt(2))
    assert attainable > 0.82


def test_texture_spans_enough_grey_levels_and_differs_from_its_surroundings() -> None:
    for seed in range(6):
        phantom = draw(with_findings(irregular=True, high_density=True), seed)
        levels = phantom.pixels[binary_erosion(phantom.lesion, iterations=3)]
        assert 16 <= np.ptp(levels) // 25 + 1 <= 60
        pixels = phantom.pixels.astype(float)
        detail = np.abs(pixels - uniform_filter(pixels, 5))
        around = binary_dilation(phantom.lesion, iterations=15) & ~binary_dilation(
            phantom.lesion, iterations=5
        )
        assert detail[phantom.lesion].mean() > 1.5 * detail[around].mean()


def test_readers_agree_as_radiologists_do() -> None:
    with_truth, with_each_other = [], []
    for seed in range(40):
        spiculated = seed % 7 > 0
        findings = with_findings(
            irregular=seed % 9 > 0, spiculated=spiculated, size_mm=[10.0, 16.0, 28.0][seed % 3]
        )
        lesion = draw(findings, seed, spacing_mm=0.5).lesion
        rng = np.random.default_rng(seed)
        habits = ILL_DEFINED if spiculated else CLEAR
        masks = [read_lesion(lesion, habits, rng) for _ in range(2)]
        assert all(label(mask)[1] == 1 for mask in masks)
        with_truth += [dice(lesion, mask) for mask in masks]
        with_each_other.append(dice(*masks))
    assert 0.85 < np.median(with_each_other) < 0.91
    assert np.median(with_truth) == pytest.approx(0.92, abs=0.015)
    assert min(with_truth) > 0.75


def test_a_reader_copes_with_a_lesion_at_the_edge_of_the_image() -> None:
    lesion = np.zeros((40, 40), dtype=bool)
    lesion[:9, 30:] = True
    mask = read_lesion(lesion, CLEAR, np.random.default_rng(0))
    assert mask.shape == lesion.shape
    assert dice(mask, lesion) > 0.75
