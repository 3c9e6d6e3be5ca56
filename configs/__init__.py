"""Presets, shipped with the package."""
