"""Videos and folders of frames: decoding, random access, writing, and expansion of command-line arguments."""
