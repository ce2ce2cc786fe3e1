"""Every fusion, one file each; files that begin with ``_`` hold what several share.

Left out on purpose: fusion by a graph over the samples (such as population graphs, where one
modality draws the edges). What it says of a sample depends on the other samples there are, and a
prediction must not depend on its batch mates.
"""
