"""How an actor moves through a clip: tracking, camera motion, and motion features."""
