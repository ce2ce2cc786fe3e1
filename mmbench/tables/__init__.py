"""A user's own data: from a table of rows to columns, target and parts.

read → kinds → options → targets → media and its store → copies → splitting → recipe → prepared

``prepared.py`` is the straight line. Whatever is found on the way is a ``Finding``, in plain words.
"""
