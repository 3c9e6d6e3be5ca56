"""What is trained and shipped: the demonstration model."""
