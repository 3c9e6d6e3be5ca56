"""What is in a bundle, as lines for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from .bundle import Bundle
from .tested import auc_words


def lines(bundle: Bundle) -> list[str]:
    """Describe a bundle in a page."""
    return list(_lines(bundle))


def _lines(bundle: Bundle) -> Iterator[str]:
    study = bundle.about["study"]
    yield bundle.name
    yield from (f"  ! {notice}" for notice in bundle.notices)
    yield f"  SHA-256           {bundle.sha256}"
    yield (
        f"  trained on        {study['training_patients']} patients of {study['cohort']}"
        f"{' (synthetic)' if study['synthetic'] else ''}; {study['test_patients']} kept apart"
    )
    network = bundle.networks[0]
    threshold = network.card["inference"]["threshold"]
    threshold = threshold if isinstance(threshold, str) else f"{threshold:g}"
    yield (
        f"  networks          {len(bundle.networks)} {network.spec.architecture} at "
        f"{network.working_spacing_mm:g} mm, threshold {threshold}"
    )
    if bundle.outline is not None:
        rows, columns = bundle.outline.patch
        yield (
            f"  second stage      {len(bundle.outline.models)} networks at "
            f"{bundle.outline.working_spacing_mm:g} mm, windows of {rows} x {columns}"
        )
    flag = bundle.uncertainty
    if flag is not None and flag.threshold is not None:
        yield f"  uncertain mask    expected Dice at or below {flag.threshold:.2f}"
    if bundle.preset is not None:
        yield f"  features          {bundle.preset.name}: {bundle.preset.description}"
    for one in bundle.classifiers:
        interval = (
            f"interval from {one.spread.n} patients" if one.spread is not None else "no interval"
        )
        tested = auc_words(one.tested) if one.tested else "AUC on test patients not recorded"
        yield (
            f"  classifier        {one.target}: {len(one.model.about['features'])} features, "
            f"threshold {one.threshold:.3f}, {one.model.about['n_train']} training patients, "
            f"{interval}, {tested}"
        )
    for task in bundle.classes:
        tested = f", macro {auc_words(task.tested)}" if task.tested else ""
        yield f"  all classes       {task.task}: {', '.join(task.classes)} together{tested}"
    if not bundle.classifiers:
        yield "  classifiers       none: it draws masks"
    for name, known in bundle.ranges.numbers.items():
        yield f"  {name:<18}{known.minimum:.5g} to {known.maximum:.5g} ({known.n} images)"
    for kind, counts in bundle.ranges.kinds.items():
        counted = ", ".join(f"{name} {n}" for name, n in sorted(counts.items()))
        yield f"  {kind:<18}{counted}"
    yield f"  {'members':<18}{len(bundle.sizes)}, {sum(bundle.sizes.values()):,} bytes"
