"""A user's own data: from a table of rows to columns, target and parts.

read → kinds → modalities → options → targets → media and its store → giveaways → copies →
splitting → recipe → prepared

``preparing.py`` is the straight line, ``prepared.py`` its end. Whatever is found on the
way is a ``Finding``, in plain words.
"""
