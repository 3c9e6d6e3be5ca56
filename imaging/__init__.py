"""One mammogram, one mask: pixels, spacing, view and side, whatever file they come in."""
