"""Is what is kept still what was written, and who did what? Each module answers a part of it.

``chains`` recomputes the hashes, ``relations`` follows what rows refer to, ``claims`` holds decisions against
the numbers, ``holdings`` reads the bytes; ``verification`` does all of it. ``anchors`` are checkpoints kept
elsewhere, and ``trail`` is what an auditor takes away.
"""
