"""What every stage speaks about: labels, clips, datasets and metrics; it imports none of the other packages."""
