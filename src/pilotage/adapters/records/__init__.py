"""Records of engines as files: segments of compressed blocks.

In: encoded items, or paths. Out: files that rotate by size, or the items of a record in order, checked. Nothing here
knows what an item means beyond where a segment begins and ends, and a file that is read is never written to.
"""
