"""The other systems of the A2D challenge of 2020, one file each, with one data path, one training and one scoring."""
