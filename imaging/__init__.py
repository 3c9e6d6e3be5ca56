"""The room `imaging`."""
