"""What every package may use: errors, files, paths, downloads and the system; it imports none of the other packages."""
