"""C files that this machine's own compiler builds, and how work is divided among threads there."""
