"""mammoroi: tumour masks, radiomics and classifiers on mammograms."""

__version__ = "0.1.0"
