"""The patients of a study: their table, its checks, labels, splits, and where cohorts come from."""
