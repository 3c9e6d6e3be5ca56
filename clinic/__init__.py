"""The room `clinic`."""
