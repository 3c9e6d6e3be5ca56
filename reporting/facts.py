"""All that is known how to read out of a run, by name: what the checklists and methods refer to."""

from __future__ import annotations

from collections.abc import Callable

from . import (
    facts_centres,
    facts_classes,
    facts_comparison,
    facts_data,
    facts_detection,
    facts_features,
    facts_leakage,
    facts_masks,
    facts_models,
    facts_predictors,
    facts_results,
    facts_selection,
    facts_size,
    facts_subgroups,
)
from .record import Fact, Record

FACTS: dict[str, Callable[[Record], Fact | None]] = {
    function.__name__: function
    for module in (
        facts_data,
        facts_masks,
        facts_detection,
        facts_features,
        facts_selection,
        facts_size,
        facts_models,
        facts_predictors,
        facts_results,
        facts_classes,
        facts_centres,
        facts_comparison,
        facts_leakage,
        facts_subgroups,
    )
    for function in module.FACTS
}
"""Each gives None where the run holds no evidence."""
