"""Errors, files, paths, downloads and other utilities used by all packages; imports none of them."""
