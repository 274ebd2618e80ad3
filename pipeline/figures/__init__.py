"""Figures for print and page: Matplotlib only, no reading of files."""
