"""One file per system, or per family of systems; `rivals.registry` lists them by name."""
