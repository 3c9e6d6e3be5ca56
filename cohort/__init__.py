"""The room `cohort`."""
