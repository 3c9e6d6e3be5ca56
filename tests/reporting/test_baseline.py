"""The table of characteristics as text."""

import numpy as np
import pandas as pd

from mammoroi.modeling.baseline import baseline_table
from mammoroi.reporting.baseline import baseline_cells


def test_cells() -> None:
    patients = pd.DataFrame(
        {
            "patient_id": [f"P{k}" for k in range(24)],
            "age": np.arange(24) + 40.0,
            "grade": ["III", "I", "II", None] * 6,
        }
    )
    ids = patients["patient_id"].tolist()
    cells = baseline_cells(baseline_table(patients, ids[:16], ids[16:]))
    assert cells[0][:4] == ["Age, years", "mean (SD)", "51.5 (7.1)", "47.5 (4.8)"]
    assert cells[1][:3] == ["Grade", "I", "6 (33.3%)"]
    assert cells[4][1:3] == ["not known", "6"]
