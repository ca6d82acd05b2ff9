"""Videos and folders of frames: decoding, random access, writing, and finding them on a command line."""
