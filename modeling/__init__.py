"""The room `modeling`."""
