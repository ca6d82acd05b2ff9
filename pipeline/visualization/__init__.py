"""Results for people: text reports, annotated clips and the demo clip."""
