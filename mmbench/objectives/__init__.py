"""Every training paradigm, one file each; files that begin with ``_`` hold what several share.

Not here yet, since no text of the method could be checked: greedy re-balancing (Wu et al., ICML
2022) and LFM (Yang et al., NeurIPS 2024). MISA's losses are the penalty of the fusion ``misa``.
"""
