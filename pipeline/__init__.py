"""Joins the stages: the tagger, folder runs, results, the detection cache and the engines behind the commands."""
