"""The room `modeling`: features and labels in; risks, and manual against automatic ROIs, out."""
