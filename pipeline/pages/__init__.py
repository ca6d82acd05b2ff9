"""Pages to look at in a browser: one self-contained HTML file each, which needs no network and no server."""
