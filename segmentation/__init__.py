"""The room `segmentation`."""
