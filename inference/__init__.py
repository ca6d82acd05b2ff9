"""Neural network inference: one interface with PyTorch and OpenVINO backends."""
