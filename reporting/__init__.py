"""The room `reporting`."""
