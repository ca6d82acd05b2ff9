"""Plots of what the commands measure, as SVG and PNG files."""
