"""Running neural networks: one interface, and behind it PyTorch or OpenVINO."""
