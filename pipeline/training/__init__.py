"""Training and tuning of whole parts: heads, detector, trunk and gates."""
