"""Readers for each layout of labelled data; `a2d.dataset` chooses among them."""
