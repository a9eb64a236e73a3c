"""Redis: a cache that several managers share.

In: keys and values as bytes. Out: what was put there not too long ago. It is never the truth: what it can not give in
a moment is missing, and no caller ever waits for it or fails by it.
"""
